"""Pictures that move by known amounts, encoded with known kinds of frames."""

import av
import cv2
import numpy as np

HEIGHT, WIDTH = 144, 192


def textured(height, width, seed=0, roughness=2.0):
    """Smooth noise of high contrast, uint8."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), roughness)
    return np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)


def pan(num_frames, speed, object_speed=None):
    """Frames of a camera that moves over a still scene by `speed` (x, y) pixels per frame (the picture moves by its
    negative), with a square in the middle that moves on the screen by `object_speed`."""
    margin = 160
    scene = textured(HEIGHT + 2 * margin, WIDTH + 2 * margin)
    thing = textured(48, 48, seed=1)
    frames = []
    for number in range(num_frames):
        x, y = (margin + round(number * part) for part in speed)
        frame = scene[y : y + HEIGHT, x : x + WIDTH].copy()
        if object_speed is not None:
            left, top = (round(start + number * part) for start, part in zip((72, 48), object_speed, strict=True))
            frame[top : top + 48, left : left + 48] = thing
        frames.append(frame)
    return frames


def encode(path, frames, codec="mpeg4", b_frames=0, options=None, pixel_format="yuv420p"):
    """Write grey frames as a video of high quality."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = pixel_format
        stream.codec_context.gop_size = 12
        stream.codec_context.max_b_frames = b_frames
        stream.options = options or ({"qscale": "2"} if codec == "mpeg4" else {})
        if codec == "mpeg4":
            stream.codec_context.qmin, stream.codec_context.qmax = 2, 3
            stream.bit_rate = 8_000_000
        for grey in frames:
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def noisy(frames, deviation, seed=0):
    """Add sensor noise of this standard deviation, in grey levels."""
    rng = np.random.default_rng(seed)
    noise = (rng.normal(scale=deviation, size=frame.shape) for frame in frames)
    return [np.clip(frame + one, 0, 255).round().astype(np.uint8) for frame, one in zip(frames, noise, strict=True)]
