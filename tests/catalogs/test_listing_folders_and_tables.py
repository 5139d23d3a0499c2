import pytest
from listed_files import read, touch

from vidssl.catalogs.listing import ListedVideo, Listing
from vidssl.errors import VidsslError

BOTH = "^(?P<group>[a-z]+)_(?P<label>[a-z]+)"

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


@pytest.mark.parametrize(
    ("label", "group", "expected"),
    [
        (r"_([a-z]+)", None, [("walk", None), ("run", None)]),
        (BOTH, BOTH, [("walk", "a"), ("run", "b")]),
    ],
)
def test_labels_and_groups_in_file_names(tmp_path, label, group, expected):
    touch(tmp_path, "deep/a_walk2.avi", "b_run.mp4")
    listing = read("flat", videos=tmp_path, label_pattern=label, group_pattern=group)
    videos = {video.path: (video.label, video.group) for video in listing.videos}
    assert [videos["deep/a_walk2.avi"], videos["b_run.mp4"]] == expected
    assert listing.classes == ["run", "walk"]


def test_a_label_pattern_that_does_not_fit(tmp_path):
    with pytest.raises(VidsslError, match=r"The label pattern '\^\(\[0-9\]\+\)' finds no label in 1 of 1 file names"):
        read("flat", videos=touch(tmp_path, "a_1.avi"), label_pattern="^([0-9]+)")


def test_flat_folders_are_searched_through_links_that_go_in_circles(tmp_path):
    touch(tmp_path / "elsewhere", "c.webm")
    root = touch(tmp_path / "root", "a.avi", "deep/er/b.mkv")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "deep" / "circle").symlink_to(root)
    listing = read("flat", videos=root)
    assert [video.path for video in listing.videos] == ["a.avi", "deep/er/b.mkv", "link/c.webm"]
    assert listing.classes == []


def test_links_to_folders_count_wherever_they_lie_and_whatever_comes_first(tmp_path):
    touch(tmp_path, "full/run/a.avi", "full/walk/b.avi")
    for place in ("0subset/deep", "zsubset"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "run").symlink_to(tmp_path / "full" / "run")
    (tmp_path / "full" / "run" / "up").symlink_to(tmp_path / "full")
    paths = [video.path for video in read("flat", videos=tmp_path).videos]
    inside = ["a.avi", "up/walk/b.avi"]  # full/run/up/run would lead back to full/run
    assert paths == [
        *(f"0subset/deep/run/{name}" for name in inside),
        "full/run/a.avi",
        "full/walk/b.avi",
        *(f"zsubset/run/{name}" for name in inside),
    ]


def test_files_that_are_not_looked_at_are_counted(tmp_path):
    endings = ["MTS", "m2ts", "vob", "asf", "divx", "f4v", "gif", "y4m"]
    touch(tmp_path, *(f"run/{number}.{ending}" for number, ending in enumerate(endings)), "run/x.TXT", "run/y.txt", "z")
    listing = read("flat", videos=tmp_path)
    assert len(listing.videos) == len(endings)
    assert listing.notes == ("ignored: 3 files with other endings (2 .txt, 1 without an ending)",)


def test_one_class_only_is_reported(tmp_path):
    touch(tmp_path, "UCF-101/Run/a.avi", "UCF-101/Walk/b.avi")
    (note,) = read("class_folders", videos=tmp_path).notes
    assert note.startswith("there is one class only, UCF-101; if its 2 folders are the classes, give --videos ")
    assert note.endswith("UCF-101")
    assert read("class_folders", videos=tmp_path / "UCF-101").notes == ()


def test_folders_called_by_numbers_are_classes_in_their_order(tmp_path):
    touch(tmp_path, *(f"{number}/a.avi" for number in range(12)))
    assert read("class_folders", videos=tmp_path).classes == [str(number) for number in range(12)]


@pytest.mark.parametrize("kind", ["flat", "class_folders"])
def test_missing_and_empty_folders(tmp_path, kind):
    with pytest.raises(VidsslError, match=r"There is no folder /.*absent"):
        read(kind, videos=tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(VidsslError, match=r"There is no video in /.* \(looked for files ending in .3g2"):
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


@pytest.mark.parametrize(
    ("values", "classes", "labels", "note"),
    [
        (["-1", *map(str, range(12))], [*map(str, range(12))], [-1, *range(12)], "label: '-1' (1 times) means none"),
        ([f"{n}.0" for n in range(12)], [*map(str, range(12))], [*range(12)], None),
        (["0.0", "", "1.0", "NaN", "10.0", "<NA>"], ["0", "1", "10"], [0, -1, 1, -1, 2, -1], "'<NA>' (1 times), 'NaN'"),
        (["1", "01", "1e0", "0", "+1."], ["0", "1"], [1, 1, 1, 0, 1], None),
        (["007", "003"], ["003", "007"], [1, 0], "2 different numbers from 003 to 007 become the classes 0 to 1"),
        (["run", "None", "walk", "null"], ["run", "walk"], [0, -1, 1, -1], "'None' (1 times), 'null' (1 times)"),
        (["10", "2", "x"], ["10", "2", "x"], [0, 1, 2], "'x' is not a whole number, 2 others are; so all are ordered"),
        (["0.5", "1"], ["0.5", "1"], [0, 1], "'0.5' is not a whole number"),
        (["Run", "run "], ["Run", "run"], [0, 1], "'Run' and 'run' differ in capital letters or spaces only"),
    ],
)
def test_what_labels_mean(tmp_path, values, classes, labels, note):
    names = [f"{number}.avi" for number in range(len(values))]
    lines = [f"{name},{value},{value},NaN" for name, value in zip(names, values, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,group,split", *lines]))
    listing = read("csv", list_file=tmp_path / "t.csv", videos=touch(tmp_path, *names))
    assert listing.classes == classes
    numbers = {None: -1} | {name: number for number, name in enumerate(classes)}
    assert [numbers[video.label] for video in listing.videos] == labels
    assert [video.group for video in listing.videos] == [video.label for video in listing.videos]
    assert listing.split_names == []
    assert (note is None and not listing.notes) or any(note in told for told in listing.notes)


def test_numbers_below_minus_one_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.avi,-2\nb.avi,-1\nc.avi,0\n")
    with pytest.raises(VidsslError, match=r"The column 'label' holds -2, -1: of numbers below 0 only -1 has a meaning"):
        read("csv", list_file=tmp_path / "t.csv", videos=touch(tmp_path, "a.avi"))


def test_videos_that_no_list_names_are_counted(tmp_path):
    (tmp_path / "t.csv").write_text("path\nx/a.avi\n")
    listing = read("csv", list_file=tmp_path / "t.csv", videos=touch(tmp_path, "x/a.avi", "x/b.avi", "x/c.avi"))
    assert listing.notes == ("2 videos are in the folder but in no list (x/b.avi, ...)",)


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
        ("path,label,label\nx.avi,a,b\n", "line 1: the column 'label' is there twice"),
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
