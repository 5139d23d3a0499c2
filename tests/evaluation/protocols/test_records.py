import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from pytorch_lightning.utilities import rank_zero_only

import vidssl
from vidssl.catalogs.catalog import Catalog
from vidssl.data.settings import EvaluationClips
from vidssl.errors import VidsslError
from vidssl.evaluation.features.video_features import VideoFeatures
from vidssl.evaluation.protocols.named import get_protocol
from vidssl.evaluation.protocols.outcome import Outcome
from vidssl.evaluation.protocols.records import Measured, append_new_record, append_record, per_class, read_records


def videos(labels):
    labels = np.asarray(labels)
    return VideoFeatures(
        np.ones((len(labels), 1, 3), np.float32), labels, -np.ones_like(labels), np.arange(len(labels))
    )


def measured(synthetic_catalog, **changes):
    protocol = get_protocol("linear-svm/mcl")
    clips = EvaluationClips(num_frames=4, num_clips=20, resize=32, crop_size=32)
    outcome = Outcome({"top1": np.float32(0.5)}, predicted=np.array([0, 1, 1]), chosen={"c": np.int64(1)})
    catalog = Catalog.open(synthetic_catalog)
    return replace(
        Measured(protocol, "synthetic", catalog, clips, videos([0, 1]), videos([0, 1, 2]), outcome), **changes
    )


def test_a_record_says_how_the_number_was_made(synthetic_catalog, tmp_path):
    file = tmp_path / "run" / "evaluations.jsonl"
    what = measured(synthetic_catalog)
    append_record(file, what.record(step=3, epoch=1, seen_in_training=2))
    (record,) = read_records(file)
    assert record["vidssl_version"] == vidssl.__version__
    assert record["written"].endswith("+00:00")
    assert (record["step"], record["epoch"], record["checkpoint"], record["seen_in_training"]) == (3, 1, None, 2)
    assert record["protocol"] == json.loads(json.dumps(what.protocol.described()))
    assert record["protocol"]["measure"]["name"] == "LinearSVM"
    assert record["protocol"]["clips"] == {"num_clips": 20, "num_crops": 1}
    assert record["modified"] == {}
    assert record["data"]["catalog_digest"] == what.catalog.digest
    assert (record["data"]["gallery_videos"], record["data"]["query_videos"]) == (2, 3)
    assert record["data"]["clips"]["num_frames"] == 4
    assert (record["metrics"], record["chosen"]) == ({"top1": 0.5}, {"c": 1})
    names = what.catalog.classes
    assert record["per_class"] == {
        names[0]: {"videos": 1, "accuracy": 1.0},
        names[1]: {"videos": 1, "accuracy": 1.0},
        names[2]: {"videos": 1, "accuracy": 0.0},
    }


def test_what_differs_from_the_named_protocol_is_told(synthetic_catalog):
    named = get_protocol("svm-leave-one-group-out")
    changed = replace(named, measure=replace(named.measure, measure=replace(named.measure.measure, c=10.0)))
    record = measured(synthetic_catalog, protocol=changed, named=named).record()
    assert record["modified"] == {"c": 10.0}
    assert record["protocol"]["measure"]["measure"]["c"] == 1.0
    clips = EvaluationClips(num_frames=4, num_clips=2, resize=32, crop_size=32)
    assert measured(synthetic_catalog, clips=clips).record()["modified"] == {"num_clips": 2}


def test_nan_and_infinity_become_null(tmp_path):
    file = tmp_path / "records.jsonl"
    append_record(
        file, {"metrics": {"a": math.nan, "b": np.float32(np.inf), "c": np.array([1.0, np.nan])}, "name": "Ž\u2028"}
    )
    assert read_records(file) == [{"metrics": {"a": None, "b": None, "c": [1.0, None]}, "name": "Ž\u2028"}]


def test_a_line_cut_short_by_a_crash_is_told_and_spoils_nothing(tmp_path, caplog):
    file = tmp_path / "records.jsonl"
    append_record(file, {"n": 1})
    with file.open("a") as torn:
        torn.write('{"n": 2, "metr')
    append_record(file, {"n": 3})
    assert read_records(file) == [{"n": 1}, {"n": 3}]
    assert "line 2 is not a record" in caplog.text


def test_what_is_measured_again_is_recorded_once(tmp_path):
    file = tmp_path / "records.jsonl"
    for number, value in enumerate((0.5, 0.5, np.float64(0.25))):
        append_new_record(file, {"written": str(number), "metrics": {"top1": value, "top5": math.nan}})
    assert [(record["written"], record["metrics"]["top1"]) for record in read_records(file)] == [
        ("0", 0.5),
        ("2", 0.25),
    ]


def test_many_writers_share_a_file(tmp_path):
    file = tmp_path / "records.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append_record(file, {"n": n, "filler": "x" * 5000}), range(64)))
    assert sorted(record["n"] for record in read_records(file)) == list(range(64))


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    append_record(tmp_path / "records.jsonl", {"n": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_or_read_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VidsslError, match=r"cannot be written to .*file/records.jsonl: "):
        append_record(tmp_path / "file" / "records.jsonl", {})
    with pytest.raises(VidsslError, match=r"The records .*missing.jsonl cannot be read"):
        read_records(tmp_path / "missing.jsonl")


def test_what_is_not_classified_has_no_table_per_class():
    assert per_class(None, np.array([0, 1]), ["a", "b"]) is None
