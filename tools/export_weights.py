"""Write the networks that come with vidssl from the folders of their runs.

    python tools/export_weights.py RUN [RUN ...] [--seed 0] [--output vidssl/backbones/pretrained]

Runs of one method that differ in their seed are one network: that of ``--seed`` is exported, which is chosen before its
accuracy is known, and the accuracies of all of them are its spread. Kernels are stored in half precision, which halves
the files; ``accuracy`` in weights.json is that of the run, in float32.

Each header holds the configuration (without paths of this machine), the seed, accuracies, the digest of the catalog,
the version of vidssl and the commit. ``weights.json`` beside the files holds the same in short, with their SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from vidssl.backbones.export import export_backbone
from vidssl.backbones.pretrained import CONFIGURATION, FOLDER, INDEX
from vidssl.errors import VidsslError
from vidssl.evaluation.protocols.records import RECORDS_FILE, read_records
from vidssl.runs.run_directory import CONFIG_FILE, LAST_CHECKPOINT
from vidssl.runs.run_file import COMPLETED, read_run

METRICS = {"linear": "top1", "knn": "top1", "retrieval/mean": "recall_at_1"}
CATALOG = "data/synthetic/synthetic.catalog"
"""Where `vidssl prepare synthetic` of the quick start writes it."""
KEPT_SECTIONS = ("seed_everything", "model", "data", "trainer")
OF_THE_MACHINE = ("default_root_dir", "logger", "plugins")


def main() -> None:
    """Group the runs, export one of each group, and write the index."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--seed", type=int, default=0, help="of the run that is exported (%(default)s)")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    groups: dict[str, list[Path]] = {}
    for run in options.runs:
        groups.setdefault(name_of(read_run(run)), []).append(run)
    index = {name: export(name, runs, options.seed, options.output) for name, runs in sorted(groups.items())}
    (options.output / INDEX.name).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    total = sum(file.stat().st_size for file in options.output.glob("*.safetensors"))
    print(f"{len(index)} networks, {total / 1e6:.1f} MB, in {options.output}")


def name_of(run: Mapping[str, Any]) -> str:
    """Return ``cvrl_small_synthetic``: method, backbone and data set of a run."""
    return f"{run['objective']}_{run['backbone']}_{run['catalog']['name']}".lower()


def export(name: str, runs: Sequence[Path], seed: int, folder: Path) -> dict[str, Any]:
    """Export the run with a seed; return its entry in the index.

    Raises:
        VidsslError: a run is not complete, none has the seed, or they learned from other videos.
    """
    facts = {run: read_run(run) for run in runs}
    unfinished = [str(run) for run, told in facts.items() if told.get("ended") != COMPLETED]
    digests = {told["catalog"]["digest"] for told in facts.values()}
    chosen = [run for run, told in facts.items() if told["seed"] == seed]
    if unfinished or len(digests) > 1 or len(chosen) != 1:
        raise VidsslError(
            f"{name}: completed runs on the same videos are needed, one of them with seed {seed}. Not complete: "
            f"{unfinished}; catalogs: {sorted(digests)}; with the seed: {len(chosen)}."
        )
    run, told = chosen[0], facts[chosen[0]]
    accuracy = {metric: spread(metric, runs, run) for metric in METRICS}
    entry = {
        "backbone": told["backbone"],
        "objective": told["objective"],
        "seed": seed,
        "steps": told["steps"],
        "catalog_digest": told["catalog"]["digest"],
        "commit": told["commit"],
        "seeds": sorted(fact["seed"] for fact in facts.values()),
        "accuracy": accuracy,
    }
    notes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in entry.items()}
    notes[CONFIGURATION] = json.dumps(configuration(run))
    file = folder / f"{name}.safetensors"
    export_backbone(run / LAST_CHECKPOINT, file, kernel_dtype=torch.float16, notes=notes)
    file.chmod(0o644)  # for everybody who installs it
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {**entry, "num_bytes": file.stat().st_size, "sha256": digest}


def spread(metric: str, runs: Sequence[Path], chosen: Path) -> dict[str, float | None]:
    """Return the accuracy of a run after its last step, and mean and standard deviation over all runs."""
    values = {run: last_accuracy(run, metric) for run in runs}
    return {
        "this": round(values[chosen], 4),
        "mean": round(statistics.mean(values.values()), 4),
        "deviation": round(statistics.stdev(values.values()), 4) if len(values) > 1 else None,
    }


def last_accuracy(run: Path, protocol: str) -> float:
    """Return the main metric of a protocol after the last step of a run, 0 to 1."""
    records = [record for record in read_records(run / RECORDS_FILE) if record["protocol"]["name"] == protocol]
    return float(records[-1]["metrics"][METRICS[protocol]])


def configuration(run: Path) -> dict[str, Any]:
    """Return the configuration of a run, without what belongs to the machine that it ran on."""
    content = yaml.safe_load((run / CONFIG_FILE).read_text(encoding="utf-8"))
    kept = {key: content[key] for key in KEPT_SECTIONS}
    kept["trainer"] = {key: value for key, value in kept["trainer"].items() if key not in OF_THE_MACHINE}
    kept["data"] = {**kept["data"], "catalog": CATALOG, "root": None}
    return kept


if __name__ == "__main__":
    main()
