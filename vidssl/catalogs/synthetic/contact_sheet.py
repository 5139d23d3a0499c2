"""A picture of the embedded videos, one row per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidssl.catalogs.catalog import Catalog
from vidssl.catalogs.synthetic.videos import CATALOG_NAME


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
    height = 0.32 + 0.96 * len(catalog.classes)
    canvas = FigureCanvasAgg(figure := Figure(figsize=(8.6, height), dpi=100, facecolor="white"))
    axes = figure.subplots(len(catalog.classes), 8, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    figure.subplots_adjust(left=0.135, right=0.995, top=1 - 0.28 / height, bottom=0.04 / height)
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
