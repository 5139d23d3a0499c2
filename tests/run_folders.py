"""Folders of runs as `vidssl fit` leaves them, made up."""

import csv
import json

import yaml

CHANCE = 0.125


def write_run(folder, *, objective="CVRL", seed=0, top1=0.5, untrained=CHANCE, temperature=0.1, **kept):
    """Write a run of 20 steps that was evaluated before the first, after 10 and at the end.

    `records` (True), `clips` (2), `digest`, `finished` (True; None leaves run.json out), `pixel_mean` and `name` of the
    data set may be given too.
    """
    folder.mkdir(parents=True)
    digest, clips = kept.get("digest", "0123456789abcdef"), kept.get("clips", 2)
    backbone = {"name": "small", "options": {}, "weights": None, "pixel_mean": kept.get("pixel_mean", [0.45] * 3)}
    evaluation = {"num_frames": 8, "num_clips": clips, "gallery_split": "train", "query_split": "test", "batch_size": 4}
    config = {
        "seed_everything": seed,
        "run_dir": str(folder),
        "model": {"class_path": f"vidssl.objectives.x.{objective}", "init_args": {"backbone": backbone}},
        "data": {"catalog": "data/x.catalog", "name": "toy", "seed": seed, "evaluation": evaluation, "batch_size": 8},
        "trainer": {"max_epochs": 2, "devices": 1, "num_sanity_val_steps": -1},
    }
    config["model"]["init_args"]["temperature"] = temperature
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    values = {0: untrained, 10: (untrained + top1) / 2, 20: top1}
    write_metrics(folder, values)
    if kept.get("records", True):
        write_records(folder, values, clips=clips, digest=digest, name=kept.get("name", "toy"))
    if kept.get("finished", True) is not None:
        write_facts(folder, objective, seed, digest, finished=kept.get("finished", True))
    return folder


def write_metrics(folder, values):
    names = ["step", "epoch", "eval/toy/knn/top1", "eval/toy/knn/top5", "train/loss"]
    rows = [{"step": 0, "epoch": 0, names[2]: values[0], names[3]: 0.9}]
    rows += [{"step": step, "epoch": step // 10, "train/loss": 2.0 - 0.05 * step} for step in range(20)]
    rows += [{"step": step - 1, "epoch": step // 10 - 1, names[2]: values[step], names[3]: 0.95} for step in (10, 20)]
    with (folder / "metrics.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, names)
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["step"]))


def record(value, *, step, clips=2, digest="0123456789abcdef", name="toy", checkpoint=None):
    """The record of an evaluation by k-NN."""
    measure = {"name": "KNN", "k": 20, "temperature": 0.07}
    return {
        "vidssl_version": "0.1.0",
        "written": "2026-01-01T00:00:00+00:00",
        "step": step,
        "epoch": None if step is None else step // 10,
        "checkpoint": checkpoint,
        "protocol": {"name": "knn", "version": 1, "summary": "cosine", "source": "vidssl", "measure": measure},
        "modified": {},
        "data": {
            "name": name,
            "catalog_digest": digest,
            "gallery_split": "train",
            "query_split": "test",
            "gallery_videos": 32,
            "query_videos": 16,
            "clips": {"num_frames": 8, "num_clips": clips, "batch_size": 4},
        },
        "seen_in_training": None,
        "metrics": {"top1": value, "top5": 0.95},
        "chosen": {},
        "per_class": {"circle": {"videos": 8, "accuracy": value}, "zigzag": {"videos": 8, "accuracy": value}},
    }


def write_records(folder, values, **kept):
    lines = [json.dumps(record(value, step=step, **kept)) for step, value in values.items()]
    (folder / "evaluations.jsonl").write_text("\n".join(lines) + "\n")


def write_facts(folder, objective, seed, digest, *, finished):
    facts = {
        "vidssl_version": "0.1.0",
        "commit": "abcdef0123456789",
        "commit_modified": False,
        "objective": objective,
        "backbone": "small",
        "backbone_parameters": 488_368,
        "trainable_parameters": 538_096,
        "seed": seed,
        "devices": 2,
        "num_nodes": 1,
        "accelerator": "cpu",
        "catalog": {"name": "toy", "digest": digest, "videos": 48, "train_split": "train", "train_videos": 32},
        "wall_seconds": 100.0 + seed,
        "device_hours": 2 * (100.0 + seed) / 3600,
        "videos_per_second": 40.0,
        "clips_per_second": 80.0,
        "steps": 20,
        "finished": finished,
    }
    (folder / "run.json").write_text(json.dumps(facts))
