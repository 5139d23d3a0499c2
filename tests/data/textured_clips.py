import cv2
import numpy as np


def textured(num_frames, height, width, seed=0):
    """Smooth colours with edges and fine grain, another picture in every frame."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (num_frames, 5, 7, 3), dtype=np.uint8)
    clip = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in coarse])
    clip[:, height // 4 : height // 2, width // 3 : width // 2] = (240, 20, 60)
    grain = generator.integers(-5, 6, clip.shape)
    return (clip + grain).clip(0, 255).astype(np.uint8)
