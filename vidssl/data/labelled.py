"""Which of the training videos keep their labels: a part of every class, for training with few labels."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidssl.errors import VidsslError
from vidssl.storage.files import replacing

if TYPE_CHECKING:
    from vidssl.catalogs.catalog import Catalog

LABELLED_FILE = "labelled_videos.json"
"""In the folder of a run that trains on a part of the labels."""


@dataclass(frozen=True)
class LabelledSubset:
    """A part of the labelled training videos, the same share of every class and at least one video of it.

    With one seed a smaller fraction is within every larger one: the 1 % within the 10 %. The seed is not that of the
    run, so that runs differ in their training and not in their labels.

    Attributes:
        fraction: share of the videos of a class that are used, in (0, 1]; 1 uses all training videos, including those
            without a label.
        seed: seed of the choice.

    Raises:
        VidsslError: a fraction out of its range, or a negative seed; the message names the key.
    """

    fraction: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise VidsslError(f"data.labelled.fraction is a share above 0 and up to 1, got {self.fraction}.")
        if self.seed < 0:
            raise VidsslError(f"data.labelled.seed must be 0 or more, got {self.seed}.")

    def choose(self, catalog: Catalog, rows: np.ndarray) -> np.ndarray:
        """Return the rows to train on, int64 (n,), in the order of `rows`.

        The videos of a class stand in an order that is keyed by (seed, class); the first ones are taken, as many as
        the fraction says, rounded to the nearest number.

        Args:
            catalog: knows the labels.
            rows: the training split, int64 (N,).

        Raises:
            VidsslError: none of the videos has a label.
        """
        if self.fraction == 1:
            return rows
        labels = catalog.labels[rows]
        if not (labels >= 0).any():
            raise VidsslError("data.labelled.fraction: none of the training videos has a label to choose by.")
        chosen = np.zeros(len(rows), dtype=bool)
        for label in np.unique(labels[labels >= 0]).tolist():
            places = np.flatnonzero(labels == label)
            places = places[np.argsort(rows[places])]  # whatever the order in which a split lists them
            order = np.random.default_rng([self.seed, label]).permutation(len(places))
            count = max(1, int(self.fraction * len(places) + 0.5))
            chosen[places[order[:count]]] = True
        return rows[chosen]

    def write(self, folder: str | Path, catalog: Catalog, rows: np.ndarray) -> Path:
        """Write down which videos were chosen; JSON with the rows and paths of all of them.

        Raises:
            VidsslError: the file cannot be written.
        """
        file = Path(folder) / LABELLED_FILE
        rows = np.sort(rows)
        document = {
            **asdict(self),
            "catalog_digest": catalog.digest,
            "videos": len(rows),
            "rows": rows.tolist(),
            "paths": [catalog.path(int(row)) for row in rows],
        }
        try:
            with replacing(file) as temporary:
                text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
                temporary.write_bytes(text.encode("utf-8", "surrogateescape"))  # file names need not be UTF-8
        except OSError as error:
            raise VidsslError(f"The list of labelled videos cannot be written to {file}: {error.strerror}.") from error
        return file
