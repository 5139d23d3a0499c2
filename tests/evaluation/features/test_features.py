import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation_setup import CLIPS, QUIET, data_of, grouped_catalog
from pytorch_lightning import Trainer
from safetensors import safe_open

from vidssl.catalogs.catalog import Catalog
from vidssl.data.settings import AugmentedViews
from vidssl.errors import VidsslError
from vidssl.evaluation.features.encoder import OutsideWeights, load_encoder
from vidssl.evaluation.features.extraction import FeatureRequest, FeatureWriter, extract_all, extract_features
from vidssl.evaluation.features.files import FeatureFile

pytestmark = pytest.mark.filterwarnings("ignore")

REQUEST = FeatureRequest("test", CLIPS)
COMMAND = Path(__file__).parents[2] / "vidssl_with_extras.py"


@pytest.fixture(scope="module")
def catalog(synthetic_catalog, tmp_path_factory):
    return grouped_catalog(synthetic_catalog, tmp_path_factory.mktemp("grouped"), num_train=11, num_test=11)


def encoder(seed=0):
    return load_encoder(None, OutsideWeights("small", seed=seed))


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_features_are_those_of_the_network_in_the_order_of_the_rows(catalog, tmp_path):
    loaded, data = encoder(), data_of(catalog)
    each, mean = extract_all(loaded, data, [replace(REQUEST, keep="each"), REQUEST], QUIET, tmp_path)
    assert each.views.shape == (11, 2, 128)
    np.testing.assert_array_equal(each.index, data.evaluation_rows("test"))
    np.testing.assert_array_equal(each.labels, data.catalog.labels[each.index])
    np.testing.assert_array_equal(each.groups, data.catalog.groups[each.index])
    np.testing.assert_array_equal(mean.features, each.features)  # to the last bit, whichever was kept
    for batch in data.val_dataloader()["query"]:
        with torch.no_grad():
            views = torch.stack([loaded.encoder([view]) for view in batch.views], dim=1)
        np.testing.assert_allclose(each.views[np.isin(each.index, batch.index)], views, rtol=1e-5, atol=1e-6)


def test_nothing_is_computed_twice(catalog, tmp_path, monkeypatch):
    first = extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path)
    monkeypatch.setattr(Trainer, "predict", None)  # calling it would be an error
    # neither the splits of the clips nor the size of a batch decides the numbers
    clips = replace(CLIPS, gallery_split="both", batch_size=3)
    second = extract_features(encoder(), data_of(catalog), replace(REQUEST, clips=clips), QUIET, tmp_path)
    np.testing.assert_array_equal(first.views, second.views)
    assert len(names(tmp_path)) == 1


def other_catalog(catalog, tmp_path):
    return grouped_catalog(catalog, tmp_path, num_train=11, num_test=10)


@pytest.mark.parametrize(
    "changed",
    [
        {"loaded": lambda: encoder(seed=1)},
        {"request": lambda: replace(REQUEST, clips=replace(CLIPS, num_clips=3))},
        {"request": lambda: replace(REQUEST, clips=replace(CLIPS, stride=1))},
        {"request": lambda: replace(REQUEST, keep="each")},
        {"request": lambda: replace(REQUEST, split="train")},
        {"request": lambda: replace(REQUEST, augmented_views=AugmentedViews(2))},
        {"request": lambda: replace(REQUEST, augmented_views=AugmentedViews(2, seed=1))},
        {"precision": lambda: "bf16-mixed"},
    ],
    ids=["network", "clips", "stride", "views", "split", "augmented", "seed", "precision"],
)
def test_what_changes_the_numbers_changes_the_file(changed, catalog, tmp_path):
    asked = {"loaded": encoder, "request": lambda: REQUEST, "precision": lambda: "32-true"}

    def file(asked):
        values = {name: value() for name, value in asked.items()}
        return FeatureFile.of(values["loaded"], data_of(catalog), values["request"], values["precision"], tmp_path)

    assert file(asked).provenance == file(asked).provenance
    assert file(asked).path == file(asked).path
    assert file(asked | changed).provenance != file(asked).provenance
    assert file(asked | changed).path != file(asked).path


def test_another_catalog_is_encoded_anew(catalog, tmp_path):
    extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path / "features")
    shorter = other_catalog(catalog, tmp_path)
    found = extract_features(encoder(), data_of(shorter), REQUEST, QUIET, tmp_path / "features")
    assert len(found) == 10
    assert len(names(tmp_path / "features")) == 2


def test_a_file_of_another_provenance_or_cut_short_is_not_believed(catalog, tmp_path):
    whole = extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path).views.copy()  # not mapped
    (file,) = tmp_path.iterdir()
    for spoilt in (
        file.read_bytes()[:-8],
        b"nothing of the kind",
        file.read_bytes().replace(b'32-true\\"', b'16-true\\"'),
    ):
        assert spoilt != file.read_bytes()
        file.write_bytes(spoilt)
        again = extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path)
        np.testing.assert_array_equal(again.views, whole)


def test_features_in_another_order_than_they_were_written_are_made_anew(catalog, tmp_path, caplog):
    """As bit rot or a bad copy leaves them: every value is there, none is where it was."""
    whole = extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path).views.copy()
    (file,) = tmp_path.iterdir()
    contents = file.read_bytes()
    start = contents.index(whole.tobytes())
    turned = whole[::-1].tobytes()
    file.write_bytes(contents[:start] + turned + contents[start + len(turned) :])
    again = extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path)
    np.testing.assert_array_equal(again.views, whole)
    assert "cannot be used again and is made again" in caplog.text
    assert "the column 'views' has changed since it was written" in caplog.text


def test_the_file_says_where_it_comes_from(catalog, tmp_path):
    loaded, data = encoder(), data_of(catalog)
    extract_features(loaded, data, REQUEST, QUIET, tmp_path)
    (file,) = tmp_path.iterdir()
    with safe_open(file, framework="np") as opened:
        assert sorted(opened.keys()) == ["checksums", "group", "index", "label", "views"]
        assert opened.get_tensor("views").shape == (11, 1, 128)
        told = opened.metadata()
    assert loaded.provenance["sha256"] in told["provenance"]
    assert data.catalog.digest in told["provenance"]
    assert '"processes": 1' in told["made"]


class _Interrupted(Exception):
    pass


def test_an_interrupted_pass_leaves_nothing_that_looks_whole(catalog, tmp_path, monkeypatch):
    loaded = encoder()
    step = loaded.encoder.predict_step

    def fails_in_the_end(batch, batch_idx, dataloader_idx=0):
        if batch_idx == 2:
            raise _Interrupted
        return step(batch, batch_idx, dataloader_idx)

    monkeypatch.setattr(loaded.encoder, "predict_step", fails_in_the_end)
    with pytest.raises(_Interrupted):
        extract_features(loaded, data_of(catalog), REQUEST, QUIET, tmp_path)
    assert names(tmp_path) == []
    # killed while writing: what is left has another name, and is not looked at
    monkeypatch.setattr("vidssl.evaluation.features.files.os.replace", _interrupt)
    with pytest.raises(_Interrupted):
        extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path)
    assert all(not name.endswith(".safetensors") for name in names(tmp_path))
    monkeypatch.undo()
    assert len(extract_features(encoder(), data_of(catalog), REQUEST, QUIET, tmp_path)) == 11


def _interrupt(*args):
    raise _Interrupted


def test_the_writer_is_a_plain_callback(catalog, tmp_path):
    loaded, data = encoder(), data_of(catalog)
    file = FeatureFile.of(loaded, data, REQUEST, "32-true", tmp_path)
    settings = {**QUIET, "logger": False, "enable_checkpointing": False, "use_distributed_sampler": False}
    trainer = Trainer(**settings, callbacks=[FeatureWriter([file], data)])
    loader = data.evaluation_loader(data.evaluation_rows("test"))
    trainer.predict(loaded.encoder, loader, return_predictions=False)
    assert len(file.read(data)) == 11


def test_augmented_views_are_the_same_in_every_pass_and_differ_from_each_other(catalog, tmp_path):
    views = AugmentedViews(3, seed=5)
    asked = [FeatureRequest("test", replace(CLIPS, batch_size=size), "each", views) for size in (2, 5)]
    passes = [
        extract_features(encoder(), data_of(catalog), request, QUIET, tmp_path / str(number)).views
        for number, request in enumerate(asked)
    ]
    np.testing.assert_allclose(passes[0], passes[1], rtol=1e-4, atol=1e-5)
    assert len(np.unique(passes[0].round(4), axis=0)) == 11
    assert np.abs(passes[0][:, 0] - passes[0][:, 1]).max() > 0.01
    more = extract_features(
        encoder(),
        data_of(catalog),
        replace(asked[1], augmented_views=AugmentedViews(4, seed=5)),
        QUIET,
        tmp_path / "more",
    )
    np.testing.assert_allclose(more.views[:, :3], passes[1], rtol=1e-4, atol=1e-5)


# --- what goes wrong ---


def damaged_copy(synthetic_catalog, folder, place):
    """Copy the embedded videos and spoil test video number `place`; returns the catalog and the video's name."""
    shutil.copytree(synthetic_catalog.parent, folder)
    catalog = Catalog.open(folder / synthetic_catalog.name)
    video = catalog.path(int(catalog.split("test")[place]))
    (catalog.root / video).write_bytes(b"not a video any more")
    return folder / synthetic_catalog.name, video


def test_a_video_that_cannot_be_read_is_named(synthetic_catalog, tmp_path):
    file, video = damaged_copy(synthetic_catalog, tmp_path / "videos", 7)
    with pytest.raises(VidsslError, match=video):
        extract_features(encoder(), data_of(file), REQUEST, QUIET, tmp_path / "features")
    assert names(tmp_path / "features") == []


def test_a_video_that_cannot_be_read_ends_all_processes(synthetic_catalog, small_config, tmp_path):
    # in the second batch, which is that of the second process
    file, video = damaged_copy(synthetic_catalog, tmp_path / "videos", 9)
    told = ["--data.catalog", file, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(COMMAND), "validate", "--config", str(small_config), *map(str, told)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode != 0
    assert f"vidssl: error: {tmp_path / 'videos' / video}" in done.stderr
    assert "eval/" not in done.stdout


def test_a_trainer_that_cannot_be_built_is_told(catalog, tmp_path):
    with pytest.raises(VidsslError, match="trainer: "):
        extract_features(encoder(), data_of(catalog), REQUEST, {"accelerator": "abacus"}, tmp_path)
    with pytest.raises(VidsslError, match="keep is 'all'"):
        FeatureRequest("test", keep="all")
