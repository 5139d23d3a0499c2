"""The embedded data set: short videos, really encoded to files, whose label is the motion pattern.

It needs no download, and it answers a question about a representation: does it see motion? With
``appearance="shared"`` all videos draw their textures from the same small pool, so that telling two videos apart takes
motion. With ``appearance="unique"`` every video has textures of its own and appearance alone tells them apart. With
``appearance="background"`` only its background is its own, as in real videos of one action in many places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidssl.catalogs.catalog import VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.synthetic import patterns, scene, texture
from vidssl.catalogs.synthetic.patterns import LABELS
from vidssl.catalogs.synthetic.rendering import render
from vidssl.catalogs.synthetic.spec import (
    SPEC_NAME,
    SPRITE_SIZE,
    TILE_SIZE,
    SyntheticSpec,
    claim,
    described,
    read_spec,
)
from vidssl.errors import VidsslError

SPLITS = ("train", "test")
CATALOG_NAME = "synthetic.catalog"
SHARED_TEXTURES = 3  # of the background, and as many of the shape

# The shape is brighter than the background, so that its motion can be seen however the colours are jittered.
_UNIQUE_BACKGROUND = texture.TextureStyle(
    kinds=texture.TEXTURES, repeats=(6, 10), hue=(0, 360), saturation=0.4, brightness=(0.25, 0.5)
)
_UNIQUE_FOREGROUND = texture.TextureStyle(
    kinds=texture.TEXTURES, repeats=(6, 10), hue=(0, 360), saturation=0.75, brightness=(0.55, 1.0)
)
# The pool is narrow as well as small: were its textures of different kinds, the kind would be what a network learns.
_SHARED_BACKGROUND = replace(_UNIQUE_BACKGROUND, kinds=("blobs",), repeats=(7, 7), hue=(200, 240))
_SHARED_FOREGROUND = replace(_UNIQUE_FOREGROUND, kinds=("checks",), repeats=(8, 8), hue=(10, 50))

# The first key of each random generator; the streams must never meet.
_POOL_STREAM, _SPLIT_STREAMS = 0, {"train": 1, "test": 2}


def video_label(spec: SyntheticSpec, index: int) -> int:
    """Return the class number of video `index` of a split; the classes take turns, so they are balanced."""
    return index % len(spec.classes)


def draw_scene(spec: SyntheticSpec, split: str, index: int) -> scene.Scene:
    """Draw all that one video shows."""
    rng = np.random.default_rng([spec.seed, _SPLIT_STREAMS[split], index])
    motion = patterns.draw_motion(rng, spec.labels)
    if spec.placement == "off-centre":
        placement = scene.draw_off_centre(motion, spec.height, spec.width, rng)
    else:
        placement = scene.draw_placement(rng)
    appearance = draw_appearance(spec, rng)
    tile_side = len(appearance.background) / min(spec.height, spec.width)
    pan = scene.draw_pan(spec.num_frames, rng, tile_side if spec.labels == "order" else 1.0)
    moments = patterns.draw_moments(spec.num_frames, spec.activity, rng)
    pattern = LABELS[spec.labels][spec.classes[video_label(spec, index)]]
    poses = patterns.draw_poses(pattern, motion, moments, rng)
    return scene.Scene(appearance, placement, poses, pan, height=spec.height, width=spec.width)


def draw_video(spec: SyntheticSpec, split: str, index: int) -> np.ndarray:
    """Draw one video as it is before encoding: uint8 (T, H, W, 3), RGB."""
    return render(draw_scene(spec, split, index))


def scene_of_file(path: str | Path) -> scene.Scene:
    """Return what a file that `write_synthetic` wrote shows, from its name and the `SPEC_NAME` above it.

    Raises:
        VidsslError: the file is not one of these.
    """
    path = Path(path)
    folder = path.parents[2] if len(path.parents) > 2 else path.parent
    spec = read_spec(folder)
    split, stem = path.parent.parent.name, path.stem
    index = int(stem) if stem.isdecimal() else -1
    counts = dict(zip(SPLITS, (spec.num_train, spec.num_test), strict=True))
    if not 0 <= index < counts.get(split, 0) or folder / _relative_path(spec, split, index) != path:
        raise VidsslError(f"{path} is not a video of the specification in {folder / SPEC_NAME}.")
    return draw_scene(spec, split, index)


def draw_appearance(spec: SyntheticSpec, rng: np.random.Generator) -> scene.Appearance:
    """Draw the textures and the shape of one video; they do not depend on its class."""
    shape = scene.SHAPES[rng.integers(len(scene.SHAPES))]
    background, foreground = rng.integers(SHARED_TEXTURES, size=2).tolist()
    tile = round(TILE_SIZE * spec.scale)
    # a small shape shows a smaller part of its texture, no finer one
    part = scene.OFF_CENTRE_SCALE if spec.placement == "off-centre" else 1.0
    return scene.Appearance(
        background=texture.draw_texture(_UNIQUE_BACKGROUND, rng, tile)
        if spec.appearance in ("unique", "background")
        else _draw_shared(_SHARED_BACKGROUND, (spec.seed, _POOL_STREAM, 0, background), tile),
        foreground=texture.draw_texture(_UNIQUE_FOREGROUND, rng, tile)
        if spec.appearance == "unique"
        else _draw_shared(_SHARED_FOREGROUND, (spec.seed, _POOL_STREAM, 1, foreground), tile),
        shape=shape,
        sprite_size=round(SPRITE_SIZE * spec.scale * part),
    )


def _draw_shared(style: texture.TextureStyle, key: tuple[int, ...], size: int) -> np.ndarray:
    return texture.draw_texture(style, np.random.default_rng(key), size)


def write_synthetic(folder: str | Path, spec: SyntheticSpec) -> Path:
    """Write the videos and their catalog, or nothing when this folder already holds exactly them.

    Args:
        folder: a new or empty folder, or one that this function wrote before.
        spec: what to write. A run that was interrupted is taken up by calling again with the same specification.

    Returns:
        The path of the catalog; its splits are "train" and "test".

    Raises:
        VidsslError: the folder holds another specification or something else, or cannot be written.
    """
    folder = Path(folder)
    catalog_path = folder / CATALOG_NAME
    try:
        if claim(folder, spec) and catalog_path.is_file():
            return catalog_path
        rows = [_write_video(folder, spec, split, index) for split, index in _videos(spec)]
    except OSError as error:
        raise VidsslError(f"Cannot write the synthetic videos to {folder}: {error}. Choose another folder.") from error
    write_catalog(
        catalog_path,
        rows,
        classes=list(spec.classes),
        group_names=[],
        splits={"train": range(spec.num_train), "test": range(spec.num_train, len(rows))},
        root=".",
        source={"kind": "synthetic", "listed": len(rows), "found": len(rows), **described(spec)},
        bad=[],
    )
    return catalog_path


def _videos(spec: SyntheticSpec) -> Iterator[tuple[str, int]]:
    for split, count in zip(SPLITS, (spec.num_train, spec.num_test), strict=True):
        yield from ((split, index) for index in range(count))


def _relative_path(spec: SyntheticSpec, split: str, index: int) -> str:
    return f"{split}/{spec.classes[video_label(spec, index)]}/{index:05d}.mp4"


def _write_video(folder: Path, spec: SyntheticSpec, split: str, index: int) -> VideoRow:
    relative = _relative_path(spec, split, index)
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(path, draw_video(spec, split, index), spec.fps)
    return VideoRow(
        path=relative,
        label=video_label(spec, index),
        group=-1,
        num_frames=spec.num_frames,
        fps=float(spec.fps),
        width=spec.width,
        height=spec.height,
        duration_seconds=spec.num_frames / spec.fps,
        **asdict(FileState.of(path)),
    )


def encode(path: Path, frames: np.ndarray, fps: int) -> None:
    """Encode frames as MPEG-4 in mp4, an encoder every FFmpeg has.

    Args:
        path: the file to write.
        frames: uint8 (T, H, W, 3), RGB, H and W even.
        fps: frames per second.
    """
    options = {"flags": "+bitexact+qscale", "global_quality": str(4 * 118), "threads": "1"}  # 118: one step of qscale
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(fps), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
