"""Earlier names of modules, so that old configurations and plug-ins still find them.

A module that is imported by its old name is the module under its new one, with a warning that tells the new name.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "vidssl.authoring": "vidssl.plugins",
    "vidssl.authoring.check_objective": "vidssl.cli.check",
    "vidssl.authoring.new_objective": "vidssl.cli.new",
    "vidssl.authoring.objective_names": "vidssl.cli.objective_names",
    "vidssl.authoring.plugin_files": "vidssl.plugins.files",
    "vidssl.checkpoint_io": "vidssl.runs.checkpoint_io",
    "vidssl.config_errors": "vidssl.cli.config_errors",
    "vidssl.config_files": "vidssl.cli.configurations.files",
    "vidssl.data.catalog": "vidssl.catalogs.catalog",
    "vidssl.data.container": "vidssl.storage.container",
    "vidssl.data.decoders": "vidssl.video.decoders",
    "vidssl.data.decoding": "vidssl.video.decoding",
    "vidssl.data.journal": "vidssl.catalogs.journal",
    "vidssl.data.listing": "vidssl.catalogs.listing",
    "vidssl.data.next_command": "vidssl.cli.prepare.next_steps",
    "vidssl.data.preparation": "vidssl.catalogs.preparation",
    "vidssl.data.probing": "vidssl.catalogs.probing",
    "vidssl.data.progress": "vidssl.jobs.progress",
    "vidssl.data.summary": "vidssl.catalogs.summary",
    "vidssl.data.synthetic": "vidssl.catalogs.synthetic.videos",
    "vidssl.data.synthetic_scene": "vidssl.catalogs.synthetic.scene",
    "vidssl.data.synthetic_texture": "vidssl.catalogs.synthetic.texture",
    "vidssl.data.video_processes": "vidssl.jobs.video_processes",
    "vidssl.data.workers": "vidssl.data.shared_memory",
    "vidssl.data_group": "vidssl.cli.data_group",
    "vidssl.evaluation.candidates": "vidssl.evaluation.neighbours.candidates",
    "vidssl.evaluation.collection": "vidssl.evaluation.features.collection",
    "vidssl.evaluation.command": "vidssl.cli.evaluate",
    "vidssl.evaluation.copies": "vidssl.evaluation.neighbours.copies",
    "vidssl.evaluation.encoder": "vidssl.evaluation.features.encoder",
    "vidssl.evaluation.feature_files": "vidssl.evaluation.features.files",
    "vidssl.evaluation.feature_rows": "vidssl.evaluation.neighbours.feature_rows",
    "vidssl.evaluation.finetuning_evaluation": "vidssl.evaluation.finetuning.evaluation",
    "vidssl.evaluation.finetuning_recipe": "vidssl.evaluation.finetuning.recipe",
    "vidssl.evaluation.hold_out": "vidssl.evaluation.classifiers.hold_out",
    "vidssl.evaluation.inputs": "vidssl.evaluation.features.checks",
    "vidssl.evaluation.knn": "vidssl.evaluation.neighbours.knn",
    "vidssl.evaluation.leakage": "vidssl.evaluation.protocols.leakage",
    "vidssl.evaluation.linear": "vidssl.evaluation.classifiers.linear",
    "vidssl.evaluation.linear_model": "vidssl.evaluation.classifiers.linear_model",
    "vidssl.evaluation.linear_problem": "vidssl.evaluation.classifiers.linear_problem",
    "vidssl.evaluation.looked_at": "vidssl.evaluation.attention.clips",
    "vidssl.evaluation.newton": "vidssl.evaluation.classifiers.newton",
    "vidssl.evaluation.newton_direction": "vidssl.evaluation.classifiers.newton_direction",
    "vidssl.evaluation.normalisation": "vidssl.evaluation.features.normalisation",
    "vidssl.evaluation.outcome": "vidssl.evaluation.protocols.outcome",
    "vidssl.evaluation.protocol": "vidssl.evaluation.protocols.contract",
    "vidssl.evaluation.records": "vidssl.evaluation.protocols.records",
    "vidssl.evaluation.retrieval": "vidssl.evaluation.neighbours.retrieval",
    "vidssl.evaluation.scores": "vidssl.evaluation.protocols.scores",
    "vidssl.evaluation.search": "vidssl.evaluation.neighbours.search",
    "vidssl.evaluation.sgd_heads": "vidssl.evaluation.classifiers.sgd_heads",
    "vidssl.evaluation.svm": "vidssl.evaluation.classifiers.svm",
    "vidssl.evaluation.video_features": "vidssl.evaluation.features.video_features",
    "vidssl.files": "vidssl.storage.files",
    "vidssl.lightning_cli": "vidssl.cli.trainer_verbs",
    "vidssl.motion.command": "vidssl.cli.motion",
    "vidssl.motion.packets": "vidssl.motion.coded.packets",
    "vidssl.motion.shards": "vidssl.jobs.shards",
    "vidssl.motion.shares": "vidssl.jobs.shares",
    "vidssl.motion.source": "vidssl.data.motion_source",
    "vidssl.motion.vectors": "vidssl.motion.coded.vectors",
    "vidssl.reporting.compare.command": "vidssl.cli.compare",
    "vidssl.reporting.metrics_csv": "vidssl.runs.metrics_csv",
    "vidssl.reporting.metrics_file": "vidssl.runs.metrics_file",
    "vidssl.reporting.provenance": "vidssl.runs.provenance",
    "vidssl.reporting.run_file": "vidssl.runs.run_file",
    "vidssl.reporting.run_record": "vidssl.runs.run_record",
    "vidssl.reporting.show": "vidssl.cli.show",
    "vidssl.reporting.summary": "vidssl.reporting.console.summary",
    "vidssl.resuming": "vidssl.runs.resuming",
    "vidssl.run_directory": "vidssl.runs.run_directory",
}
"""Old name -> new name, those of 0.1 to those of 0.2; the modules of a package moved with it."""


def new_name(module: str) -> str | None:
    """Return the name that a module has now, or None where it was never called otherwise."""
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        moved = MOVED.get(".".join(parts[:length]))
        if moved is not None:
            return ".".join([moved, *parts[length:]])
    return None


class _Alias(Loader):
    def __init__(self, name: str) -> None:
        self._name = name
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put the alias's in its place


class _OldNames(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = new_name(fullname)
        if name is None:
            return None
        warnings.warn(f"{fullname} is called {name} now; change the import.", FutureWarning, stacklevel=2)
        return ModuleSpec(fullname, _Alias(name))


def install() -> None:
    """Make old names importable; called when vidssl is imported."""
    # First: the files below a moved package would otherwise be loaded again under the old name.
    if not any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldNames())
