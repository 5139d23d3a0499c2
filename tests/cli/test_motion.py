import shutil
import subprocess
import sys
from functools import partial

import motion_scenes as scenes
import numpy as np
import pytest
from fake_motion import fake_motion, make_job, numbered

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.cli import main as cli
from vidssl.cli import motion as command
from vidssl.cli.motion import run_motion
from vidssl.errors import VidsslError
from vidssl.motion.settings import MotionSettings
from vidssl.motion.store import MotionStore, StoredVideo, write_store
from vidssl.motion.whole_catalog import compute_share


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a catalog of eight videos, one of them bad, whose motion is made up."""
    make_job(tmp_path, ["bad.avi", *numbered(7)])
    monkeypatch.setattr(command, "compute_share", partial(compute_share, extract=fake_motion))
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def motion(*words):
    return run_motion(["--data.catalog", "x.catalog", "--workers", "1", *map(str, words)])


def test_it_tells_before_what_it_needs_and_after_what_there_is(folder, capsys):
    assert motion("--output", "out/x.motion") == 0
    told = capsys.readouterr()
    assert "motion of 8 videos, 129 frames, by codec (where it finds nothing: dis)" in told.out
    assert "17 of 28 x 28, one every 8 frames, uint8" in told.out
    assert "0.01 MB (1.7 kB per video), 0.03 MB while it is made;" in told.out
    assert "processes  1, at most 1800 s per video" in told.out
    assert "motion of  7 of 8 videos (7 by codec)" in told.out
    assert "bad.avi: no frame decodes" in told.out
    following = "vidssl fit --config FILE --data.catalog x.catalog --data.motion.store out/x.motion"
    assert told.out.endswith(f"\nNext: {following}\n")
    assert "motion of 8 of 8 videos, 1 bad" in told.err
    store = MotionStore.open("out/x.motion", Catalog.open("x.catalog"), MotionSettings())
    assert store[3].maps.shape == (2, 28, 28)
    assert [path.name for path in (folder / "out").iterdir()] == ["x.motion"]


def test_what_is_there_is_kept_unless_it_is_something_else(folder, capsys):
    motion("--output", "x.motion", "--dtype", "float16")
    before = (folder / "x.motion").read_bytes()
    assert motion("--output", "x.motion") == 0
    assert "x.motion already exists; nothing to do" in capsys.readouterr().out
    assert (folder / "x.motion").read_bytes() == before
    make_job(folder, numbered(3))
    with pytest.raises(VidsslError, match=r"another catalog .* To replace the file, add --overwrite"):
        motion("--output", "x.motion")
    assert motion("--output", "x.motion", "--overwrite") == 0
    assert len(MotionStore.open("x.motion", Catalog.open("x.catalog"))) == 3


def test_the_processes_of_a_launcher_share_the_work_and_the_last_one_ends_it(folder, capsys, monkeypatch):
    motion("--output", "alone.motion")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert motion("--output", "x.motion") == 0
    told = capsys.readouterr().out
    assert "share      1 of 2, 4 videos (SLURM: SLURM_PROCID=1, SLURM_NTASKS=2)" in told
    assert "Share 1 of 2 is done; 4 of 8 videos are not in a shard" in told
    with pytest.raises(VidsslError, match=r"4 of 8 videos are not in a shard .* Start the shares that ended early"):
        motion("--output", "x.motion", "--merge")
    assert motion("--output", "x.motion", "--share", "0/2") == 0
    assert (folder / "x.motion").read_bytes() == (folder / "alone.motion").read_bytes()


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(folder, monkeypatch):
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=20_000))
    with pytest.raises(VidsslError, match=r"0.03 MB will be written .* and 0.02 MB are free there. Choose another"):
        motion("--output", "x.motion")
    assert sorted(path.name for path in folder.iterdir()) == ["x.catalog"]


def test_an_interrupt_says_how_to_go_on(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "compute_share", interrupted)
    assert motion("--output", "x.motion") == 130
    assert "Give the same command again to continue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.catalog", "x.catalog"], "Give --output FILE, or name the file in the configuration"),
        (["--data.catlog", "x.catalog"], "Unknown key 'data.catlog'. Did you mean 'data.catalog'?"),
        (["--output", "x.motion"], "data.catalog"),
        (["--data.catalog", "x.catalog", "--ouput", "x"], "ouput"),
        (["--data.catalog", "gone.catalog", "--output", "x"], "There is no catalog"),
        (["--data.catalog", "x.catalog", "--data.root", "gone", "--output", "x"], "data.root: there is no folder"),
        (["--data.catalog", "x.catalog", "--output", "x", "--dtype", "unit8"], "Did you mean 'uint8'"),
        (["--data.catalog", "x.catalog", "--output", "x", "--share", "2/2"], "There is no share 2 of 2 (--share)"),
        (["--data.catalog", "x.catalog", "--output", "x", "--share", "2"], "--share is written like 0/8"),
        (["--config", "gone.yaml"], "--config: gone.yaml is not there"),
    ],
)
def test_mistakes_end_in_a_message(folder, capsys, words, message):
    assert cli.main(["motion", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_help_imports_no_torch():
    code = "import sys; from vidssl.cli.main import main; sys.argv = ['vidssl']; main(['motion', '--help'])"
    check = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert told.endswith("False\n")
    assert "short_side" in told
    assert "srun --ntasks" in told


def test_the_configuration_of_a_training_names_catalog_settings_and_file(folder, monkeypatch):
    (folder / "mcl.yaml").write_text(
        "run_dir: runs/x\nmodel: {class_path: NotLookedAt}\n"
        "data: {catalog: x.catalog, batch_size: 4, motion: {store: '${run_dir}.motion', settings: {grid: [6, 6]}}}\n"
    )
    (folder / "more.yaml").write_text("run_dir: out\ndata: {motion: {settings: {stride: 2}}}\n")
    words = ["--config", "mcl.yaml", "--config", "more.yaml", "--data.motion.settings.estimator", "dis"]
    assert run_motion([*words, "--workers", "1", "--model.init_args.temperature", "0.2"]) == 0
    settings = MotionSettings(estimator="dis", grid=(6, 6), stride=2)
    assert len(MotionStore.open("out.motion", Catalog.open("x.catalog"), settings)) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.motion.settings.estimator", "diss"], "unknown flow estimator 'diss'. Did you mean 'dis'"),
        (["--data.motion.settings.srtide", "2"], "Did you mean 'settings.stride'"),
        (["--data.motion.settings.stride", "two"], "data.motion"),
    ],
)
def test_mistakes_in_the_settings_name_their_key(folder, capsys, words, message):
    assert cli.main(["motion", "--data.catalog", "x.catalog", "--output", "x.motion", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_it_ends_with_how_many_fell_back_and_how_many_barely_move(folder):
    job = make_job(folder, numbered(4))
    moving, still = np.ones(2, np.float32), np.zeros(2, np.float32)
    videos = [
        StoredVideo(16, "codec", moving),
        StoredVideo(16, "dis", still),
        StoredVideo(16, "dis", moving),
        StoredVideo(0, "", moving[:0], "it hangs"),
    ]
    shares = [np.zeros((2, 6, 6), np.uint8)] * 3
    write_store(job.output, videos, shares, catalog=job.catalog, settings=job.settings, dtype="uint8")
    told = command.summarise(MotionStore.open(job.output), job.catalog)
    assert "3 of 4 videos (1 by codec, 2 by dis)" in told
    assert "fell back  2 without motion vectors, to dis" in told
    assert "still      1 where nothing moves beyond noise" in told


def test_estimators_are_compared_on_a_sample_of_the_catalog(tmp_path, monkeypatch, capsys):
    rows = []
    for name, speed in (("moving.avi", (2, 0)), ("still.avi", None)):
        scenes.encode(tmp_path / name, scenes.pan(12, (0, 0), object_speed=speed))
        rows.append(VideoRow(name, -1, -1, 12, 25.0, scenes.WIDTH, scenes.HEIGHT, 1.0))
    rows.append(VideoRow("gone.avi", -1, -1, 12, 25.0, 128, 96, 1.0))
    write_catalog(tmp_path / "x.catalog", rows, classes=[], group_names=[], splits={}, root=tmp_path, source={})
    monkeypatch.chdir(tmp_path)
    assert motion("--compare", "codec", "farneback", "dis", "--sample", "3") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "compared on 2 of 3 videos, evenly picked; 1 more cannot be read"
    costs, pairs = ([line.split() for line in told[first : first + 3]] for first in (2, 6))
    assert [line[0] for line in costs] == ["codec", "farneback", "dis"]
    assert all(float(line[1]) > 0 and line[2:] == ["1", "videos"] for line in costs)
    assert [line[:3] for line in pairs] == [
        ["codec", "and", "farneback"],
        ["codec", "and", "dis"],
        ["farneback", "and", "dis"],
    ]
    assert all(float(line[3]) > 0.8 and line[4:] == ["0", "%", "1"] for line in pairs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dis"], "--compare needs two estimators or more, such as --compare codec dis; got dis"),
        (["dis", "farnebak"], "Did you mean 'farneback'"),
        (["dis", "farneback", "--sample", "0"], "--sample is a number of videos, at least 1, got 0"),
    ],
)
def test_mistakes_in_a_comparison_are_told(folder, words, message):
    with pytest.raises(VidsslError, match=message):
        motion("--compare", *words)
