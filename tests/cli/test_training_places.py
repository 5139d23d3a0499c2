"""Training from files, from shards, over HTTP and from a bucket ends in the same run, also after it was killed."""

from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from range_server import serving
from s3_server import put_folder, s3_bucket
from whole_runs import COMMAND, assert_same_run, last_checkpoint, vidssl

from vidssl.catalogs.catalog import Catalog

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def shards(synthetic_catalog, tmp_path_factory):
    """The videos in tar shards; the catalog of them."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    flags = ["--output", folder, "--preset", "keep", "--shards", "60kB", "--workers", "2"]
    vidssl("pack", "--catalog", synthetic_catalog, *flags, command=COMMAND)
    return folder / synthetic_catalog.name


@pytest.fixture(scope="module")
def command(synthetic_catalog, tmp_path_factory):
    """The flags that train a shipped configuration for 12 steps in three epochs, with a checkpoint after each step."""

    def flags(name):
        config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        for callback in config["trainer"]["callbacks"]:
            if callback["class_path"] == "ModelCheckpoint" and callback["init_args"].get("save_last"):
                del callback["init_args"]["every_n_epochs"], callback["init_args"]["save_on_train_epoch_end"]
                callback["init_args"]["every_n_train_steps"] = 1
        file = tmp_path_factory.mktemp("config") / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        words = ["--config", file, "--wandb.mode", "disabled", "--data.loading.num_workers", "2"]
        words += ["--data.batch_size", "8", "--trainer.max_epochs", "3", "--trainer.num_sanity_val_steps", "0"]
        return [*words, "--trainer.check_val_every_n_epoch", "3"]

    return flags


@pytest.fixture(scope="module")
def from_files(command, synthetic_catalog, tmp_path_factory):
    """A run that reads files and is not interrupted, of each configuration."""
    runs = {}

    def run(name):
        if name not in runs:
            runs[name] = tmp_path_factory.mktemp("runs") / "files"
            where = ["--data.catalog", synthetic_catalog, "--run_dir", runs[name]]
            vidssl("fit", *command(name), *where, command=COMMAND)
        return runs[name]

    return run


@pytest.fixture
def places(shards, synthetic_catalog):
    """Each kind of place, with the catalog to name and a context that yields the root of the videos."""
    return {
        "shards": (shards, lambda: local(shards.parent)),
        "files over HTTP": (synthetic_catalog, lambda: over_http(Catalog.open(synthetic_catalog).root)),
        "shards over HTTP": (shards, lambda: over_http(shards.parent)),
        "shards in a bucket": (shards, lambda: in_a_bucket(shards.parent)),
    }


@contextmanager
def local(folder):
    yield folder


@contextmanager
def over_http(folder):
    with serving(folder) as (url, failures):
        yield url
        assert failures.ranges  # the videos came from here


@contextmanager
def in_a_bucket(folder):
    with s3_bucket("videos") as put:
        put_folder(put, folder, "k")
        yield "s3://videos/k"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("quickstart", "shards"),
        ("quickstart", "files over HTTP"),
        ("quickstart", "shards over HTTP"),
        ("quickstart", "shards in a bucket"),
        ("small/mcl", "shards in a bucket"),
    ],
)
def test_killed_in_mid_epoch_and_continued_it_ends_like_the_run_from_files(
    command, from_files, places, tmp_path, name, place
):
    catalog, reached = places[place]
    killer = ["--trainer.callbacks+=dying_runs.SignalInStep", "--trainer.callbacks.number=9"]
    killer += ["--trainer.callbacks.step=6"]
    with reached() as root:
        flags = [*command(name), "--data.catalog", catalog, "--data.root", root, "--run_dir", tmp_path / "run"]
        assert vidssl("fit", *flags, *killer, check=False, command=COMMAND).returncode == -9
        assert last_checkpoint(tmp_path / "run")["global_step"] == 6
        vidssl("fit", *flags, "--ckpt_path", "last", command=COMMAND)
    assert last_checkpoint(tmp_path / "run")["global_step"] == 12
    assert_same_run(from_files(name), tmp_path / "run")
