"""The embedded data set: short videos, really encoded to files, whose label is the motion pattern.

It needs no download, and it answers a question about a representation: does it see motion? With
``appearance="shared"`` all videos draw their textures from the same small pool, so that telling two videos apart takes
motion. With ``appearance="unique"`` every video has textures of its own and appearance alone tells them apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.file_state import FileState
from vidssl.catalogs.synthetic import scene, texture
from vidssl.errors import VidsslError

CLASSES = tuple(scene.PATTERNS)
APPEARANCES = ("shared", "unique")
SPLITS = ("train", "test")
CATALOG_NAME = "synthetic.catalog"
SPEC_NAME = "spec.json"
SHARED_TEXTURES = 3  # of the background, and as many of the shape
DRAWING_VERSION = 2  # raise it whenever the same specification would give other pixels

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


@dataclass(frozen=True)
class SyntheticSpec:
    """What to write.

    Attributes:
        num_train: videos in the split "train".
        num_test: videos in the split "test".
        num_frames: frames of each video.
        height: in pixels, even.
        width: in pixels, even.
        fps: frames per second.
        appearance: "shared" (textures from a pool shared by all videos) or "unique" (own textures for every video).
        seed: of all drawing. Video i of a split depends on the seed, the split and i, not on how many there are.

    Raises:
        VidsslError: a value out of its range; the message names it.
    """

    num_train: int = 480
    num_test: int = 240
    num_frames: int = 48
    height: int = 80
    width: int = 80
    fps: int = 25
    appearance: str = "shared"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.appearance not in APPEARANCES:
            raise VidsslError(f"Unknown appearance {self.appearance!r}; choose from {', '.join(APPEARANCES)}.")
        for name in ("num_train", "num_test"):
            if getattr(self, name) < len(CLASSES):
                raise VidsslError(f"{name} is {getattr(self, name)}: at least one video a class needs {len(CLASSES)}.")
        for name in ("height", "width"):
            if getattr(self, name) < 16 or getattr(self, name) % 2:
                raise VidsslError(f"{name} is {getattr(self, name)}: it must be even and at least 16 pixels.")
        if self.num_frames < 2 or self.fps < 1 or self.seed < 0:
            raise VidsslError(
                f"num_frames is {self.num_frames}, fps {self.fps}, seed {self.seed}: "
                "at least 2 frames, 1 frame per second and a seed of 0 or more are needed."
            )


def video_label(index: int) -> int:
    """Return the class number of video `index` of a split; the classes take turns, so they are balanced."""
    return index % len(CLASSES)


def draw_video(spec: SyntheticSpec, split: str, index: int) -> np.ndarray:
    """Draw one video as it is before encoding: uint8 (T, H, W, 3), RGB."""
    rng = np.random.default_rng([spec.seed, _SPLIT_STREAMS[split], index])
    motion, placement = scene.draw_motion(rng), scene.draw_placement(rng)
    appearance = draw_appearance(spec, rng)
    pan = scene.draw_pan(spec.num_frames, rng)
    poses = scene.draw_poses(CLASSES[video_label(index)], motion, spec.num_frames, rng)
    return scene.render(appearance, placement, poses, pan, height=spec.height, width=spec.width)


def draw_appearance(spec: SyntheticSpec, rng: np.random.Generator) -> scene.Appearance:
    """Draw the textures and the shape of one video; they do not depend on its class."""
    shape = scene.SHAPES[rng.integers(len(scene.SHAPES))]
    background, foreground = rng.integers(SHARED_TEXTURES, size=2)
    if spec.appearance == "unique":
        return scene.Appearance(
            texture.draw_texture(_UNIQUE_BACKGROUND, rng), texture.draw_texture(_UNIQUE_FOREGROUND, rng), shape
        )
    return scene.Appearance(
        _draw_shared(_SHARED_BACKGROUND, spec.seed, 0, background),
        _draw_shared(_SHARED_FOREGROUND, spec.seed, 1, foreground),
        shape,
    )


def _draw_shared(style: texture.TextureStyle, seed: int, layer: int, number: int) -> np.ndarray:
    return texture.draw_texture(style, np.random.default_rng([seed, _POOL_STREAM, layer, number]))


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
        if _claim(folder, spec) and catalog_path.is_file():
            return catalog_path
        rows = [_write_video(folder, spec, split, index) for split, index in _videos(spec)]
    except OSError as error:
        raise VidsslError(f"Cannot write the synthetic videos to {folder}: {error}. Choose another folder.") from error
    write_catalog(
        catalog_path,
        rows,
        classes=list(CLASSES),
        group_names=[],
        splits={"train": range(spec.num_train), "test": range(spec.num_train, len(rows))},
        root=".",
        source={"kind": "synthetic", "listed": len(rows), "found": len(rows), **_described(spec)},
        bad=[],
    )
    return catalog_path


def _claim(folder: Path, spec: SyntheticSpec) -> bool:
    """Return True when the folder was claimed for `spec` before; claim it when it is new."""
    spec_path = folder / SPEC_NAME
    if spec_path.is_file():
        _refuse_other_spec(spec_path, spec)
        return True
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise VidsslError(f"{folder} is not empty and holds no {SPEC_NAME}; choose a new folder for synthetic videos.")
    spec_path.write_text(json.dumps(_described(spec), indent=2) + "\n")
    return False


def _refuse_other_spec(spec_path: Path, spec: SyntheticSpec) -> None:
    try:
        present = json.loads(spec_path.read_text())
    except ValueError as error:
        raise VidsslError(f"{spec_path} is not readable as JSON ({error}); delete the folder and run again.") from error
    wanted = _described(spec)
    if present == wanted:
        return
    differing = [
        f"{name} is {present.get(name)!r}, not {value!r}"
        for name, value in wanted.items()
        if present.get(name) != value
    ]
    raise VidsslError(
        f"{spec_path.parent} already holds other synthetic videos ({'; '.join(differing)}). "
        "Choose another folder, or delete this one to draw it anew."
    )


def _described(spec: SyntheticSpec) -> dict[str, Any]:
    return {**asdict(spec), "drawing_version": DRAWING_VERSION}


def _videos(spec: SyntheticSpec) -> Iterator[tuple[str, int]]:
    for split, count in zip(SPLITS, (spec.num_train, spec.num_test), strict=True):
        yield from ((split, index) for index in range(count))


def _write_video(folder: Path, spec: SyntheticSpec, split: str, index: int) -> VideoRow:
    label = video_label(index)
    relative = f"{split}/{CLASSES[label]}/{index:05d}.mp4"
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    encode(path, draw_video(spec, split, index), spec.fps)
    return VideoRow(
        path=relative,
        label=label,
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


def contact_sheet(folder_or_catalog: str | Path | Catalog, path: str | Path, *, stride: int = 2) -> Path:
    """Draw one picture of the data set: a row per class, eight frames of one training video across.

    Args:
        folder_or_catalog: what `write_synthetic` wrote, or its catalog.
        path: the PNG to write.
        stride: frames from one picture to the next.

    Returns:
        The path of the PNG.
    """
    # Imported here: only this picture needs them.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    from vidssl.video.decoding import read_frames

    catalog = _open(folder_or_catalog)
    training = catalog.split("train")
    canvas = FigureCanvasAgg(figure := Figure(figsize=(8.6, 8.0), dpi=100, facecolor="white"))
    axes = figure.subplots(len(catalog.classes), 8, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    figure.subplots_adjust(left=0.115, right=0.995, top=0.965, bottom=0.005)
    for label, (name, row_axes) in enumerate(zip(catalog.classes, axes, strict=True)):
        row = catalog[int(training[catalog.labels[training] == label][0])]
        indices = np.arange(8) * stride % row.num_frames
        for axis, frame in zip(row_axes, read_frames(catalog.root / row.path, indices), strict=True):
            axis.imshow(frame, interpolation="lanczos")
            axis.set_axis_off()
        row_axes[0].text(-0.08, 0.5, name, transform=row_axes[0].transAxes, ha="right", va="center", fontsize=10)
    for index, axis in enumerate(axes[0]):
        axis.set_title(f"frame {index * stride}", fontsize=8, color="0.4", pad=3)
    canvas.draw()
    # 256 colours show no difference and take less than half the space.
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    picture.quantize(256).save(path, "PNG", optimize=True)
    return Path(path)


def _open(folder_or_catalog: str | Path | Catalog) -> Catalog:
    if isinstance(folder_or_catalog, Catalog):
        return folder_or_catalog
    path = Path(folder_or_catalog)
    return Catalog.open(path / CATALOG_NAME if path.is_dir() else path)
