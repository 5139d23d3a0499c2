"""Reading videos: frames by number, with any decoder."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.video.decoding import DecodingError as DecodingError
    from vidssl.video.decoding import VideoInfo as VideoInfo
    from vidssl.video.decoding import probe as probe
    from vidssl.video.decoding import read_frames as read_frames

offer(
    __name__,
    decoding=["DecodingError", "VideoInfo", "probe", "read_frames"],
)
