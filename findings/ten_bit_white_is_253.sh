#!/usr/bin/env bash
# FFmpeg's swscale (9.5 in PyAV 18.1.0): video of 10 bits a sample in 4:2:0 or 4:2:2 becomes RGB of 8 bits 2 levels dark.
# White (luma 940 of 10 bits) is 253 and middle grey (504) 126; the same picture in 8 bits, or in 4:4:4, gives 255 and
# 128. With full chroma interpolation (FULL_CHR_H_INT), which has nothing to do with luma, 10 bits are right too.
# Ends with 0 while this is so, with 1 once it is mended.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6

cat > "$work/white.py" <<'PYTHON'
import sys

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter


def flat(pixel_format, bits, luma):
    """A frame of one grey: `luma` in 8 bits."""
    frame = av.VideoFrame(64, 48, pixel_format)
    for plane, level in zip(frame.planes, (luma, 128, 128)):
        dtype = np.uint16 if bits > 8 else np.uint8
        plane.update(np.full(plane.buffer_size // dtype().itemsize, level << (bits - 8), dtype).tobytes())
    return frame


print("PyAV", av.__version__, "libswscale", av.library_versions["libswscale"])
convert = VideoReformatter().reformat
full = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT
found = {}
for name, bits in (("yuv420p", 8), ("yuv420p10le", 10), ("yuv422p10le", 10), ("yuv444p10le", 10)):
    for way, interpolation in (("default", None), ("full chroma", full)):
        frames = [flat(name, bits, luma) for luma in (235, 126, 16)]
        pixels = [convert(frame, format="rgb24", interpolation=interpolation).to_ndarray() for frame in frames]
        found[name, way] = [int(one[24, 32, 1]) for one in pixels]
        print(f"{name:12} {way:12} white, grey, black: {found[name, way]}")
dark = {case for case, levels in found.items() if levels == [253, 126, 0]}
right = {case for case, levels in found.items() if levels == [255, 128, 0]}
expected = {("yuv420p10le", "default"), ("yuv422p10le", "default")}
sys.exit(0 if dark == expected and right == set(found) - expected else 1)
PYTHON
"$work/venv/bin/python" "$work/white.py"
