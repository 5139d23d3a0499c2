"""A file format of vidssl: a container of arrays with a JSON header, identified by name and version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidssl.errors import VidsslError
from vidssl.storage.container import Verify, map_arrays


@dataclass(frozen=True)
class FileKind:
    """A kind of file, with the words for it in messages.

    Attributes:
        format: stands in every such file.
        version: the newest that is read, and what is written unless an older reader will do.
        noun: "catalog".
        description: what such a file is, with its article: "a catalog".
        remedy: what to do where there is none, as the rest of a sentence.
        command: makes such files.
        arrays: that every such file has.
        fields: that the header of every such file has.
    """

    format: str
    version: int
    noun: str
    description: str
    remedy: str
    command: str
    arrays: tuple[str, ...]
    fields: tuple[str, ...]

    def metadata(self, header: Mapping[str, Any], version: int | None = None) -> dict[str, str]:
        """Return the strings of a container of this kind.

        Args:
            header: anything JSON can hold.
            version: the oldest that reads the file as it should; None is the newest.
        """
        version_text = str(self.version if version is None else version)
        return {"format": self.format, "version": version_text, "contents": json.dumps(header)}

    def read(self, file: Path, verify: Verify = "cheap") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Map a file into memory; return its arrays and its header.

        Args:
            file: the file.
            verify: which checksums are compared, see `map_arrays`.

        Raises:
            VidsslError: the file is missing, of another kind, cut short, damaged or of a newer version.
        """
        try:
            container = map_arrays(file, verify)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise VidsslError(f"There is no {self.noun} {file}; {self.remedy}.") from error
        except OSError as error:  # a folder, or no right to read
            raise VidsslError(f"The {self.noun} {file} cannot be read: {error.strerror}.") from error
        if container is None or container[1].get("format") != self.format:
            raise VidsslError(
                f"{file} is not {self.description}, or its header is damaged; make one with `{self.command}`."
            )
        arrays, metadata = container
        try:
            version, header = int(metadata["version"]), json.loads(metadata["contents"])
            names = {*header}
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(file) from error
        if version > self.version:
            raise VidsslError(
                f"The {self.noun} {file} is of version {version}, this vidssl reads up to {self.version}; "
                f"upgrade vidssl or make the file again with `{self.command}`."
            )
        if not (names.issuperset(self.fields) and arrays.keys() >= {*self.arrays}):
            raise self._damaged(file)
        return arrays, header

    def _damaged(self, file: Path) -> VidsslError:
        return VidsslError(f"The header of the {self.noun} {file} is damaged. Copy or make it again.")
