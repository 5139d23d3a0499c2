import os
import sys
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # there are as many test processes as cores; before torch and OpenCV are imported, and for what tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _no_chosen_run_folder(monkeypatch):
    """A command that a test builds and does not run leaves its folder in the environment, for the next one to take."""
    monkeypatch.setenv("VIDSSL_RUN_DIR", "set, so that it is removed again afterwards")
    monkeypatch.delenv("VIDSSL_RUN_DIR")


@pytest.fixture
def no_plugins_left(monkeypatch, tmp_path):
    """Plug-ins of a test: what is installed is looked up anew, what was loaded is forgotten afterwards."""
    from vidssl.plugins.kinds import KINDS

    for registry in (kind.registry for kind in KINDS):
        monkeypatch.setattr(registry, "_installed", None)
        monkeypatch.setattr(registry, "_announced", [])
        monkeypatch.setattr(registry, "_targets", dict(registry._targets))
        monkeypatch.setattr(registry, "_summaries", dict(registry._summaries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and tmp_path.parents[1] in Path(file).parents:
            del sys.modules[name]


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """The folder of real videos; VIDSSL_TEST_VIDEOS names it, else it lies beside the checkout."""
    folder = Path(os.environ.get("VIDSSL_TEST_VIDEOS", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real videos at {folder}; set VIDSSL_TEST_VIDEOS to their folder")
    return folder


@pytest.fixture(scope="session")
def synthetic_catalog(tmp_path_factory) -> Path:
    """The catalog of 32 training and 16 test videos, drawn once for the whole session."""
    from vidssl.catalogs.synthetic import SyntheticSpec, write_synthetic

    spec = SyntheticSpec(num_train=32, num_test=16, num_frames=24, height=48, width=48)
    return write_synthetic(tmp_path_factory.mktemp("synthetic"), spec)


@pytest.fixture
def small_config(synthetic_catalog, tmp_path) -> Path:
    """A configuration that trains a small network for two epochs of four steps; runs lie in the test's folder."""
    text = f"""
run_dir: {tmp_path}/runs/small
model:
  class_path: CVRL
  init_args:
    backbone: {{name: small}}
    head: {{hidden_dims: [32], embedding_dim: 16}}
    optimizer: {{name: adamw, learning_rate: 1.0e-3, warmup_epochs: 1}}
data:
  catalog: {synthetic_catalog}
  batch_size: 8
  sampler: {{class_path: IntervalSampler, init_args: {{num_frames: 4, stride: 2}}}}
  augmentations:
    - {{crop_size: 32, crop_area: [0.3, 1.0], flip_probability: 0.5}}
    - {{crop_size: 32, crop_area: [0.3, 1.0], flip_probability: 0.5}}
  evaluation: {{num_frames: 4, num_clips: 2, resize: 32, crop_size: 32}}
  loading: {{num_workers: 0}}
trainer:
  accelerator: cpu
  devices: 1
  max_epochs: 2
  log_every_n_steps: 1
  num_sanity_val_steps: -1
  enable_progress_bar: false
  callbacks:
    - {{class_path: FrozenFeatureEvaluation, init_args: {{protocols: [knn, retrieval/mean]}}}}
    - class_path: ModelCheckpoint
      init_args: {{save_last: link, every_n_train_steps: 1, filename: newest, enable_version_counter: false}}
    - {{class_path: StepTimer}}
    - {{class_path: ViewsPicture}}
    - {{class_path: RunSummary}}
"""
    file = tmp_path / "small.yaml"
    file.write_text(text)
    return file
