"""What a network looks at, and how much of it moves."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.evaluation.attention.overlap import Overlap as Overlap
    from vidssl.evaluation.attention.overlap import attention_maps as attention_maps
    from vidssl.evaluation.attention.overlap import clip_directions as clip_directions
    from vidssl.evaluation.attention.overlap import encode_clips as encode_clips
    from vidssl.evaluation.attention.overlap import grad_cam as grad_cam
    from vidssl.evaluation.attention.overlap import moving_share as moving_share
    from vidssl.evaluation.attention.overlap import overlap as overlap

offer(
    __name__,
    overlap=["Overlap", "attention_maps", "clip_directions", "encode_clips", "grad_cam", "moving_share", "overlap"],
)
