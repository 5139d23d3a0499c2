import pytest
from listed_files import read, touch

from vidssl.catalogs.listing import ListedVideo, Listing
from vidssl.errors import VidsslError

# --- folders


def test_class_folders_with_persons(real_videos):
    listing = read("class_folders", videos=real_videos / "weizmann", group_pattern=r"^([^_]+)_")
    assert len(listing.videos) == 90
    assert (len(listing.classes), len(listing.group_names)) == (10, 9)
    assert listing.videos[0] == ListedVideo("bend/daria_bend.avi", "bend", "daria")
    assert listing.found_sentence() == "found 90 of 90 listed videos"


def test_class_folders_with_deep_and_odd_names(tmp_path):
    touch(tmp_path, "run/2019/a (1)+'!.avi", "walk/b c.MP4", "walk/readme.txt", ".trash/c.avi")
    listing = read("class_folders", videos=tmp_path)
    assert listing.videos == [ListedVideo("run/2019/a (1)+'!.avi", "run"), ListedVideo("walk/b c.MP4", "walk")]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("^([a-z]+)$", r"finds no group in 1 of 1 file names, such as a_1.avi"),
        ("^[a-z]+_", "has no bracket"),
        ("^([a-z]+_", "is not a regular expression"),
    ],
)
def test_group_patterns_that_do_not_fit(tmp_path, pattern, message):
    with pytest.raises(VidsslError, match=message):
        read("class_folders", videos=touch(tmp_path, "run/a_1.avi"), group_pattern=pattern)


def test_class_folders_refuse_loose_videos(tmp_path):
    with pytest.raises(VidsslError, match=r"holds 1 videos outside of its class folders, such as b.avi"):
        read("class_folders", videos=touch(tmp_path, "run/a.avi", "b.avi"))


def test_flat_folders_are_searched_through_links_that_go_in_circles(tmp_path):
    touch(tmp_path / "elsewhere", "c.webm")
    root = touch(tmp_path / "root", "a.avi", "deep/er/b.mkv")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "deep" / "circle").symlink_to(root)
    listing = read("flat", videos=root)
    assert [video.path for video in listing.videos] == ["a.avi", "deep/er/b.mkv", "link/c.webm"]
    assert listing.classes == []


@pytest.mark.parametrize("kind", ["flat", "class_folders"])
def test_missing_and_empty_folders(tmp_path, kind):
    with pytest.raises(VidsslError, match=r"There is no folder /.*absent"):
        read(kind, videos=tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(VidsslError, match=r"There is no video in /.* \(looked for files ending in .3gp"):
        read(kind, videos=tmp_path)


# --- tables


def test_csv_with_all_columns(tmp_path):
    table = tmp_path / "my set.csv"
    table.write_text('path,label,group,split\na/x.avi,10,anna,train1; test2\n"b, (2).mp4",2,,\ngone.avi,9,bea,train1\n')
    listing = read("csv", list_file=table, videos=touch(tmp_path / "v", "a/x.avi", "b, (2).mp4", "unlisted.avi"))
    assert listing.videos == [
        ListedVideo("a/x.avi", "10", "anna", ("train1", "test2")),
        ListedVideo("b, (2).mp4", "2"),
    ]
    assert [video.path for video in listing.missing] == ["gone.avi"]
    assert listing.classes == ["2", "9", "10"]  # in the order of numbers


def test_csv_with_paths_only_lies_beside_its_videos(tmp_path):
    touch(tmp_path, "x.avi", "y.avi")
    (tmp_path / "t.csv").write_text(f"path\nx.avi\n{tmp_path / 'y.avi'}\n")
    listing = read("csv", list_file=tmp_path / "t.csv")
    assert listing.root == tmp_path
    assert listing.videos == [ListedVideo("x.avi"), ListedVideo("y.avi")]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "line 1: there are no column names; the first line must hold path"),
        ("file,label\nx.avi,a\n", "line 1: there is no column 'path' among file, label"),
        ("path,lable\nx.avi,a\n", r"line 1: unknown column 'lable'. Did you mean 'label'\?"),
        ("path,label,label\nx.avi,a,b\n", "line 1: the column 'label' stands there twice"),
        ("path,label\nx.avi,a,b\n", "line 2: 3 values under 2 columns"),
        ("path,label\n,a\n", "line 2: the path is empty"),
        ("path\nx.avi\n./x.avi\n", r"line 3: 'x.avi' was listed before, in .*t.csv, line 2"),
        ("path\n/elsewhere/x.avi\n", "line 2: '/elsewhere/x.avi' is not below the videos' folder"),
        ('path\n"x.avi\n', "line 2: not CSV"),
        ("path\n", r"^The lists for .* name no video at all"),
        ("path\ny.avi\n", r"^None of the 1 listed videos is in"),
    ],
)
def test_malformed_tables_name_file_and_line(tmp_path, contents, message):
    (tmp_path / "t.csv").write_text(contents)
    with pytest.raises(VidsslError, match=message if message.startswith("^") else f"t.csv, {message}"):
        read("csv", list_file=tmp_path / "t.csv", videos=touch(tmp_path, "x.avi"))


def test_tables_that_cannot_be_read(tmp_path):
    with pytest.raises(VidsslError, match=r"The list .*t.csv cannot be read: No such file"):
        read("csv", list_file=tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"path\n\xff\xfe.avi\n")
    with pytest.raises(VidsslError, match=r"t.csv is not UTF-8 text"):
        read("csv", list_file=tmp_path / "t.csv")


def test_the_count_is_told_as_a_share(tmp_path):
    def sentence(found, missing):
        videos = [ListedVideo(str(number)) for number in range(found + missing)]
        return Listing("csv", tmp_path, videos[:found], videos[found:], []).found_sentence()

    assert sentence(241_258, 5_277) == "found 241,258 of 246,535 listed videos (2.1 % missing)"
    assert sentence(9_999, 1) == "found 9,999 of 10,000 listed videos (less than 0.1 % missing)"
