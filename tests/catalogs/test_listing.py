import json

import pytest
from listed_files import counts, read, touch

from vidssl.catalogs.listing import ListedVideo
from vidssl.catalogs.listing.files import scan_videos
from vidssl.errors import VidsslError

# --- UCF101 and HMDB51


@pytest.mark.parametrize("folder", [".", "ucfTrainTestlist"])
def test_ucf101_official_counts(real_videos, folder):
    listing = read("ucf101", videos=real_videos / "ucf101_subset", lists=real_videos / "splits" / folder)
    expected = {"train1": 9537, "test1": 3783, "train2": 9586, "test2": 3734, "train3": 9624, "test3": 3696}
    assert counts(listing) == expected
    assert listing.num_listed == 13320
    assert len(listing.classes) == 101
    assert listing.classes[0] == "ApplyEyeMakeup"
    assert listing.classes[-1] == "YoYo"
    on_disk = len(scan_videos(real_videos / "ucf101_subset"))
    assert listing.found_sentence().startswith(f"found {on_disk} of 13,320 listed videos (99.")


def test_ucf101_groups_and_splits(real_videos):
    listing = read("ucf101", videos=real_videos / "ucf101_subset", lists=real_videos / "splits")
    first = next(video for video in listing.videos if video.path == "YoYo/v_YoYo_g02_c03.avi")
    assert first == ListedVideo("YoYo/v_YoYo_g02_c03.avi", "YoYo", "g02", ("test1", "train2", "train3"))


@pytest.mark.parametrize(
    "path",
    [
        "v_HandStandPushups_g01_c01.avi",  # flat
        "HandstandPushups/v_HandStandPushups_g01_c01.avi",
        "HandStandPushups/v_HandstandPushups_g01_c01.mp4",  # respelled, and encoded again
        "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.AVI",
    ],
)
def test_ucf101_handstand_pushups_is_found_however_it_is_spelled(real_videos, tmp_path, path):
    touch(tmp_path, path, "HandstandPushups/._v_HandStandPushups_g01_c01.avi", "HandstandPushups/notes.txt")
    (video,) = read("ucf101", videos=tmp_path, lists=real_videos / "splits").videos
    assert video == ListedVideo(path, "HandstandPushups", "g01", ("test1", "train2", "train3"))


def test_hmdb51_official_counts_and_odd_names(real_videos, tmp_path):
    odd = "Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_le_goo_3.avi"
    touch(tmp_path, f"brush_hair/{odd}", "21_wave_u_nm_np1_fr_goo_5.avi")
    listing = read("hmdb51", videos=tmp_path, lists=real_videos / "splits")
    assert counts(listing) == {
        f"{part}{split}": number for part, number in (("train", 3570), ("test", 1530)) for split in (1, 2, 3)
    }
    assert listing.num_listed == 3570 + 1530 + 1666
    assert len(listing.classes) == 51
    assert listing.classes[0] == "brush_hair"
    assert {video.path: video.label for video in listing.videos} == {
        f"brush_hair/{odd}": "brush_hair",
        "21_wave_u_nm_np1_fr_goo_5.avi": "wave",
    }
    assert "train1" not in next(video for video in listing.videos if video.path.endswith(odd)).splits


@pytest.mark.parametrize(
    ("kind", "path", "label"),
    [
        ("ucf101", "applyeyemakeup/V_APPLYEYEMAKEUP_G01_C01.avi", "ApplyEyeMakeup"),
        ("ucf101", "HANDSTANDPUSHUPS/v_handstandpushups_g01_c01.avi", "HandstandPushups"),
        ("hmdb51", "Brush_Hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair"),
        ("hmdb51", "WAVE/21_Wave_u_nm_np1_fr_goo_5.AVI", "wave"),
    ],
)
def test_names_of_classes_and_files_match_whatever_their_case(real_videos, tmp_path, kind, path, label):
    touch(tmp_path, path)
    listing = read(kind, videos=tmp_path, lists=real_videos / "splits")
    assert [(video.path, video.label) for video in listing.videos] == [(path, label)]
    assert label in listing.classes


def test_lists_that_are_not_the_official_ones(real_videos, tmp_path):
    official = real_videos / "splits" / "ucfTrainTestlist"
    for path in official.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / "testlist01.txt").read_text().splitlines()
    (tmp_path / "testlist01.txt").write_text("\n".join(lines[1:]))
    videos = real_videos / "ucf101_subset"
    with pytest.raises(VidsslError, match=r"put 3,782 videos into test1 of UCF101, the official ones 3,783"):
        read("ucf101", videos=videos, lists=tmp_path)
    (tmp_path / "testlist01.txt").write_text("\n".join(["v_YoYo.avi", *lines[1:]]))
    with pytest.raises(VidsslError, match=r"testlist01.txt, line 1: 'v_YoYo.avi' does not start with the folder"):
        read("ucf101", videos=videos, lists=tmp_path)
    (tmp_path / "trainlist01.txt").unlink()
    with pytest.raises(VidsslError, match=r"The list .*trainlist01.txt cannot be read: No such file"):
        read("ucf101", videos=videos, lists=tmp_path)
    (tmp_path / "classInd.txt").write_text("0 ApplyEyeMakeup\n")
    with pytest.raises(VidsslError, match=r"classInd.txt does not number 101 classes from 1"):
        read("ucf101", videos=videos, lists=tmp_path)
    with pytest.raises(VidsslError, match=r"does not hold HMDB51's official lists"):
        read("hmdb51", videos=videos, lists=official)
    (tmp_path / "wave_test_split1.txt").write_text("x.avi 1\n")
    with pytest.raises(VidsslError, match=r"for 1 classes, HMDB51 has 51"):
        read("hmdb51", videos=videos, lists=tmp_path)


def test_a_list_none_of_whose_videos_is_there_says_where_it_looked(real_videos):
    with pytest.raises(
        VidsslError, match=r"None of the 6,766 listed videos is in /.*weizmann \(looked for brush_hair/"
    ):
        read("hmdb51", videos=real_videos / "weizmann", lists=real_videos / "splits")


# --- Kinetics


KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
playing violin,-Abc_1,3,13,train,0
abseiling,-abc_1,3,13,train,0
"tossing ""it"", high",dup,0,10,validate,0
abseiling,dup,20,30,validate,0
abseiling,gone,7.0,17.0,validate,0
"""


def test_kinetics_names_folders_and_splits(tmp_path):
    lists = [tmp_path / "all.csv", tmp_path / "test.csv"]
    lists[0].write_text(KINETICS.replace("\n", "\r\n"), encoding="utf-8-sig")
    lists[1].write_text("youtube_id,time_start,time_end,split\nheld_out,1,11,test\n")
    videos = touch(
        tmp_path / "videos",
        "train/playing_violin/-Abc_1_000003_000013.mp4",
        "train/abseiling/-abc_1.mkv",  # another video: case tells YouTube's names apart
        "val/dup_000000_000010.webm",
        "val/dup.mp4",  # two clips of it are listed; the bare name does not say which this is
        "held_out.mp4",
    )
    listing = read("kinetics", videos=videos, lists=lists)
    assert listing.classes == ["abseiling", "playing violin", 'tossing "it", high']
    assert listing.videos == [
        ListedVideo("train/playing_violin/-Abc_1_000003_000013.mp4", "playing violin", None, ("train",)),
        ListedVideo("train/abseiling/-abc_1.mkv", "abseiling", None, ("train",)),
        ListedVideo("val/dup_000000_000010.webm", 'tossing "it", high', None, ("val",)),
        ListedVideo("held_out.mp4", None, None, ("test",)),
    ]
    assert [video.path for video in listing.missing] == [
        "abseiling/dup_000020_000030.mp4",
        "abseiling/gone_000007_000017.mp4",
    ]
    assert listing.found_sentence() == "found 4 of 6 listed videos (33.3 % missing)"


def test_kinetics_lists_without_labels_written_as_nan_or_numbers(tmp_path):
    lines = ["NaN,a,0,10,test", "10,b,0,10,train", "2,c,0,10,train"]
    (tmp_path / "k.csv").write_text("\n".join(["label,youtube_id,time_start,time_end,split", *lines]))
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    listing = read("kinetics", videos=tmp_path, lists=[tmp_path / "k.csv"])
    assert [video.label for video in listing.videos] == [None, "10", "2"]
    assert listing.classes == ["2", "10"]


def test_kinetics_takes_the_file_in_the_class_folder_first(tmp_path):
    (tmp_path / "k.csv").write_text("label,youtube_id,time_start,time_end,split\nplaying violin,a,0,10,train\n")
    touch(tmp_path, "abseiling/a_000000_000010.mp4", "playing_violin/a_000000_000010.mp4")
    (video,) = read("kinetics", videos=tmp_path, lists=[tmp_path / "k.csv"]).videos
    assert video.path == "playing_violin/a_000000_000010.mp4"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("abseiling,b,zero,10,train", "line 3: time_start is 'zero', not a number of seconds"),
        ("abseiling,b,0,10,trian", "line 3: the split 'trian' is none of train, validate"),
        ("abseiling,b,0,10", r"line 3: 4 values under 5 columns \(label, youtube_id"),
        ("abseiling,,0,10,train", "line 3: the youtube_id is empty"),
        ("abseiling,a,0,10,train", "line 3: the clip a_000000_000010 was listed before, with another label"),
        ('"abseiling,b,0,10,train', "line 3: not CSV: unexpected end of data"),
    ],
)
def test_malformed_kinetics_lists_name_file_and_line(tmp_path, line, message):
    path = tmp_path / "k.csv"
    path.write_text(f"label,youtube_id,time_start,time_end,split\nplaying violin,a,0,10,train\n{line}\n")
    with pytest.raises(VidsslError, match=f"k.csv, {message}"):
        read("kinetics", videos=touch(tmp_path, "a.mp4"), lists=[path])


# --- Something-Something v2


LABELS = {"Putting something on something": "1", "Holding something": "0"}
ENTRY = {"id": "12", "label": "putting cup on table", "template": "Putting [something] on [something]"}


def write_json(folder, **contents):
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return {name: folder / f"{name}.json" for name in contents}


def test_ssv2(tmp_path):
    other = {"id": 13, "template": "Holding [something]"}
    lists = write_json(
        tmp_path, labels=LABELS, train=[ENTRY, other], validation=[ENTRY | {"id": "1"}], test=[{"id": "2"}]
    )
    videos = touch(tmp_path / "videos", "12.webm", "1.mp4", "2.webm", "99.webm")
    listing = read("ssv2", videos=videos, **lists)
    assert listing.classes == ["Holding something", "Putting something on something"]
    assert listing.videos == [
        ListedVideo("12.webm", "Putting something on something", None, ("train",)),
        ListedVideo("1.mp4", "Putting something on something", None, ("val",)),
        ListedVideo("2.webm", None, None, ("test",)),
    ]
    assert listing.missing == [ListedVideo("13.webm", "Holding something", None, ("train",))]
    assert listing.notes == ("1 videos are in the folder but in no list (99.webm)",)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"labels": LABELS, "train": "[{]"}, r"train.json, line 1: not JSON: .* \(column 3\)"),
        ({"labels": LABELS, "train": {"id": 1}}, "train.json must hold a list of videos, not dict"),
        ({"labels": LABELS, "train": [ENTRY, 5]}, "train.json, entry 2: 5 has no id"),
        ({"labels": LABELS, "train": [ENTRY, ENTRY]}, "entry 2: the video 12 was listed before"),
        ({"labels": LABELS, "train": [ENTRY | {"template": "Holding [somthing]"}]}, "Did you mean 'Holding something'"),
        ({"labels": {"Holding something": "3"}, "train": [ENTRY]}, "labels.json must map the names"),
        ({"labels": LABELS}, "at least one of its lists: train, validation or test"),
    ],
)
def test_malformed_ssv2_lists(tmp_path, contents, message):
    with pytest.raises(VidsslError, match=message):
        read("ssv2", videos=touch(tmp_path, "12.webm"), **write_json(tmp_path, **contents))
