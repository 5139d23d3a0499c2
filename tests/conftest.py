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
