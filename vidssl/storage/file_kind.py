"""A kind of file of our own: a container of arrays with a header in JSON, known by its name and version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.errors import VidsslError
from vidssl.storage.container import map_arrays


@dataclass(frozen=True)
class FileKind:
    """A kind of file, with the words for it in messages.

    Attributes:
        format: stands in every such file.
        version: of what is written, and the newest that is read.
        noun: "catalog".
        description: what such a file is, with its article: "a catalog".
        remedy: what to do where there is none, as the rest of a sentence.
        command: makes such files.
    """

    format: str
    version: int
    noun: str
    description: str
    remedy: str
    command: str

    def metadata(self, header: Mapping[str, Any]) -> dict[str, str]:
        """Return the strings of a container of this kind; `header` is anything JSON can hold."""
        return {"format": self.format, "version": str(self.version), "contents": json.dumps(header)}

    def read(self, file: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Map a file into memory; return its arrays and its header.

        Raises:
            VidsslError: the file is missing, of another kind, cut short or of a newer version.
        """
        try:
            container = map_arrays(file)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VidsslError(f"There is no {self.noun} {file}; {self.remedy}.") from error
        except OSError as error:  # a folder, or no right to read
            raise VidsslError(f"The {self.noun} {file} cannot be read: {error.strerror}.") from error
        if container is None or container[1].get("format") != self.format:
            raise VidsslError(f"{file} is not {self.description}; make one with `{self.command}`.")
        arrays, metadata = container
        if int(metadata["version"]) > self.version:
            raise VidsslError(
                f"The {self.noun} {file} is of version {metadata['version']}, this vidssl reads up to {self.version}; "
                f"upgrade vidssl or make the file again with `{self.command}`."
            )
        return arrays, json.loads(metadata["contents"])
