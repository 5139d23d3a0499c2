"""What a video brings to a batch beside its clips: audio features, text, boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidssl.errors import VidsslError
from vidssl.registry import Registry
from vidssl.video.decoding import DecodingError

if TYPE_CHECKING:
    from vidssl.catalogs.catalog import VideoRow
    from vidssl.data.dataset import DrawnViews

EXTRAS = Registry(
    "reader of extra tensors", "vidssl.extras", check="vidssl.data.extras:fault_of", is_named_by_class=True
)
"""Name -> class below `ExtraTensors`; ``data.extras`` of a configuration takes these names."""


def fault_of(extra: Any) -> str | None:
    """Return what keeps `extra` from being used as a reader of extra tensors, in words for its author, or None."""
    if isinstance(extra, type) and issubclass(extra, ExtraTensors):
        return None
    return f"{getattr(extra, '__qualname__', extra)!r} is not a subclass of {ExtraTensors.__module__}.ExtraTensors"


class ExtraTensors(ABC):
    """Reads one array for each training video; the batch holds them stacked, `ClipBatch.extras`.

    Loader workers get a copy: open files when they are first read, not in the constructor.
    """

    @abstractmethod
    def __call__(self, video: VideoRow, views: DrawnViews) -> np.ndarray:
        """Return the array of one video, of the same shape and dtype for all of them.

        Args:
            video: its row in the catalog; `path` is below the folder of the videos.
            views: which frames the clips show (`indices`) and how they are cropped and flipped (`plans`).

        Raises:
            DecodingError: there is none; another video takes the place of this one, as where its frames cannot be read.
        """


@EXTRAS.register("ArrayFiles")
@dataclass
class ArrayFiles(ExtraTensors):
    """One NumPy file for each video: ``FOLDER/run/clip_01.npy`` for the video ``run/clip_01.mp4`` of the catalog.

    Args:
        folder: folder of the files, which have the names of the videos below the videos' folder.

    Raises:
        VidsslError: there is no such folder.
    """

    folder: str

    def __post_init__(self) -> None:
        if not Path(self.folder).is_dir():
            raise VidsslError(f"data.extras: there is no folder {self.folder}; it holds a .npy file for each video.")

    def __call__(self, video: VideoRow, views: DrawnViews) -> np.ndarray:
        """Return the array of the video's file; nothing is unpickled."""
        file = (Path(self.folder) / video.path).with_suffix(".npy")
        try:
            return np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DecodingError(str(file), f"its array cannot be read: {error}") from error
