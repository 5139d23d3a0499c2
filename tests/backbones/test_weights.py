import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vidssl.backbones import build_backbone
from vidssl.backbones.weights import load_weights
from vidssl.errors import VidsslError


@pytest.fixture
def trained():
    torch.manual_seed(1)
    return build_backbone("small")


@pytest.fixture
def fresh():
    torch.manual_seed(2)
    return build_backbone("small")


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def equal(one, other):
    return all(torch.equal(one.state_dict()[name], tensor) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize(
    "prefix", ["", "module.", "backbone.", "encoder.", "encoder_q.", "module.encoder_q.", "student.backbone."]
)
def test_prefixes_are_cut_off(prefix, trained, fresh, tmp_path):
    heads = {"projection.0.weight": torch.zeros(8, 128), "queue": torch.zeros(4)}
    torch.save(prefixed(prefix, trained.state_dict()) | heads, tmp_path / "file.pt")
    report = load_weights(fresh, tmp_path / "file.pt")
    assert (report.prefix, report.fraction) == (prefix, 1.0)
    assert report.unexpected == ("projection.0.weight", "queue")
    assert equal(fresh, trained)


@pytest.mark.parametrize("key", ["state_dict", "model_state", "model"])
def test_checkpoints_of_training_codes_load(key, trained, fresh, tmp_path):
    torch.save({"epoch": 3, key: prefixed("backbone.", trained.state_dict())}, tmp_path / "last.ckpt")
    load_weights(fresh, tmp_path / "last.ckpt")
    assert equal(fresh, trained)


def test_safetensors_load(trained, fresh, tmp_path):
    save_file({name: t.contiguous() for name, t in trained.state_dict().items()}, tmp_path / "bare.safetensors")
    assert load_weights(fresh, str(tmp_path / "bare.safetensors")).fraction == 1.0
    assert equal(fresh, trained)


@pytest.mark.parametrize(
    ("learning", "average"),
    [
        ("module.encoder_q.", "module.encoder_k."),
        ("backbone.", "key_backbone."),
        ("backbone.", "key_encoder.backbone."),
    ],
)
def test_the_learning_encoder_wins_over_its_average(learning, average, trained, fresh, tmp_path):
    other = build_backbone("small").state_dict()
    torch.save(prefixed(average, other) | prefixed(learning, trained.state_dict()), tmp_path / "moco.pth")
    assert load_weights(fresh, tmp_path / "moco.pth").prefix == learning
    assert equal(fresh, trained)


def test_half_precision_and_missing_counters_do_not_matter(trained, fresh, tmp_path):
    state = {n: t.half() for n, t in trained.state_dict().items() if not n.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "half.pt")
    assert load_weights(fresh, tmp_path / "half.pt").fraction == 1.0
    weights = next(fresh.parameters())
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, next(trained.parameters()), rtol=1e-3, atol=1e-3)


def test_the_report_tells_what_did_not_match(trained, fresh, tmp_path):
    state = trained.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    gone, reshaped = names[-1], names[0]
    del state[gone]
    state[reshaped] = torch.zeros(2, 3)
    torch.save(state | {"fc.bias": torch.zeros(7)}, tmp_path / "part.pt")
    report = load_weights(fresh, tmp_path / "part.pt")
    own = tuple(fresh.state_dict()[reshaped].shape)
    assert (report.missing, report.unexpected, report.mismatched) == ((gone,), ("fc.bias",), ((reshaped, own, (2, 3)),))
    assert report.fraction == pytest.approx(1 - 2 / len(names))
    for told in (
        f"{len(names) - 2} of {len(names)} tensors",
        f"missing from the file: 1 ({gone})",
        "in the file 2 x 3",
    ):
        assert told in str(report)


def test_another_architecture_is_refused_and_changes_nothing(fresh, tmp_path):
    torch.save({"state_dict": prefixed("backbone.", build_backbone("slow_r18").state_dict())}, tmp_path / "other.ckpt")
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    with pytest.raises(VidsslError, match=r"other.ckpt.*(?s:.*)missing from the file(?s:.*)another architecture"):
        load_weights(fresh, tmp_path / "other.ckpt")
    assert all(torch.equal(before[name], tensor) for name, tensor in fresh.state_dict().items())


def test_another_width_is_refused_by_shapes(fresh, tmp_path):
    torch.save(prefixed("backbone.", build_backbone("small", width=2).state_dict()), tmp_path / "wide.pt")
    with pytest.raises(VidsslError, match=r"without the prefix 'backbone.'(?s:.*)of another shape: (?s:.*)options"):
        load_weights(fresh, tmp_path / "wide.pt")


class NotATensor:
    pass


def write_garbage(path):
    path.write_bytes(b"not a checkpoint at all" * 10)


@pytest.mark.parametrize(
    ("file_name", "write", "told"),
    [
        ("missing.pt", lambda path: None, "no such file"),
        ("folder.pt", lambda path: path.mkdir(), "is a folder"),
        ("garbage.pt", write_garbage, "not a checkpoint that torch can read"),
        ("empty.pt", lambda path: path.touch(), "not a checkpoint that torch can read"),
        ("garbage.safetensors", write_garbage, "Cannot read .*garbage.safetensors as safetensors"),
        (
            "objects.pt",
            lambda path: torch.save({"a": NotATensor()}, path),
            "holds Python objects .*NotATensor.* run code",
        ),
        ("module.pt", lambda path: torch.save(nn.Linear(1, 1), path), "holds Python objects .*Linear"),
        ("list.pt", lambda path: torch.save([1], path), "holds a list, not a state dict"),
        ("values.pt", lambda path: torch.save({"epoch": 1}, path), "holds no tensors .*the keys epoch"),
    ],
)
def test_files_that_are_no_checkpoint_are_told(file_name, write, told, fresh, tmp_path):
    write(tmp_path / file_name)
    with pytest.raises(VidsslError, match=told) as caught:
        load_weights(fresh, tmp_path / file_name)
    assert file_name in str(caught.value)


def test_a_checkpoint_cut_short_is_told(trained, fresh, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VidsslError, match=r"cut.pt is not a checkpoint"):
        load_weights(fresh, tmp_path / "cut.pt")
