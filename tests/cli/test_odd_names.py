"""Names of files and folders that are not UTF-8, from preparation to the pictures of what was trained."""

import os
import shutil

import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.cli.main import main
from vidssl.data.labelled import LabelledSubset


@pytest.fixture
def odd_catalog(synthetic_catalog, tmp_path):
    catalog = Catalog.open(synthetic_catalog)
    for place, row in enumerate(list(catalog)[:24]):
        folder = os.fsencode(tmp_path / "videos") + f"/{row.label}-".encode() + b"\xe9t\xe9"
        os.makedirs(folder, exist_ok=True)
        shutil.copy(catalog.root / row.path, folder + b"/caf\xe9_%02d.mp4" % place)
    words = ["prepare", "class_folders", "--videos", tmp_path / "videos", "--group-pattern", r"_(\d)"]
    assert main([*map(str, words), "--output", str(tmp_path / "odd.catalog"), "--workers", "1"]) == 0
    return tmp_path / "odd.catalog"


def trained(odd_catalog, small_config, tmp_path, monkeypatch, workers):
    """Train for a step; return what `evaluate` needs, and what `show` needs."""
    monkeypatch.setenv("WANDB_MODE", "disabled")
    data = ["--data.catalog", str(odd_catalog), "--data.train_split", "all", "--data.loading.num_workers", workers]
    brief = ["--trainer.limit_val_batches", "0", "--trainer.num_sanity_val_steps", "0", "--trainer.max_steps", "1"]
    assert main(["fit", "--config", str(small_config), *data, *brief]) == 0
    checkpoint = str(tmp_path / "runs" / "small" / "checkpoints" / "last.ckpt")
    of_it = ["--checkpoint", checkpoint, "--data", str(odd_catalog), "--protocol", "knn-leave-one-group-out"]
    return of_it, ["--config", str(small_config), *data, "--output", str(tmp_path / "show"), "--videos", "1"]


@pytest.mark.filterwarnings("ignore")
def test_training_and_its_record_take_names_that_are_not_utf8(odd_catalog, small_config, tmp_path, capsys, monkeypatch):
    catalog = Catalog.open(odd_catalog)
    assert "\udce9" in catalog.path(0)
    assert catalog.classes[0] == "0-\\udce9t\\udce9"
    of_it, _ = trained(odd_catalog, small_config, tmp_path, monkeypatch, "0")
    assert main(["evaluate", *of_it]) == 2
    assert "0-\\udce9t\\udce9/caf\\udce9" in capsys.readouterr().err
    assert main(["check", "catalog", str(odd_catalog)]) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_verb_takes_names_that_are_not_utf8(odd_catalog, small_config, tmp_path, monkeypatch):
    of_it, shown = trained(odd_catalog, small_config, tmp_path, monkeypatch, "2")
    assert main(["evaluate", *of_it, "--allow-seen-videos"]) == 0
    assert main(["show", *shown]) == 0


def test_the_list_of_labelled_videos_keeps_odd_names(odd_catalog, tmp_path):
    catalog = Catalog.open(odd_catalog)
    subset = LabelledSubset(fraction=0.5)
    file = subset.write(tmp_path, catalog, subset.choose(catalog, catalog.split("all")))
    assert b"caf\xe9" in file.read_bytes()
