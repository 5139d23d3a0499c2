import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.listing import LISTINGS, ListedVideo, Listing
from vidssl.catalogs.preparation import bad_path, journal_path, prepare
from vidssl.catalogs.probing import ProbeOptions
from vidssl.catalogs.summary import summarise
from vidssl.cli.prepare import run_prepare
from vidssl.errors import VidsslError
from vidssl.video.decoding import DecodingError, VideoInfo

QUICK = ProbeOptions(num_workers=1, timeout_seconds=1.0)


def fake_probe(path):
    if "bad" in Path(path).name:
        raise DecodingError(path, "no frame decodes")
    if "hang" in Path(path).name:
        time.sleep(1e6)
    if "segfault" in Path(path).name:
        os.kill(os.getpid(), signal.SIGSEGV)
    with open(Path(path).parent / "probed.log", "a", errors="surrogateescape") as log:
        log.write(Path(path).name + "\n")
    return VideoInfo(num_frames=len(Path(path).name), fps=25.0, width=64, height=48, duration_seconds=2.0)


def make_videos(root, *names):
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).write_bytes(b"video")
    return root


def command(*words):
    return run_prepare([str(word) for word in words])


def read_bad(output):
    with bad_path(output).open(newline="") as table:
        return list(csv.reader(table))


def test_a_catalog_of_what_decodes_and_a_list_of_what_does_not(tmp_path):
    root = make_videos(tmp_path / "v", "a.avi", "bad, (1).avi", "c'.avi", "hang.avi", "segfault.avi", "unlisted.avi")
    videos = [
        ListedVideo("a.avi", "run", "anna", ("train1", "test2")),
        ListedVideo("bad, (1).avi", "run", None, ("train1",)),
        ListedVideo("hang.avi"),
        ListedVideo("segfault.avi"),
        ListedVideo("c'.avi", "walk", "bea", ("test1",)),
    ]
    listing = Listing("csv", root, videos, [ListedVideo("gone.avi", "run", None, ("train1",))], ["jump", "run", "walk"])
    output = tmp_path / "new" / "x.catalog"
    calls = []
    catalog = prepare(listing, output, QUICK, probe=fake_probe, watch=lambda *call: calls.append(call))
    assert [(row.path, row.label, row.group, row.num_frames) for row in catalog] == [
        ("a.avi", 1, 0, 5),
        ("c'.avi", 2, 1, 6),
    ]
    assert catalog.classes == ["jump", "run", "walk"]
    assert catalog.group_names == ["anna", "bea"]
    assert {name: catalog.split(name).tolist() for name in catalog.split_names} == {
        "test1": [1],
        "test2": [0],
        "train1": [0],
    }
    assert catalog.root == root
    assert (catalog.source["listed"], catalog.source["found"], catalog.source["listed_per_split"]["train1"]) == (
        6,
        5,
        3,
    )
    assert catalog.bad == [
        ("bad, (1).avi", "no frame decodes"),
        ("hang.avi", "no answer within 1 s"),
        ("segfault.avi", "decoding crashed (signal 11)"),
        ("gone.avi", "listed but not there"),
    ]
    assert read_bad(output) == [["path", "reason"], *map(list, catalog.bad)]
    assert (calls[0], calls[-1]) == ((0, 0), (5, 3))
    assert sorted(path.name for path in output.parent.iterdir()) == ["x.catalog", "x.catalog.bad.csv"]


def test_copies_and_short_videos_are_reported(tmp_path):
    """One video under two names, in train and in test: as a copy, as a link, and by another way to it."""
    root = make_videos(tmp_path / "v", "a.avi", "b.avi", "c.avi", "d.avi")
    for name in ("b.avi", "c.avi", "d.avi"):
        (root / name).write_bytes(name.encode())
    (root / "sub").mkdir()
    shutil.copy(root / "a.avi", root / "sub" / "renamed.avi")
    (root / "linked.avi").symlink_to(root / "b.avi")
    lines = ["a.avi,train", "b.avi,train", "c.avi,train", "d.avi,test"]
    lines += ["sub/renamed.avi,test", "linked.avi,test", "sub/../c.avi,test"]
    (root / "t.csv").write_text("\n".join(["path,split", *lines]))
    listing = LISTINGS.get("csv")(list_file=root / "t.csv")
    catalog = prepare(listing, tmp_path / "x.catalog", QUICK, probe=fake_probe)
    told = summarise(catalog)
    assert "3 videos have the same contents as others: a.avi = sub/renamed.avi, b.avi = linked.avi" in told
    assert "3 of them in test and train: " in told
    assert "7 of 7 videos are shorter than a clip of 31 frames" in told
    assert "7 of 7 videos are shorter than two clips of 31 frames (16 at stride 2), which would always" in told


def test_what_is_known_of_a_file_survives_an_interruption(tmp_path):
    root = make_videos(tmp_path / "v", "a.avi", "b.avi")

    def stop(done, bad):
        if done == 1:
            raise KeyboardInterrupt

    listing = LISTINGS.get("flat")(videos=root)
    with pytest.raises(KeyboardInterrupt):
        prepare(listing, tmp_path / "x.catalog", QUICK, probe=fake_probe, watch=stop)
    catalog = prepare(listing, tmp_path / "x.catalog", QUICK, probe=fake_probe)
    assert [row.file_state for row in catalog] == [FileState.of(root / row.path) for row in catalog]


def test_names_that_are_not_utf8(tmp_path):
    root = make_videos(tmp_path / "v", "good \udcff.avi", "bad \udcff.avi")
    catalog = prepare(LISTINGS.get("flat")(videos=root), tmp_path / "x.catalog", QUICK, probe=fake_probe)
    assert (catalog.root / catalog.path(0)).is_file()
    assert catalog.bad == [("bad \udcff.avi", "no frame decodes")]


def test_no_readable_video_is_an_error_and_is_not_remembered(tmp_path):
    listing = LISTINGS.get("flat")(videos=make_videos(tmp_path / "v", "bad.avi", "bad too.avi"))
    with pytest.raises(
        VidsslError, match=r"None of the 2 videos in .* can be read; the first is bad too.avi: no frame"
    ):
        prepare(listing, tmp_path / "x.catalog", QUICK, probe=fake_probe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v", "x.catalog.bad.csv"]


def test_a_list_of_bad_videos_does_not_outlive_them(tmp_path):
    output = tmp_path / "x.catalog"
    root = make_videos(tmp_path / "v", "a.avi", "bad.avi")
    prepare(LISTINGS.get("flat")(videos=root), output, QUICK, probe=fake_probe)
    assert bad_path(output).exists()
    (root / "bad.avi").unlink()
    prepare(LISTINGS.get("flat")(videos=root), output, QUICK, probe=fake_probe)
    assert not bad_path(output).exists()


# --- killed and resumed

SCRIPT = """
import sys, time
from pathlib import Path
from vidssl.video.decoding import VideoInfo
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.listing import LISTINGS
from vidssl.catalogs.preparation import prepare
from vidssl.catalogs.probing import ProbeOptions

def probe(path):
    with open(sys.argv[2], "a") as log:
        log.write(Path(path).name + "\\n")
    time.sleep(float(sys.argv[3]))
    return VideoInfo(10, 25.0, 64, 48, 0.4)

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    prepare(LISTINGS.get("flat")(videos=folder / "v"), folder / "x.catalog", ProbeOptions(num_workers=2), probe=probe)
"""


def test_killed_in_the_middle_it_goes_on_and_probes_nothing_twice(tmp_path):
    names = [f"{number:02d}.avi" for number in range(40)]
    make_videos(tmp_path / "v", *names)
    (tmp_path / "script.py").write_text(SCRIPT)
    journal = journal_path(tmp_path / "x.catalog")

    def start(log, seconds):
        words = [sys.executable, tmp_path / "script.py", tmp_path, tmp_path / log, str(seconds)]
        return subprocess.Popen(words)

    first = start("first.log", 0.05)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 10:
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert not (tmp_path / "x.catalog").exists()
    answered = {json.loads(line)["path"] for line in journal.read_text().splitlines()}
    assert 10 <= len(answered) < 40
    with journal.open("a") as stream:
        stream.write('{"path": "39.avi", "size": 5, "mt')  # as a full disk or a power cut would leave it

    assert start("second.log", 0).wait() == 0
    probed_again = (tmp_path / "second.log").read_text().split()
    assert sorted([*answered, *probed_again]) == names
    assert [row.path for row in Catalog.open(tmp_path / "x.catalog")] == names
    assert not journal.exists()


def test_a_video_that_changed_is_probed_again(tmp_path):
    root = make_videos(tmp_path / "v", "a.avi", "b.avi", "wrong decoder.avi")
    listing = LISTINGS.get("flat")(videos=root)

    def stop(done, bad):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(listing, tmp_path / "x.catalog", QUICK, probe=fake_probe, watch=stop)
    (root / "b.avi").write_bytes(b"another video")
    (root / "probed.log").unlink()
    prepare(listing, tmp_path / "x.catalog", QUICK, probe=fake_probe)
    assert (root / "probed.log").read_text() == "b.avi\n"


def test_lines_of_the_journal_without_sense_are_probed_again(tmp_path):
    root = make_videos(tmp_path / "v", "a.avi", "b.avi")
    journal_path(tmp_path / "x.catalog").write_bytes(b'[]\nnull\n{"path": "a.avi"}\n\xff\xfe\n')
    prepare(LISTINGS.get("flat")(videos=root), tmp_path / "x.catalog", QUICK, probe=fake_probe)
    assert (root / "probed.log").read_text() == "a.avi\nb.avi\n"


def test_two_processes_do_not_prepare_one_catalog(tmp_path):
    root = make_videos(tmp_path / "v", "a.avi")

    def watch(done, bad):
        with pytest.raises(VidsslError, match=r"x.catalog.partial.jsonl is being written by process \d+ on"):
            prepare(LISTINGS.get("flat")(videos=root), tmp_path / "x.catalog", QUICK, probe=fake_probe)

    prepare(LISTINGS.get("flat")(videos=root), tmp_path / "x.catalog", QUICK, probe=fake_probe, watch=watch)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["v", "x.catalog"]


# --- where nothing can be written


def test_a_full_disk_stops_at_once_and_says_so(tmp_path):
    root = make_videos(tmp_path / "v", "a.avi", "b.avi")
    journal_path(tmp_path / "x.catalog").symlink_to("/dev/full")
    with pytest.raises(VidsslError, match=r"Cannot write .*x.catalog.partial.jsonl: No space left on device"):
        prepare(LISTINGS.get("flat")(videos=root), tmp_path / "x.catalog", QUICK, probe=fake_probe)


@pytest.mark.parametrize("folder", ["a file", "/proc/nowhere"])
def test_an_output_folder_that_cannot_be_written_is_told_before_probing(tmp_path, folder):
    root = make_videos(tmp_path / "v", "a.avi")
    (tmp_path / "a file").write_text("")
    output = tmp_path / folder / "x.catalog"
    with pytest.raises(VidsslError, match=r"Cannot write .*choose another output folder"):
        prepare(LISTINGS.get("flat")(videos=root), output, QUICK, probe=fake_probe)
    assert not (root / "probed.log").exists()


# --- the command, with real videos


def test_the_command_prepares_real_class_folders(real_videos, tmp_path, capsys, monkeypatch):
    (tmp_path / "videos").mkdir()
    for name in ("run", "walk"):
        (tmp_path / "videos" / name).symlink_to(real_videos / "weizmann" / name)
    monkeypatch.chdir(tmp_path)
    words = ["class_folders", "--videos", "videos", "--group-pattern", "^([^_]+)_", "--output", "data/w.catalog"]
    assert command(*words) == 0
    told = capsys.readouterr()
    assert "class_folders: found 18 of 18 listed videos" in told.out
    assert "groups     9: daria, denis, eli, ido, ..." in told.out
    assert "vidssl split data/w.catalog --by group --test-share 0.3 --output data/w_split.catalog\n" in told.out
    assert "Next: vidssl fit --config" in told.out
    assert "probed 18 of 18 videos, 0 bad" in told.err
    catalog = Catalog.open(tmp_path / "data" / "w.catalog")
    assert catalog.classes == ["run", "walk"]
    assert set(catalog.widths) == {180}
    assert catalog.root == tmp_path / "videos"

    (tmp_path / "moved").mkdir()
    (tmp_path / "data").rename(tmp_path / "moved" / "data")
    assert Catalog.open(tmp_path / "moved" / "data" / "w.catalog").root == tmp_path / "moved" / "videos"
    monkeypatch.chdir(tmp_path / "moved")
    with pytest.raises(
        VidsslError, match=r"data/w.catalog already exists; choose another --output, or add --overwrite"
    ):
        command(*words)


def test_the_command_reads_a_table_and_tells_what_is_missing(real_videos, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("path,label,split\nPunch/v_Punch_g01_c01.avi,Punch,train\nPunch/gone.avi,Punch,train;test\n")
    videos = real_videos / "ucf101_subset"
    output = tmp_path / "t.catalog"
    assert command("csv", "--list-file", table, "--videos", videos, "--output", output, "--workers", 1) == 0
    told = capsys.readouterr().out
    assert "found 1 of 2 listed videos (50.0 % missing)" in told
    assert "Punch/gone.avi: listed but not there" in told
    assert "splits     test 0 of 1, train 1 of 2" in told
    assert f"--data.catalog {output} --data.train_split train" in told


def test_every_damaged_file_is_listed_with_its_reason(real_videos, tmp_path):
    output = tmp_path / "edge.catalog"
    assert command("flat", "--videos", real_videos / "edge" / "derived", "--output", output) == 0
    catalog = Catalog.open(output)
    assert {path for path, _ in catalog.bad} == {
        "audio_only.mp4",
        "kinetics_truncated_no_moov.mp4",
        "not_a_video.mp4",
        "zero_byte.mp4",
    }
    assert all(reason for _, reason in catalog.bad)
    frames = {row.path: row.num_frames for row in catalog}
    assert frames["ucf_truncated_40pct.avi"] == 47  # the header says 121


def test_an_unknown_decoder_is_told_with_the_known_ones(real_videos, tmp_path):
    words = ["flat", "--videos", real_videos / "weizmann", "--output", tmp_path / "x.catalog", "--decoder", "decrod"]
    with pytest.raises(VidsslError, match=r"Unknown decoder 'decrod'. Did you mean 'decord'\?"):
        command(*words)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_says_how_to_go_on(real_videos, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vidssl.cli.prepare.prepare", interrupted)
    words = ["flat", "--videos", real_videos / "weizmann", "--output", tmp_path / "x.catalog"]
    assert command(*words) == 130
    assert "Give the same command again to continue" in capsys.readouterr().err


def test_help_has_an_example_for_every_kind(capsys):
    for kind in LISTINGS.names():
        with pytest.raises(SystemExit, match="0"):
            command(kind, "--help")
        assert f"vidssl prepare {kind} " in " ".join(capsys.readouterr().out.split())


def test_preparing_needs_no_torch():
    code = "import sys, vidssl.cli.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
