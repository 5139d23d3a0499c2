import io

from rich.console import Console

from vidssl.reporting.console.summary import print_metrics, print_summary, start_and_end
from vidssl.reporting.wandb import RUN_ID_FILE, WandbSpec, build_wandb_logger
from vidssl.runs.metrics_csv import MetricsCSV
from vidssl.runs.run_directory import CONFIG_FILE
from vidssl.runs.run_file import write_run


def printed(function, *args, **kwargs):
    console = Console(file=io.StringIO(), width=200)
    function(*args, console=console, **kwargs)
    return console.file.getvalue()


def test_start_and_end_are_the_first_and_the_last_value(tmp_path):
    log = MetricsCSV(str(tmp_path))
    for step, top1 in ((0, 0.2), (5, 0.9), (9, 0.5)):
        log.log_metrics({"eval/x/knn/top1": top1, "eval/x/knn/unshown": 1.0}, step=step)
        log.log_metrics({"train/loss": 1.0}, step=step)
    assert start_and_end(tmp_path) == {"eval/x/knn/top1": (0.2, 0.5)}
    told = printed(print_summary, tmp_path, unreadable=3)
    assert "x/knn/top1" in told
    assert "20.0" in told
    assert "+30.0" in told
    assert "3 videos could not be read" in told


def test_a_run_without_metrics_still_says_what_next(tmp_path):
    told = printed(print_summary, tmp_path)
    assert "Frozen features" not in told
    assert "vidssl fit --config" in told
    assert "--seed_everything 1\n" in told
    write_run(tmp_path, {"seed": 1})
    assert "--seed_everything 2\n" in printed(print_summary, tmp_path)


def test_what_is_not_there_is_not_suggested(tmp_path):
    told = printed(print_summary, tmp_path)
    for absent in ("--ckpt_path", "vidssl export", "wandb sync"):
        assert absent not in told
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    told = printed(print_summary, tmp_path)
    for present in ("--ckpt_path", "vidssl export", "wandb sync"):
        assert present in told


def test_a_complete_run_is_continued_by_a_larger_limit(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert "last.ckpt --trainer.max_epochs MORE\n" in printed(print_summary, tmp_path)
    (tmp_path / CONFIG_FILE).write_text("trainer: {max_steps: 40, max_epochs: null}")
    assert "last.ckpt --trainer.max_steps MORE\n" in printed(print_summary, tmp_path)
    assert "last.ckpt\n" in printed(print_summary, tmp_path, ended="stopped: max_time at step 94 of 4000")


def test_paths_are_whole_on_a_narrow_terminal(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    console = Console(file=io.StringIO(), width=20)
    print_summary(tmp_path, console=console)
    assert f"resolved config  {tmp_path / 'config.yaml'}\n" in console.file.getvalue()


def test_the_start_is_only_called_untrained_where_it_was(tmp_path):
    log = MetricsCSV(str(tmp_path))
    for step in (4, 8):  # logged steps are counted from 0
        log.log_metrics({"eval/x/knn/top1": 0.5}, step=step)
    assert "start: after step 5" in printed(print_summary, tmp_path)
    (other := tmp_path / "other").mkdir()
    MetricsCSV(str(other)).log_metrics({"eval/x/knn/top1": 0.5}, step=0)
    assert "start: before the first step" in printed(print_summary, other)


def test_protocols_of_other_steps_say_so(tmp_path):
    """One whose first measurement in the background an interruption cost, and one that is measured less often."""
    log = MetricsCSV(str(tmp_path))
    log.log_metrics({"eval/x/knn/top1": 0.25, "eval/x/linear/top1": 0.5}, step=0)
    log.log_metrics({"eval/x/svm/top1": 0.5, "eval/x/linear/top1": 0.75}, step=14)
    log.log_metrics({"eval/x/svm/top1": 0.5, "eval/x/knn/top1": 0.5}, step=29)
    shown = printed(print_summary, tmp_path, steps=30)
    for row in ("x/knn/top1  ", "x/svm/top1 (start: step 15)  ", "x/linear/top1 (end: step 15)  "):
        assert row in shown


def test_paths_below_the_working_directory_are_short(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (run_dir := tmp_path / "runs" / "a").mkdir(parents=True)
    assert "--config runs/a/config.yaml" in printed(print_summary, run_dir)


def test_an_evaluation_before_the_end_is_not_called_the_end(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"")
    log = MetricsCSV(str(tmp_path))
    log.log_metrics({"eval/x/knn/top1": 0.25}, step=0)
    untrained = printed(print_summary, tmp_path, steps=30)
    assert "Frozen features before training, %" in untrained
    assert "The trained network was not measured." in untrained
    assert "vidssl validate --config" in untrained
    assert "gain" not in untrained
    log.log_metrics({"eval/x/knn/top1": 0.5}, step=14)
    assert "The last evaluation was after step 15 of 30." in printed(print_summary, tmp_path, steps=30)
    log.log_metrics({"eval/x/knn/top1": 0.5}, step=29)
    measured = printed(print_summary, tmp_path, steps=30)
    assert "last evaluation" not in measured
    assert "vidssl validate" not in measured


def test_measured_evaluations_are_printed_in_percent():
    told = printed(print_metrics, {"eval/x/knn/top1": 0.123, "val/loss": 3.0})
    assert "x/knn/top1" in told
    assert "12.3" in told
    assert "val/loss" not in told
    assert "no FrozenFeatureEvaluation" in printed(print_metrics, {})


def test_training_on_continues_the_same_wandb_run(tmp_path, monkeypatch):
    started = []

    class Run:
        def __init__(self, **settings):
            started.append(settings)
            self.id = settings["id"] or "fresh"

        def define_metric(self, *args, **kwargs):
            pass

    monkeypatch.setattr("wandb.init", lambda **settings: Run(**settings))
    monkeypatch.setattr("vidssl.reporting.wandb.RunLogger", lambda save_dir, experiment, continues: experiment)
    spec = WandbSpec(mode="offline", group="seeds")
    assert build_wandb_logger(spec, tmp_path).id == "fresh"
    assert (tmp_path / RUN_ID_FILE).read_text() == "fresh\n"
    (tmp_path / RUN_ID_FILE).write_text("kept\n")
    assert build_wandb_logger(spec, tmp_path).id == "fresh"  # of a start that failed before it kept its configuration
    (tmp_path / RUN_ID_FILE).write_text("kept\n")
    (tmp_path / CONFIG_FILE).touch()
    assert build_wandb_logger(spec, tmp_path).id == "kept"
    assert [settings["id"] for settings in started] == [None, None, "kept"]
    assert all(settings["mode"] == "offline" and settings["group"] == "seeds" for settings in started)
    assert build_wandb_logger(WandbSpec(mode="disabled"), tmp_path) is None


def test_a_run_that_was_stopped_says_so(tmp_path):
    assert "its end" not in printed(print_summary, tmp_path)
    told = printed(print_summary, tmp_path, ended="stopped: max_time at step 94 of 4000")
    assert "did not get to its end (stopped: max_time at step 94 of 4000)" in told
