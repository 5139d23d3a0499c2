from dataclasses import replace

import numpy as np
import pytest
import torch
from feature_sets import clusters, code_for_gpus, videos
from sklearn.linear_model import LogisticRegression as Reference
from torch.nn.functional import cross_entropy, normalize

from vidssl.errors import UnknownNameError, VidsslError
from vidssl.evaluation.classifiers import sgd_heads
from vidssl.evaluation.classifiers.linear import LinearGrid, LinearLayer, LogisticRegression
from vidssl.evaluation.classifiers.sgd_heads import SGD, Heads, TrainingViews, train_heads
from vidssl.nn.schedules import warmup_cosine

# --- logistic regression ---


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_agrees_with_scikit_learn_on_rows_of_length_one(num_classes):
    (train, train_labels), (test, labels) = clusters(200, 1, num_classes), clusters(80, 2, num_classes)
    unit_train, unit_test = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train.astype(np.float64), test.astype(np.float64))
    )
    reference = Reference(C=5.0, tol=1e-8, max_iter=10000).fit(unit_train, train_labels)
    ranking = np.argsort(-reference.predict_proba(unit_test), axis=1)
    outcome = LogisticRegression(c=5.0)(videos(train, train_labels), videos(test, labels))
    np.testing.assert_array_equal(outcome.predicted, reference.predict(unit_test))
    assert outcome.metrics["top1"] == reference.score(unit_test, labels)
    if num_classes > 5:
        expected = np.mean([label in row[:5] for label, row in zip(labels, ranking, strict=True)])
        assert outcome.metrics["top5"] == expected
        assert 0.3 < outcome.metrics["top1"] < expected < 1
    else:
        assert set(outcome.metrics) == {"top1", "mean_class"}


def test_two_classes_are_penalised_as_in_scikit_learn():
    train, labels = clusters(100, 1, 2)
    unit = train.astype(np.float64) / np.linalg.norm(train.astype(np.float64), axis=1, keepdims=True)
    reference = Reference(C=0.5, tol=1e-10, max_iter=10000).fit(unit, labels)
    weights = LogisticRegression(c=0.5, tolerance=1e-7).fit(videos(train, labels)).weights
    np.testing.assert_allclose(weights[:-1, 1] - weights[:-1, 0], reference.coef_[0], rtol=0, atol=1e-5)


def test_label_numbers_need_not_be_consecutive():
    (train, train_labels), (test, labels) = clusters(200, 1, 7), clusters(80, 2, 7)
    measure = LogisticRegression()
    apart = measure(videos(train, 10 * train_labels), videos(test, 10 * labels))
    together = measure(videos(train, train_labels), videos(test, labels))
    assert apart.metrics == together.metrics
    np.testing.assert_array_equal(apart.predicted, 10 * together.predicted)


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="Unknown normalisation 'l3'"):
        LogisticRegression(normalisation="l3")
    with pytest.raises(VidsslError, match="c is 0; it must be above 0"):
        LogisticRegression(c=0)
    with pytest.raises(VidsslError, match="learning_rate is 0"):
        LinearLayer(learning_rate=0)
    with pytest.raises(VidsslError, match="weight_decay is -1"):
        LinearGrid(weight_decays=(0.0, -1.0))
    with pytest.raises(VidsslError, match="one or more learning_rates"):
        LinearGrid(learning_rates=())
    with pytest.raises(VidsslError, match="hold_out_share is 1"):
        LinearGrid(hold_out_share=1)
    with pytest.raises(VidsslError, match="epochs is 0"):
        SGD(epochs=0)


# --- layers trained by SGD ---


def test_heads_side_by_side_are_torch_optimisers_one_by_one():
    features, labels = clusters(50, 1, 4, views=3)
    settings = SGD(batch_size=16, reference_batch_size=8, epochs=4, warmup_epochs=1.5, momentum=0.8, seed=5)
    rates, decays = [0.5, 2.0, 0.1], [0.0, 1e-2, 0.3]
    columns = torch.from_numpy(labels)
    data = TrainingViews(features, columns, 4, np.arange(50)).normalised("l2")
    trained = train_heads(data, Heads(torch.tensor(rates), torch.tensor(decays)), settings)
    for head, (rate, decay) in enumerate(zip(rates, decays, strict=True)):
        layer = naive_layer(torch.from_numpy(features), columns, settings, rate, decay)
        torch.testing.assert_close(trained[head, :-1], layer.weight.detach().T, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(trained[head, -1], layer.bias.detach(), rtol=1e-4, atol=1e-6)


def naive_layer(features, columns, settings, rate, decay):
    rng = np.random.default_rng(settings.seed)
    first_view = rng.integers(features.shape[1], size=len(features))
    layer = torch.nn.Linear(features.shape[2], 4)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias], "weight_decay": 0.0}]
    scaled = rate * settings.batch_size / settings.reference_batch_size
    optimizer = torch.optim.SGD(groups, lr=scaled, momentum=settings.momentum)
    steps = len(features) // settings.batch_size
    for step in range(steps * settings.epochs):
        if step % steps == 0:
            order = rng.permutation(len(features)).reshape(-1)
        factor = warmup_cosine(
            step, warmup_steps=round(settings.warmup_epochs * steps), total_steps=steps * settings.epochs
        )
        for group in optimizer.param_groups:
            group["lr"] = scaled * factor
        begin = step % steps * settings.batch_size
        rows = order[begin : begin + settings.batch_size]
        views = features[rows, (first_view[rows] + step // steps) % features.shape[1]]
        optimizer.zero_grad()
        cross_entropy(layer(normalize(views, dim=1)), columns[rows]).backward()
        optimizer.step()
    return layer


def test_every_stored_view_takes_its_turn():
    seen = []

    class Spy(TrainingViews):
        def batch(self, rows, views):
            seen.append(dict(zip(rows.tolist(), views.tolist(), strict=True)))
            return super().batch(rows, views)

    features, labels = clusters(12, 1, 3, views=4)
    data = Spy(features, torch.from_numpy(labels), 3, np.arange(12))
    train_heads(data, Heads(torch.ones(1), torch.zeros(1)), SGD(batch_size=12, epochs=4))
    for video in range(12):
        shown = [epoch[video] for epoch in seen]
        assert sorted(shown) == [0, 1, 2, 3]
    assert len(set(seen[0].values())) > 1  # not all begin with the same view


def test_softmax_scores_are_averaged_over_the_views():
    (train, train_labels), (test, labels) = clusters(300, 1, 7, views=2), clusters(100, 2, 7, views=5)
    layer = LinearLayer(sgd=SGD(epochs=20))
    outcome, model = layer(videos(train, train_labels), videos(test, labels)), layer.fit(videos(train, train_labels))
    rows = normalize(torch.from_numpy(test), dim=2)
    probabilities = (rows @ model.weights[:-1] + model.weights[-1]).softmax(dim=2)
    np.testing.assert_array_equal(outcome.predicted, probabilities.mean(dim=1).argmax(dim=1))
    clips = probabilities.argmax(dim=2).numpy() == labels[:, None]
    assert outcome.metrics["clip_top1"] == clips.mean()
    assert set(outcome.metrics) == {"top1", "top5", "mean_class", "clip_top1", "clip_top5"}
    assert 1 / 7 < outcome.metrics["clip_top1"] < outcome.metrics["top1"]


def test_cvrl_settings_learn_on_a_small_set():
    (train, train_labels), (test, labels) = clusters(400, 1, 8, dims=32), clusters(200, 2, 8, dims=32)
    layer = LinearLayer()(videos(train, train_labels), videos(test, labels)).metrics["top1"]
    optimum = LogisticRegression()(videos(train, train_labels), videos(test, labels)).metrics["top1"]
    assert layer > optimum - 0.05 > 0.5


def test_the_global_generators_are_left_alone():
    train, labels = clusters(60, 1, 3)
    state = torch.get_rng_state()
    first, second = (LinearGrid(sgd=SGD(epochs=3))(videos(train, labels), videos(train, labels)) for _ in range(2))
    assert first.metrics == second.metrics
    assert first.chosen == second.chosen
    assert torch.equal(torch.get_rng_state(), state)


def test_a_layer_that_diverges_says_so():
    train, labels = clusters(60, 1, 3)
    with pytest.raises(VidsslError, match="diverges at learning rate 1e\\+38"):
        LinearLayer(1e38, normalisation="none")(videos(1e5 * train, labels), videos(train, labels))


# --- the grid ---


def test_the_grid_takes_what_is_best_on_the_hold_out_and_trains_it_anew_on_everything():
    (train, train_labels), (test, labels) = clusters(300, 1, 5), clusters(100, 2, 5)
    grid = LinearGrid(learning_rates=(1.0, 1e-7, 10.0), weight_decays=(1e-4, 0.0), sgd=SGD(epochs=10))
    outcome = grid(videos(train, train_labels), videos(test, labels))
    heads = outcome.chosen["heads"]
    assert len(heads) == 6
    assert outcome.chosen["hold_out_videos"] == sum(-(-count // 5) for count in np.bincount(train_labels))
    assert len({head["top1"] for head in heads}) > 1
    best = max(heads, key=lambda head: (head["top1"], -head["learning_rate"], head["weight_decay"]))
    assert {key: outcome.chosen[key] for key in ("learning_rate", "weight_decay")} == {
        key: best[key] for key in ("learning_rate", "weight_decay")
    }
    layer = LinearLayer(best["learning_rate"], best["weight_decay"], sgd=grid.sgd)
    assert outcome.metrics == layer(videos(train, train_labels), videos(test, labels)).metrics


def test_the_grid_never_looks_at_the_queries():
    train, labels = clusters(100, 1, 3)
    grid, rng = LinearGrid(sgd=SGD(epochs=3)), np.random.default_rng(0)
    chosen = [
        grid(videos(train, labels), videos(rng.standard_normal((50, 10)), rng.integers(3, size=50))).chosen
        for _ in range(2)
    ]
    assert chosen[0] == chosen[1]


def test_equal_heads_go_to_the_lower_rate_and_the_higher_decay():
    train, labels = clusters(100, 1, 2, noise=0.01)
    grid = LinearGrid((3.0, 1.0), (0.0, 1e-5, 1e-6), sgd=SGD(epochs=3))
    chosen = grid(videos(train, labels), videos(train, labels)).chosen
    assert {head["top1"] for head in chosen["heads"]} == {1.0}
    assert (chosen["learning_rate"], chosen["weight_decay"]) == (1.0, 1e-5)


def test_a_head_that_diverges_is_never_chosen():
    train, labels = clusters(100, 1, 3)
    grid = LinearGrid((1e-3, 1e38), (0.0,), "none", sgd=SGD(epochs=3))
    chosen = grid(videos(1e3 * train, labels), videos(1e3 * train, labels)).chosen
    assert chosen["learning_rate"] == 1e-3
    assert [head["top1"] for head in chosen["heads"]][1] is None
    with pytest.raises(VidsslError, match="Every layer of the grid diverges"):
        replace(grid, learning_rates=(1e38,))(videos(1e3 * train, labels), videos(train, labels))


def test_scoring_in_chunks_changes_nothing(monkeypatch):
    train, labels = clusters(100, 1, 3, views=2)
    grid = LinearGrid(sgd=SGD(epochs=2))
    whole = grid(videos(train, labels), videos(train, labels))
    monkeypatch.setattr(sgd_heads, "NUMBERS_AT_ONCE", 2 * (10 + 24 * 3) * 7)
    chunked = grid(videos(train, labels), videos(train, labels))
    assert whole.chosen == chunked.chosen


# --- where heads are trained ---


def test_a_grid_on_a_device_finds_what_it_finds_on_the_cpu():
    gallery, query = videos(*clusters(200, 1, 7)), videos(*clusters(80, 2, 7))
    grid = LinearGrid(sgd=SGD(batch_size=32, epochs=3))
    expected = grid(gallery, query)
    with code_for_gpus():
        found = grid(gallery, query)
    assert found.metrics == expected.metrics
    assert found.chosen == expected.chosen
