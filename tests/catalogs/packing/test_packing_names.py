"""What packed videos are called, and how tar files are written and cut."""

import tarfile

from vidssl.catalogs.packing.names import clean_path, file_paths, sample_keys
from vidssl.catalogs.packing.tar_files import count_samples, split_name, write_tar


def test_names_in_a_folder_keep_what_a_video_is_recognised_by():
    assert file_paths(["a/b.1.avi", "a/b.1.mkv", "./c", "../d.avi", "/e.avi"], ".mp4") == [
        "a/b.1.mp4",
        "a/2/b.1.mp4",
        "c.mp4",
        "d.mp4",
        "e.mp4",
    ]
    assert file_paths(["a/b.AVI", "a/x/../b.AVI"], None) == ["a/b.AVI", "a/2/b.AVI"]
    assert clean_path("..") == "_"


def test_keys_have_no_dots_and_none_is_there_twice():
    keys = sample_keys(["a.b/c.1.mp4", "a_b/c_1.mp4", "./x.mp4", "x.avi", "../x.webm", "y"])
    assert keys == ["a_b/c_1", "a_b/c_1_2", "x", "x_2", "x_3", "y"]


def test_members_are_cut_as_webdataset_cuts_them():
    assert split_name("a.b/c.1.MP4") == ("a.b/c", "1.mp4")
    assert split_name("c.json") == ("c", "json")
    assert [split_name(name) for name in ("a.b/c", ".hidden", "c.", "a/.x")] == [None, None, None, None]


def test_a_tar_file_tells_where_its_members_begin(tmp_path):
    members = [("a/é.mp4", b"x" * 700), ("a/é.json", b"{}"), ("long/" * 40 + "b.mp4", b""), ("c.bin", b"y" * 512)]
    starts = write_tar(tmp_path / "x.tar", members)
    contents = (tmp_path / "x.tar").read_bytes()
    assert len(contents) % 512 == 0
    for (_, member), start in zip(members, starts, strict=True):
        assert contents[start : start + len(member)] == member
    with tarfile.open(tmp_path / "x.tar") as tar:
        assert [(member.name, member.size, member.mtime, member.uid) for member in tar] == [
            (name, len(member), 0, 0) for name, member in members
        ]
    assert count_samples(tmp_path / "x.tar") == 3
