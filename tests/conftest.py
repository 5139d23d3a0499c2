import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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
    from vidssl.data.synthetic import SyntheticSpec, write_synthetic

    spec = SyntheticSpec(num_train=32, num_test=16, num_frames=24, height=48, width=48)
    return write_synthetic(tmp_path_factory.mktemp("synthetic"), spec)
