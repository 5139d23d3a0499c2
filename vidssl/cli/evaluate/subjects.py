"""Which networks are measured, and what the configurations of their runs say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vidssl.backbones.pretrained import FOLDER as PRETRAINED
from vidssl.backbones.pretrained import brought_along
from vidssl.data.settings import EvaluationClips, Loading
from vidssl.errors import VidsslError
from vidssl.evaluation.features.encoder import LoadedEncoder, OutsideWeights, load_encoder
from vidssl.reporting.compare.methods import learning_part, method_labels
from vidssl.reporting.compare.runs import canonical
from vidssl.runs.run_directory import CONFIG_FILE, LAST_CHECKPOINT, run_around

UNTRAINED = "untrained"


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a checkpoint's run; empty if there is none.

    Attributes:
        file: the configuration, or None.
        model: its key ``model``.
        data: its key ``data``.
        trainer: its key ``trainer``.
        seed: its key ``seed_everything``, or None.
    """

    file: Path | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    @classmethod
    def of(cls, checkpoint: Path) -> RunConfig:
        """Read the configuration of the run that a checkpoint belongs to, or that a file of weights contains.

        Raises:
            VidsslError: it is there and cannot be read.
        """
        run_dir = run_around(checkpoint)
        file = None if run_dir is None else run_dir / CONFIG_FILE
        try:
            content = brought_along(checkpoint) if file is None else yaml.safe_load(file.read_text())
            model, data, trainer = (_resolved(content, key) for key in ("model", "data", "trainer"))
            return cls(file, model, data, trainer, _whole_number(content.get("seed_everything")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, OmegaConfBaseException) as error:
            raise VidsslError(f"The configuration {file} of the checkpoint's run cannot be read: {error}.") from error

    @property
    def clips(self) -> EvaluationClips | None:
        """Its evaluation, or None."""
        section = self.data.get("evaluation")
        return EvaluationClips(**_known(EvaluationClips, section)) if isinstance(section, Mapping) else None

    @property
    def loading(self) -> Loading:
        """How its loaders worked, or the defaults."""
        return Loading(**_known(Loading, self.data.get("loading")))

    @property
    def initial_weights(self) -> str | None:
        """The file of weights that its training started from, or None."""
        backbone = (self.model.get("init_args") or {}).get("backbone")
        return backbone.get("weights") if isinstance(backbone, Mapping) else None


def _resolved(content: dict[str, Any], key: str) -> Mapping[str, Any]:
    """A section of a configuration with the references to the environment that it keeps."""
    section = OmegaConf.create(content).get(key)
    resolved: Any = OmegaConf.to_container(section, resolve=True) if OmegaConf.is_dict(section) else section
    return resolved or {}


def _known(kind: type, section: Any) -> dict[str, Any]:
    """The part of a section that a dataclass has; the configuration may be of another version."""
    names = {key.name for key in fields(kind)}
    return {key: value for key, value in section.items() if key in names} if isinstance(section, Mapping) else {}


def _whole_number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Subject:
    """A network that is measured.

    Attributes:
        name: how messages and tables of single runs call it.
        method: what runs of the same method have in common; see `methods_of`.
        config: of its run.
        folder: where its records and features go.
        loaded: the network.
    """

    name: str
    method: str
    config: RunConfig
    folder: Path
    loaded: LoadedEncoder

    @property
    def is_untrained(self) -> bool:
        """Whether it is a network before training."""
        return self.method.startswith(UNTRAINED)


def load_subjects(options: argparse.Namespace) -> list[Subject]:
    """Load the networks that the command line asks for, the untrained ones first and each of them once.

    Raises:
        VidsslError: see `load_encoder`.
    """
    outside = _outside(options)
    files = list(dict.fromkeys(map(_checkpoint_of, options.checkpoint)))
    configs = [RunConfig.of(file) for file in files]
    trained = [load_encoder(file, outside) for file in files]
    if not files:
        name = f"{options.backbone}, seed {options.seed or 0}"
        return [Subject(name, UNTRAINED, RunConfig(), _folder(options), load_encoder(None, outside))]
    methods = _given_labels(options.label, files) if options.label else methods_of(trained, configs)
    named = zip(_run_names(files), methods, files, configs, trained, strict=True)
    subjects = [
        Subject(name, method, config, _folder(options, file, config), loaded)
        for name, method, file, config, loaded in named
    ]
    return [*(_before_training(subjects, options) if options.untrained else []), *subjects]


def _checkpoint_of(named: Path) -> Path:
    """Return the file that is meant; of a run's folder that is its last checkpoint."""
    if not named.is_dir():
        return named
    last = named / LAST_CHECKPOINT
    if not last.is_file():
        raise VidsslError(f"--checkpoint: {named} is a folder without {LAST_CHECKPOINT}; name a file or a run.")
    return last


def _outside(options: argparse.Namespace) -> OutsideWeights:
    """What the command line says of networks whose files do not."""
    facts = {"pixel_mean": options.pixel_mean, "pixel_std": options.pixel_std, "seed": options.seed}
    given = {key: value for key, value in facts.items() if value is not None}
    return OutsideWeights(backbone=options.backbone, options=options.backbone_options, **given)


def _folder(options: argparse.Namespace, file: Path | None = None, config: RunConfig = RunConfig()) -> Path:
    if options.output is not None:
        return options.output
    if config.file is not None:
        return config.file.parent
    return Path() if file is None or file.parent == PRETRAINED else file.parent  # nobody writes among the code


def _run_names(files: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    paths = [file.absolute().parts for file in files]
    length = next((n for n in range(1, 20) if len({parts[-n:] for parts in paths}) == len(paths)), 20)
    return ["/".join(parts[-length:]) for parts in paths]


def methods_of(loaded: Sequence[LoadedEncoder], configs: Sequence[RunConfig]) -> list[str]:
    """Name the method of each network as `vidssl compare` does: runs that differ in their seed alone have the same.

    Args:
        loaded: the networks.
        configs: of their runs.
    """
    methods = []
    for network, config in zip(loaded, configs, strict=True):
        facts = network.provenance
        learned = learning_part({"model": config.model, "data": config.data, "trainer": config.trainer})
        weights = {"model.backbone": facts["backbone"], "model.backbone_options": canonical(facts["backbone_options"])}
        methods.append((facts["objective"] or facts["file"], learned | weights))
    return method_labels(methods)


def _given_labels(labels: Sequence[str], files: Sequence[Path]) -> Sequence[str]:
    if len(labels) != len(files):
        raise VidsslError(f"--label names the networks in their order: {len(files)} names, not {len(labels)}.")
    return labels


def _before_training(subjects: Sequence[Subject], options: argparse.Namespace) -> list[Subject]:
    """The networks as they were before training; runs that began with the same weights have one."""
    found: dict[str, Subject] = {}
    several = len({json.dumps(_network(subject), sort_keys=True) for subject in subjects}) > 1
    for subject in subjects:
        facts = subject.loaded.provenance
        seed = options.seed if options.seed is not None else subject.config.seed or 0
        network = OutsideWeights(
            facts["backbone"], facts["backbone_options"], facts["pixel_mean"], facts["pixel_std"], seed
        )
        loaded = load_encoder(subject.config.initial_weights, network)
        method = f"{UNTRAINED} {facts['backbone']}" if several else UNTRAINED
        start = subject.config.initial_weights or f"seed {seed}"
        before = Subject(f"{facts['backbone']} {UNTRAINED}, {start}", method, subject.config, subject.folder, loaded)
        found.setdefault(loaded.provenance["sha256"], before)
    return list(found.values())


def _network(subject: Subject) -> list[Any]:
    return [subject.loaded.provenance[key] for key in ("backbone", "backbone_options")]
