from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.runs.metrics_file import METRICS_FILE, read_metrics


def test_no_file_and_an_empty_file_have_no_rows(tmp_path):
    assert read_metrics(tmp_path) == []
    (tmp_path / METRICS_FILE).write_text("")
    assert read_metrics(tmp_path) == []


def test_new_columns_are_added_and_missing_values_stay_missing(tmp_path):
    log = MetricsCSV(str(tmp_path / "run"))
    log.log_metrics({"train/loss": 2.0, "epoch": 0}, step=0)
    log.log_metrics({"train/loss": 1.5, "epoch": 0}, step=1)
    log.log_metrics({"eval/x/knn/top1": 0.25, "epoch": 0}, step=1)
    log.log_metrics({"train/loss": 1.0}, step=2)
    assert read_metrics(tmp_path / "run") == [
        {"step": 0, "epoch": 0, "train/loss": 2.0},
        {"step": 1, "epoch": 0, "train/loss": 1.5},
        {"step": 1, "epoch": 0, "eval/x/knn/top1": 0.25},
        {"step": 2, "train/loss": 1.0},
    ]
    header = (tmp_path / "run" / METRICS_FILE).read_text().splitlines()[0]
    assert header == "step,epoch,eval/x/knn/top1,train/loss"
    assert [file.name for file in (tmp_path / "run").iterdir()] == [METRICS_FILE]


def test_continuing_keeps_what_came_before_and_drops_what_will_be_logged_again(tmp_path):
    first = MetricsCSV(str(tmp_path))
    for step in range(6):
        first.log_metrics({"train/loss": 10.0 - step}, step=step)
    continued = MetricsCSV(str(tmp_path))
    for step in (4, 5, 6):
        continued.log_metrics({"train/loss": -float(step)}, step=step)
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5, 6]
    assert [row["train/loss"] for row in rows] == [10, 9, 8, 7, -4, -5, -6]


def test_an_evaluation_that_is_made_again_replaces_its_row_alone(tmp_path):
    first = MetricsCSV(str(tmp_path))
    for step in range(4):
        first.log_metrics({"train/loss": 10.0 - step}, step=step)
    first.log_metrics({"eval/x/knn/top1": 0.5}, step=3)
    first.log_metrics({"train/loss": 6.0}, step=4)
    continued = MetricsCSV(str(tmp_path))
    continued.log_metrics({"eval/x/knn/top1": 0.25}, step=3)
    assert read_metrics(tmp_path) == [
        *({"step": step, "train/loss": 10.0 - step} for step in range(4)),
        {"step": 3, "eval/x/knn/top1": 0.25},
    ]


def test_values_survive_to_the_last_digit(tmp_path):
    log = MetricsCSV(str(tmp_path))
    log.log_metrics({"train/loss": 0.1 + 0.2}, step=0)
    assert read_metrics(tmp_path)[0]["train/loss"] == 0.1 + 0.2
