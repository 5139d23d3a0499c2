"""Which frames, by where in the video most moves.

Source: Li et al., "Motion-Focused Contrastive Learning of Video Representations", ICCV 2021, section 3.2, and the
authors' released code, which adds the two halves and the probability.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidssl.data.sampling import ClipSampler, check_clip, clip_indices, clip_span, max_start_offset
from vidssl.errors import VidsslError, nearest
from vidssl.motion.maps import VideoMotion

SCOPES = ("halves", "video")


@dataclass
class MotionSampler(ClipSampler):
    """Clips at moments of strong motion, one apart from the others in time (MCL).

    The video is divided into halves. Clip 0, the query's, is drawn from one half, and the other clips from the other
    half, in order of time; a coin toss decides which half is which. A start is drawn from those whose clips move at
    least as much as the median clip of the half. With probability 1 - `probability`, and where no motion is known, all
    starts of the half are equally likely.

    A video shorter than two clips is not divided: all clips are drawn from the whole video, and clip 0 is the first or
    the last of them. Motion is used there too, as in the paper, which has no halves (the released code takes any start
    in such videos, and leaves them out on UCF101). Videos shorter than a clip are looped.

    So clip 0 comes before or after all others, which is the *order label* of MCL's third task. The label follows from
    the starts: 1 (before) where the first view starts earlier than the last, 0 otherwise. It is ambiguous only where
    all clips of a short video start at the same frame.

    Args:
        num_frames: frames per clip.
        stride: distance in frames between two frames of a clip.
        probability: probability of using motion (0.7 in the released code); 0 switches it off, and no motion is needed.
        kept_share: share of the starts, those with the strongest motion, that are drawn from; 0.5 is the median, as
            in the paper.
        scope: ``halves`` (released code), or ``video``: the whole video for all clips, as in short ones (paper).
        view_clips: which clip each view shows. MCL's four views show clip 0 twice (query and first key), 1 and 2;
            (0, 0) gives two views of one clip, (0, 1) of two clips, as other contrastive methods need.

    Raises:
        VidsslError: a number out of its range or an unknown scope; the message names the key.
    """

    num_frames: int = 16
    stride: int = 2
    probability: float = 0.7
    kept_share: float = 0.5
    scope: str = "halves"
    view_clips: tuple[int, ...] = (0, 0, 1, 2)

    def __post_init__(self) -> None:
        check_clip(self.num_frames, self.stride)
        if not 0 <= self.probability <= 1:
            raise VidsslError(f"data.sampler.probability must be from 0 to 1, got {self.probability}.")
        if not 0 < self.kept_share <= 1:
            raise VidsslError(f"data.sampler.kept_share must be above 0 and at most 1, got {self.kept_share}.")
        if self.scope not in SCOPES:
            hint = nearest(self.scope, SCOPES)
            raise VidsslError(f"data.sampler.scope: unknown scope {self.scope!r}.{hint} Known: {', '.join(SCOPES)}.")
        self.view_clips = tuple(self.view_clips)
        if not self.view_clips or set(self.view_clips) != set(range(max(self.view_clips) + 1)):
            raise VidsslError(
                f"data.sampler.view_clips names the clip that each view shows, 0 and on without a gap, such as "
                f"[0, 0, 1, 2]; got {list(self.view_clips)}."
            )
        self.num_clips = len(self.view_clips)

    @property
    def uses_motion(self) -> bool:
        """Whether the draws depend on motion."""
        return self.probability > 0

    def shortcomings(self) -> list[tuple[int, str]]:
        """Add the videos that are not halved, see `ClipSampler`."""
        two = 2 * self.clip_length
        whole = f"shorter than two clips ({two} frames) and are not halved: the query's clip may overlap the others"
        is_halved = self.scope == "halves" and max(self.view_clips) > 0
        return super().shortcomings() + ([(two, whole)] if is_halved else [])

    def start_ranges(self, num_video_frames: int) -> list[np.ndarray]:
        """Return the possible starts: of the first and of the second half, or of the whole video alone.

        A clip of the first half ends in it; one of the second begins in it.
        """
        max_offset, _ = max_start_offset(num_video_frames, self.num_frames, self.stride)
        half, span = num_video_frames // 2, clip_span(self.num_frames, self.stride)
        if self.scope == "halves" and half > span:
            return [np.arange(half - span), np.arange(half, max_offset)]
        return [np.arange(max_offset)]

    def focused_starts(self, num_video_frames: int, motion: VideoMotion) -> list[np.ndarray]:
        """Return those of the `start_ranges` whose clips move most, the `kept_share` of each.

        Where many clips move alike, as in a video without motion, all of them are kept.
        """
        clip_motion = motion.clip_motion_of_starts(self.num_frames, self.stride)
        ranges = self.start_ranges(num_video_frames)
        thresholds = [np.quantile(clip_motion[starts], 1.0 - self.kept_share) for starts in ranges]
        return [starts[clip_motion[starts] >= least] for starts, least in zip(ranges, thresholds, strict=True)]

    def __call__(
        self, num_video_frames: int, rng: np.random.Generator, motion: VideoMotion | None = None
    ) -> list[np.ndarray]:
        """Return the views' index arrays, see `ClipSampler`."""
        is_focused = rng.random() < self.probability  # drawn in any case: the rest of the stream stays as it is
        is_first = rng.random() < 0.5
        if is_focused and motion is not None:
            ranges = self.focused_starts(num_video_frames, motion)
        else:
            ranges = self.start_ranges(num_video_frames)
        num_others = max(self.view_clips)
        if len(ranges) == 1:
            drawn = np.sort(rng.choice(ranges[0], size=1 + num_others))
            starts = drawn if is_first else np.roll(drawn, 1)
        else:
            of_query, of_others = ranges if is_first else reversed(ranges)
            starts = np.append(rng.choice(of_query), np.sort(rng.choice(of_others, size=num_others)))
        clips = [clip_indices(int(start), num_video_frames, self.num_frames, self.stride) for start in starts]
        return [clips[clip] for clip in self.view_clips]
