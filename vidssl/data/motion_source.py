"""Where training gets the motion of its videos: a stored file, or computed as they are loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vidssl.catalogs.catalog import Catalog
from vidssl.data.plan import MotionCrop
from vidssl.errors import VidsslError, nearest
from vidssl.motion.maps import VideoMotion
from vidssl.motion.settings import MotionSettings
from vidssl.video.decoding import DecodingError

if TYPE_CHECKING:
    from vidssl.video.decoders.kept_frames import KeptFrames

VIEWS = ("first", "all")


@dataclass(frozen=True)
class MotionData:
    """The motion of the videos: how it is computed, where it is stored, and what a batch holds of it.

    Attributes:
        settings: how motion maps are computed.
        store: file that ``vidssl motion`` wrote for this catalog and these settings; None computes the maps in the
            workers, every time a video is loaded.
        target_shape: time bins, rows and columns of `ClipBatch.motion`; None leaves it out, for training that only
            samples or crops by motion.
        views: whose motion is in `ClipBatch.motion`: that of the ``first`` view, or that of ``all``, which adds a
            dimension.
        crop: draw the crops of all views where most moves, except for recipes with their own `motion_crop`; None
            leaves it to the recipes.

    Raises:
        VidsslError: a target without cells, or unknown `views`.
    """

    settings: MotionSettings = field(default_factory=MotionSettings)
    store: str | None = None
    target_shape: tuple[int, int, int] | None = (8, 28, 28)
    views: str = "first"
    crop: MotionCrop | None = None

    def __post_init__(self) -> None:
        shape = self.target_shape
        if shape is not None and (len(shape) != 3 or min(shape) < 1):
            raise VidsslError(
                f"data.motion.target_shape is [time bins, rows, columns], each at least 1, or null; got {list(shape)}."
            )
        if self.views not in VIEWS:
            hint = nearest(str(self.views), VIEWS)
            raise VidsslError(f"data.motion.views is one of {', '.join(VIEWS)}; got {self.views!r}.{hint}")


class MotionSource:
    """Gives the motion of a video by its row in the catalog; cheap to pickle.

    Args:
        catalog: the videos.
        data: how and from where.

    Raises:
        VidsslError: the stored file is missing, or was made for another catalog or with other settings.
    """

    def __init__(self, catalog: Catalog, data: MotionData) -> None:
        self._catalog = catalog
        self._settings = data.settings
        self._store = None
        if data.store is not None:
            from vidssl.motion.store import MotionStore

            self._store = MotionStore.open(data.store, catalog=catalog, settings=data.settings)

    def __call__(self, row: int, kept: KeptFrames | None = None) -> VideoMotion:
        """Return the motion of a video.

        Args:
            row: of the video in the catalog.
            kept: gets the video's frames, where computing its motion decodes them; see `video_motion`.

        Raises:
            DecodingError: there is none in the file, the video cannot be read, or it has changed since preparation.
        """
        video = self._catalog[row]
        place = video.place(self._catalog.root)
        if self._store is not None:
            motion = self._store[row]
        else:
            from vidssl.motion.extract import video_motion

            motion = video_motion(place, self._settings, kept)
        if motion.num_frames != video.num_frames:
            raise DecodingError(
                place, f"its motion is that of {motion.num_frames} frames, the catalog counts {video.num_frames}"
            )
        return motion
