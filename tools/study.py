"""Run a study: every row of a table on every data set with every seed, by `vidssl fit`, then the tables.

    python tools/study.py tools/studies/motion.yaml --jobs 2

A study file names a configuration, data sets, and rows; each row is a command line added to that of `vidssl fit`:

    config: configs/quickstart.yaml
    arguments: --trainer.check_val_every_n_epoch 20     # of every run
    seeds: 3
    data:
      unique: --data.catalog data/unique/synthetic.catalog --data.name unique
    rows:
      CVRL: ""
      CVRL, warmer: --model.temperature 0.2
      MoCo: {config: configs/small/moco.yaml, seeds: 5, data: [unique]}    # a row of its own configuration
    baselines: [CVRL]        # the tables show paired differences from each of these

Arguments may be a list of lines, so that YAML anchors can share them; `{data}` in them is the name of the data set.
Runs lie in `OUTPUT/DATA/ROW/SEED`. A run that was completed is not started again, and one that was interrupted goes on
from its last checkpoint, so the same command continues a study. Seeds come first in the order: an unfinished study has
as many seeds in every row. Rows that failed are reported at the end; the tables leave them out.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vidssl.runs.run_file import COMPLETED, read_run

VIDSSL = (sys.executable, "-m", "vidssl.cli.main")
KEYS = {"config", "arguments", "seeds", "data", "rows", "baselines"}
ROW_KEYS = {"config", "arguments", "seeds", "data"}


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        row: of the table.
        data: which data set.
        seed: of the run.
        command: the whole command line of `vidssl`.
        folder: of the run.
    """

    row: str
    data: str
    seed: int
    command: tuple[str, ...]
    folder: Path

    @property
    def name(self) -> str:
        """What the run is called on the terminal."""
        return f"{self.data}: {self.row}, seed {self.seed}"

    @property
    def completed(self) -> bool:
        """Whether the run reached its end."""
        return read_run(self.folder).get("ended") == COMPLETED


def read_study(file: Path) -> dict[str, Any]:
    """Read a study file, with every row written out.

    Raises:
        SystemExit: an unknown key or name, or one that is missing; the message names it.
    """
    study = yaml.safe_load(file.read_text())
    _check_keys(file, study, KEYS, needed={"data", "rows"})
    for row, settings in study["rows"].items():
        written_out = dict(settings) if isinstance(settings, dict) else {"arguments": settings}
        _check_keys(f"{file}, row {row!r}", written_out, ROW_KEYS, needed=set())
        defaults = {"config": study.get("config"), "arguments": "", "seeds": study.get("seeds", 3)}
        study["rows"][row] = defaults | {"data": list(study["data"])} | written_out
        for data in study["rows"][row]["data"]:
            if data not in study["data"]:
                raise SystemExit(f"{file}, row {row!r}: no data set {data!r} among {', '.join(study['data'])}.")
    for names in (study["rows"], study["data"]):
        folders: dict[str, str] = {}
        for name in names:
            if (other := folders.setdefault(_folder_name(name), name)) != name:
                raise SystemExit(f"{file}: {other!r} and {name!r} would share a folder; call one of them otherwise.")
    for baseline in study.setdefault("baselines", list(study["rows"])[:1]):
        if baseline not in study["rows"]:
            raise SystemExit(f"{file}, baselines: no row {baseline!r} among {', '.join(study['rows'])}.")
    return study


def _check_keys(where: object, settings: Any, known: set[str], needed: set[str]) -> None:
    if not isinstance(settings, dict):
        raise SystemExit(f"{where} must hold the keys {', '.join(sorted(known))}, not {settings!r}.")
    wrong = [
        *(f"unknown key {key!r}" for key in settings.keys() - known),
        *(f"no {key!r}" for key in needed - settings.keys()),
    ]
    if wrong:
        raise SystemExit(f"{where}: {', '.join(sorted(wrong))}. Known keys: {', '.join(sorted(known))}.")


def jobs_of(study: dict[str, Any], output: Path) -> list[Job]:
    """Return the runs of a study, seed by seed."""
    jobs = []
    for seed in range(max(row["seeds"] for row in study["rows"].values())):
        for data, of_data in study["data"].items():
            for row, settings in study["rows"].items():
                if seed >= settings["seeds"] or data not in settings["data"]:
                    continue
                folder = output / _folder_name(data) / _folder_name(row) / str(seed)
                given = (study.get("arguments", ""), of_data, settings["arguments"])
                arguments = [word.replace("{data}", data) for words in given for word in _words(words)]
                command = ("fit", "--config", settings["config"], *arguments, "--seed_everything", str(seed))
                jobs.append(Job(row, data, seed, (*command, "--run_dir", str(folder), "--ckpt_path", "auto"), folder))
    return jobs


def _words(arguments: str | list[str]) -> list[str]:
    """Split a command line, or several that are put together."""
    lines = [arguments] if isinstance(arguments, str) else arguments
    return [word for line in lines for word in shlex.split(line)]


def _folder_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def run(job: Job, threads: int) -> bool:
    """Run one job to its end, its output in `FOLDER.log`; return whether it was completed."""
    if job.completed:
        return True
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with job.folder.with_suffix(".log").open("ab") as log:
        command = [*VIDSSL, *job.command]
        code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment).returncode
    print(f"{job.name}: {'done' if code == 0 else f'failed with code {code}, see {log.name}'}", flush=True)
    return code == 0


def print_tables(jobs: list[Job], study: dict[str, Any], output: Path) -> None:
    """Lay the completed runs of each data set side by side, once for every baseline, on the terminal and in OUTPUT."""
    for data in study["data"]:
        folders: dict[str, list[str]] = {}
        for job in jobs:
            if job.data == data and job.completed:
                folders.setdefault(job.row, []).append(str(job.folder))
        labels = [argument for row, runs in folders.items() for argument in ("--label", row, *runs)]
        for baseline in study["baselines"]:
            if baseline in folders:
                table = output / f"{_folder_name(data)}_from_{_folder_name(baseline)}.md"
                print(f"\n{data}, differences from {baseline} ({table})", flush=True)
                written = ("--baseline", baseline, "--markdown", str(table), "--csv", str(table.with_suffix(".csv")))
                subprocess.run([*VIDSSL, "compare", *labels, *written], check=False)


def main() -> None:
    """Read the command line, run what is left to run, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, metavar="FILE", help="the study")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of all runs (runs/NAME of the file)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at the same time; they share the cores")
    parser.add_argument(
        "--only", metavar="REGEX", default="", help="only the runs whose 'DATA: ROW, seed N' it is found in"
    )
    parser.add_argument("--tables", action="store_true", help="start nothing, print the tables of what is there")
    options = parser.parse_args()
    study = read_study(options.study)
    output = options.output or Path("runs") / options.study.stem
    jobs = jobs_of(study, output)
    wanted = [job for job in jobs if re.search(options.only, job.name)]
    failed: list[str] = []
    if not options.tables:
        print(f"{len(wanted)} runs, {sum(job.completed for job in wanted)} of them completed before", flush=True)
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        with ThreadPoolExecutor(options.jobs) as pool:
            done = list(pool.map(lambda job: run(job, threads), wanted))
        failed = [job.name for job, ended_well in zip(wanted, done, strict=True) if not ended_well]
    print_tables(jobs, study, output)
    if failed:
        sys.exit(f"{len(failed)} of {len(wanted)} runs failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
