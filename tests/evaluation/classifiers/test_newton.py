import warnings

import numpy as np
import pytest
import torch
from feature_sets import clusters
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ReferenceRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from vidssl.evaluation.classifiers import linear_problem, newton, newton_direction
from vidssl.evaluation.classifiers.linear import Softmax
from vidssl.evaluation.classifiers.linear_problem import Objective, labelled_rows, second_moments
from vidssl.evaluation.classifiers.newton import minimise
from vidssl.evaluation.classifiers.svm import SquaredHinge


def problem(features, labels, loss, c, bias_penalty, normalisation="none"):
    rows = labelled_rows(features, torch.from_numpy(labels), int(labels.max()) + 1, normalisation)
    return Objective(rows, loss, c, bias_penalty)


def stacked(reference):
    return np.concatenate([reference.coef_, reference.intercept_[:, None]], axis=1).T


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("shape", [(300, 10), (40, 120)], ids=["more rows", "more columns"])
def test_the_svm_is_that_of_liblinear(shape, c):
    features, labels = clusters(shape[0], 1, 7, dims=shape[1], noise=3.0)
    # liblinear's primal solver gives up early where rows can be told apart without error; its dual one does not
    options = {"dual": shape[0] < shape[1], "tol": 1e-12, "max_iter": 10000, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digits are beyond it
        reference = LinearSVC(C=c, **options).fit(features.astype(np.float64), labels)
    solution = minimise(problem(features, labels, SquaredHinge(), c, 1.0), tolerance=1e-11)
    assert solution.converged
    np.testing.assert_allclose(solution.weights, stacked(reference), rtol=0, atol=5e-6 * np.abs(reference.coef_).max())


@pytest.mark.parametrize("c", [0.1, 10.0])
def test_the_logistic_regression_is_that_of_scikit_learn(c):
    features, labels = clusters(300, 1, 7, noise=3.0)
    reference = ReferenceRegression(C=c, tol=1e-10, max_iter=100000).fit(features.astype(np.float64), labels)
    solution = minimise(problem(features, labels, Softmax(), c, 0.0), tolerance=1e-9)
    assert solution.converged
    expected, weights = stacked(reference), solution.weights.numpy()
    # adding a number to all intercepts changes nothing
    expected[-1] -= expected[-1].mean()
    weights[-1] -= weights[-1].mean()
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("loss", "bias_penalty"), [(SquaredHinge(), 1.0), (Softmax(), 0.0)], ids=["svm", "softmax"])
def test_derivatives_are_those_of_the_value(loss, bias_penalty):
    scores = 2 * torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores.requires_grad_()
    columns = torch.tensor([0, 3, 1, 1, 2, 0])
    (slope,) = torch.autograd.grad(loss.value(scores, columns).sum(), scores, create_graph=True)
    torch.testing.assert_close(loss.slope(scores.detach(), columns), slope.detach())
    direction = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if isinstance(loss, Softmax):
        (curve,) = torch.autograd.grad((slope * direction).sum(), scores)
    else:  # piecewise quadratic: the slope's difference over a short way
        short = 1e-6
        curve = (loss.slope(scores.detach() + short * direction, columns) - slope.detach()) / short
    torch.testing.assert_close(loss.curve(scores.detach(), columns, direction), curve, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("loss", "bias_penalty"), [(SquaredHinge(), 1.0), (Softmax(), 0.0)], ids=["svm", "softmax"])
def test_chunks_change_nothing_but_rounding(loss, bias_penalty, monkeypatch):
    features, labels = clusters(500, 1, 6, noise=3.0)
    whole = minimise(problem(features, labels, loss, 1.0, bias_penalty, "standard"), tolerance=1e-7).weights
    monkeypatch.setattr(linear_problem, "NUMBERS_AT_ONCE", 37 * 16)
    spans = list(problem(features, labels, loss, 1.0, bias_penalty).rows.spans())
    assert [span.stop - span.start for span in spans] == [37] * 13 + [19]
    chunked = minimise(problem(features, labels, loss, 1.0, bias_penalty, "standard"), tolerance=1e-7).weights
    torch.testing.assert_close(chunked, whole, rtol=0, atol=1e-6 * float(whole.abs().max()))


@pytest.mark.parametrize("normalisation", ["none", "standard"])
def test_directions_by_the_curved_rows_alone_are_those_by_all_rows(normalisation, monkeypatch):
    features, labels = clusters(500, 1, 6, noise=1.0)
    svm = problem(features, labels, SquaredHinge(), 1.0, 1.0, normalisation)
    scores, classes = torch.zeros(500, 6), torch.tensor([0, 1, 4, 5])
    gradient = linear_problem.value_and_gradient(svm, minimise(svm).weights + 0.01, scores)[1][:, classes]
    condition = newton._condition(svm, second_moments(svm.rows), scores)
    part = newton_direction.SomeClasses(svm, scores, classes)
    fewest, _, third, most = (newton_direction._curvatures(part, slice(0, 500)) > 0).sum(dim=0).sort().values.tolist()
    assert 0 < fewest < third < most < 500
    taken, product = [], newton_direction._product_of_few_rows

    def counted(rows, places, curvatures):
        taken.append(len(places))
        return product(rows, places, curvatures)

    def direction(few_rows, at_once):
        taken.clear()
        monkeypatch.setattr(newton_direction, "FEW_ROWS", few_rows)
        monkeypatch.setattr(newton_direction, "CURVED_NUMBERS_AT_ONCE", at_once)
        return newton_direction.newton_direction(part, gradient, condition)

    monkeypatch.setattr(newton_direction, "_product_of_few_rows", counted)
    of_all = direction(0, 2**24)
    assert taken == []
    for few_rows, at_once, blocks in (
        (third / 500, 2**24, [3]),
        (1, third * 10, [2, 1]),
        (1, fewest * 10, [1]),
    ):
        of_few = direction(few_rows, at_once)
        assert taken == blocks
        torch.testing.assert_close(of_few, of_all, rtol=0, atol=1e-4 * float(of_all.abs().max()))


def test_a_line_search_does_not_end_where_the_slope_is_small_but_the_value_has_risen():
    features, labels = np.array([[100.0], [-100.0]], np.float32), np.array([0, 1])
    svm = problem(features, labels, SquaredHinge(), 1.0, 1.0)
    weights, scores = torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2, 2)
    at_zero, gradient = linear_problem.value_and_gradient(svm, weights, scores)
    direction = torch.tensor([[6.0, -6.0], [0.0, 0.0]], dtype=torch.float64)
    part = newton_direction.SomeClasses(svm, scores, torch.arange(2))
    # the value along it is 2 max(0, 1 - 600 t)^2 + 18 t^2: at 1 nearly flat beside the start, and nine times as high
    length = newton._step_length(part, weights, gradient, direction)
    value, _ = linear_problem.value_and_gradient(svm, length * direction, scores)
    assert (value < at_zero).all()


def test_second_moments(monkeypatch):
    features, labels = clusters(50, 1, 3)
    monkeypatch.setattr(linear_problem, "NUMBERS_AT_ONCE", 7 * 13)
    rows = problem(features, labels, SquaredHinge(), 1.0, 1.0).rows
    extended = np.concatenate([features, np.ones((50, 1))], axis=1)
    np.testing.assert_allclose(second_moments(rows), extended.T @ extended / 50, rtol=1e-6)


@pytest.mark.parametrize(("loss", "bias_penalty"), [(SquaredHinge(), 1.0), (Softmax(), 0.0)], ids=["svm", "softmax"])
def test_conditioning_by_a_sample_changes_nothing_but_rounding(loss, bias_penalty, monkeypatch):
    features, labels = clusters(500, 1, 6, noise=3.0)
    whole = minimise(problem(features, labels, loss, 1.0, bias_penalty), tolerance=1e-7).weights
    monkeypatch.setattr(newton, "SAMPLE_ROWS", 100)
    by_sample = minimise(problem(features, labels, loss, 1.0, bias_penalty), tolerance=1e-7).weights
    torch.testing.assert_close(by_sample, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_conditioning_is_finite_where_all_curvature_is_gone():
    labels = np.array([0, 1, 0, 1])
    certain = problem(np.eye(4, dtype=np.float32), labels, Softmax(), 1.0, 0.0)
    scores = 1e6 * torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
    condition = newton._condition(certain, second_moments(certain.rows), scores)
    assert condition(torch.ones(5, 2, dtype=torch.float64)).isfinite().all()


def test_a_sample_holds_rows_and_their_classes():
    features, labels = clusters(50, 1, 3)
    rows = problem(features, labels, SquaredHinge(), 1.0, 1.0).rows
    sample = rows.sample(20)
    assert len(sample) == 20
    assert np.array_equal(sample.read(slice(5, 9), torch.float32), features[sample.places[5:9]])
    assert np.array_equal(sample.columns, labels[sample.places])
    assert np.array_equal(sample.places, np.unique(sample.places))
    assert rows.sample(50) is rows


def test_badly_scaled_and_repeated_columns(recwarn):
    features, labels = clusters(200, 1, 4)
    features = np.concatenate([1e4 * features, features, 1e-3 * features, np.full((200, 2), 7.0)], axis=1)
    features = features.astype(np.float32)
    solution = minimise(problem(features, labels, SquaredHinge(), 1.0, 1.0))
    reference = LinearSVC(C=1.0, dual=False, tol=1e-12, max_iter=100000).fit(features.astype(np.float64), labels)
    check = problem(features, labels, SquaredHinge(), 1.0, 1.0)
    ours, theirs = (
        linear_problem.value_and_gradient(check, weights, torch.zeros(200, 4))[0]
        for weights in (solution.weights, torch.from_numpy(stacked(reference)))
    )
    assert solution.converged
    assert not recwarn.list
    assert (ours <= theirs * (1 + 1e-6)).all()


def test_features_of_zero_leave_the_bias():
    labels = np.array([0, 0, 0, 1])
    solution = minimise(problem(np.zeros((4, 3), np.float32), labels, Softmax(), 1.0, 0.0))
    assert solution.weights[:-1].abs().max() == 0
    assert float(solution.weights[-1, 0] - solution.weights[-1, 1]) == pytest.approx(np.log(3), abs=1e-5)


def test_a_solver_that_is_stopped_early_says_so():
    features, labels = clusters(300, 1, 7, noise=3.0)
    with pytest.warns(RuntimeWarning, match="not at its optimum after 1 Newton steps"):
        assert not minimise(problem(features, labels, Softmax(), 100.0, 0.0), max_iterations=1).converged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert minimise(problem(features, labels, Softmax(), 100.0, 0.0)).converged


def test_standard_columns_are_those_of_scikit_learn(monkeypatch):
    features, labels = clusters(100, 1, 3)
    features[:, 2] = 5.0  # constant
    monkeypatch.setattr(linear_problem, "NUMBERS_AT_ONCE", 13 * 13)
    rows = problem(features, labels, SquaredHinge(), 1.0, 1.0, "standard").rows
    found = rows.read(slice(0, 100), torch.float64)
    np.testing.assert_allclose(found, StandardScaler().fit_transform(features.astype(np.float64)), atol=1e-9)
    assert found[:, 2].abs().max() == 0
