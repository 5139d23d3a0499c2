"""White, grey and black are what they were when the video was made."""

import av
import numpy as np
import pytest

from vidssl.video.decoders.pyav_reader import RGBConverter
from vidssl.video.decoding import read_frames

# Luma in 8 bits of white, middle grey and black (ITU-R BT.601: 16 to 235), and what is to come out.
LEVELS = {235: 255, 126: 128, 16: 0}
DEEP = [f"yuv{chroma}p{bits}le" for chroma in ("420", "422", "440", "444") for bits in (10, 12)]
FORMATS = ["yuv420p", "yuv422p", "yuv444p", *DEEP, "p010le", "yuv420p16le"]


def flat(pixel_format, luma):
    frame = av.VideoFrame(64, 48, pixel_format)
    for component, plane in enumerate(frame.planes):
        level = luma if component == 0 else 128
        is_deep = "le" in pixel_format
        bits = 16 if pixel_format[:4] == "p010" or "16" in pixel_format else int(pixel_format[-4:-2] if is_deep else 8)
        values = np.full(plane.buffer_size // (1 + is_deep), level << (bits - 8), np.uint16 if is_deep else np.uint8)
        plane.update(values.tobytes())
    return frame


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_white_grey_and_black(pixel_format):
    to_rgb = RGBConverter()
    for luma, level in LEVELS.items():
        assert np.unique(to_rgb(flat(pixel_format, luma))).tolist() == [level]


def test_every_level_of_ten_bits():
    frame = av.VideoFrame(877, 16, "yuv420p10le")
    luma = np.arange(64, 941, dtype=np.uint16)
    row = np.zeros(frame.planes[0].line_size // 2, np.uint16)
    row[: len(luma)] = luma
    frame.planes[0].update(np.tile(row, (16, 1)).tobytes())
    for plane in frame.planes[1:]:
        plane.update(np.full(plane.buffer_size // 2, 512, np.uint16).tobytes())
    np.testing.assert_allclose(RGBConverter()(frame)[8, :, 1], (luma - 64) / 876 * 255, atol=0.6)


def test_ten_bits_in_a_file(tmp_path):
    path = tmp_path / "white.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        output.mux(stream.encode(flat("yuv420p10le", 235)))
        output.mux(stream.encode(None))
    assert np.unique(read_frames(path, [0])).tolist() == [255]
