import io

from rich.console import Console

from vidssl.reporting.evaluation_tables import MAX_CLASSES, print_by_class, print_table, protocol_lines


def printed(function, *args, width=100):
    stream = io.StringIO()
    function(*args, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


def record(**changes):
    measure = {"name": "LeaveOneGroupOut", "measure": {"name": "LinearLayer", "c": 1.0, "sgd": {"epochs": 100}}}
    drawn = {"num_views": 10, "crop_area": [0.3, 1.0]}
    protocol = {
        "name": "linear/mine",
        "version": 3,
        "summary": "a layer",
        "source": "a paper",
        "measure": measure,
        "training_views": drawn,
        "query_views": "each",
    }
    clips = {"num_frames": 32, "stride": 2, "num_clips": 10, "num_crops": 3, "resize": 256, "crop_size": 224}
    data = {
        "name": "ucf101",
        "catalog_digest": "abc",
        "gallery_split": "train1",
        "query_split": "test1",
        "gallery_videos": 9537,
        "query_videos": 3783,
        "clips": clips,
    }
    return {"protocol": protocol, "data": data, "modified": {}, "seen_in_training": None, "per_class": None, **changes}


def test_everything_that_a_number_depends_on_is_told():
    assert protocol_lines(record()) == [
        "linear/mine (version 3): a layer",
        "  source   a paper",
        "  measure  LeaveOneGroupOut of LinearLayer (c 1.0, sgd (epochs 100))",
        "  clips    10 clips x 3 crops of 32 frames, stride 2, short side 256, crop 224; training on 10 drawn "
        "views per video (num_views 10, crop_area 0.3/1.0), queries by each view",
        "  videos   ucf101 (abc): query test1 3,783, gallery train1 9,537",
    ]
    changed = protocol_lines(record(modified={"num_frames": 8, "c": 10.0}, seen_in_training=1234))
    assert changed[-2:] == [
        "  changed  num_frames 8, c 10.0",
        "  seen     1,234 query videos were trained on, without their labels",
    ]


def test_classes_stand_lowest_first_and_many_are_cut():
    def per_class(accuracies):
        return {f"[b]class{n}[/b]": {"videos": 5, "accuracy": value} for n, value in enumerate(accuracies)}

    few = printed(print_by_class, [record(per_class=per_class([1.0, 0.2, 0.6])), record()])
    assert [line.split()[0] for line in few.splitlines()[3:]] == ["[b]class1[/b]", "[b]class2[/b]", "[b]class0[/b]"]
    many = printed(print_by_class, [record(per_class=per_class([0.01 * n for n in range(101)]))])
    assert f"the lowest {MAX_CLASSES} of 101" in many
    assert f"class{MAX_CLASSES - 1}[" in many
    assert f"class{MAX_CLASSES}[" not in many
    assert printed(print_by_class, [record()]) == ""


def test_names_of_metrics_are_whole_on_a_narrow_screen():
    name = "linear-svm/mcl-leave-one-group-out/mean_class"
    assert name in printed(print_table, ["untrained (3 runs)", "CVRL (3 runs)"], [[name, "1.0", "2.0"]], width=80)
