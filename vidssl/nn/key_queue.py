"""The keys of the last batches, first in, first out.

Source: He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, section 3.2.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidssl.nn.gather import gather

# Every process starts with the same rows, whatever it has drawn before.
_FIRST_ROWS_SEED = 0

UNKNOWN_VIDEO = -1
"""Stands for the video of a row that holds no key, or one whose video was not given; no row of a catalog."""


class KeyQueue(nn.Module):
    """The newest keys of all processes, the same rows in the same order on each.

    Before `append` has filled it, the other rows are random unit vectors. Rows, the videos they are of, and how many
    keys were ever written are part of the state dict, as ``rows``, ``videos`` and ``num_written``. They are not
    buffers: DistributedDataParallel sends every buffer from the first process to all others in every step, and every
    process has these already. State without ``videos``, as earlier versions wrote it, is read with all of them unknown.

    Args:
        size: rows, at least 1.
        dim: width of a key.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_FIRST_ROWS_SEED)
        self._rows = F.normalize(torch.randn(size, dim, generator=generator), dim=1)
        self._videos = torch.full((size,), UNKNOWN_VIDEO)
        self.num_written = 0
        self.register_state_dict_post_hook(_write_state)
        self.register_load_state_dict_pre_hook(_read_state)

    @property
    def pointer(self) -> int:
        """The row that the next key is written to."""
        return self.num_written % len(self._rows)

    @property
    def fill(self) -> float:
        """Share of the rows that hold keys, 0 to 1."""
        return min(1.0, self.num_written / len(self._rows))

    def keys(self, device: torch.device) -> Tensor:
        """Return a copy of the rows, float32 (size, dim), which later writing leaves as it is.

        Args:
            device: where the keys are needed; the queue stays there.
        """
        self._rows = self._rows.to(device)
        return self._rows.clone()

    def rows_of(self, videos: Tensor) -> Tensor:
        """Return which rows hold keys of which videos, bool (B, size).

        Args:
            videos: int64 (B,), rows of the catalog, at least 0.
        """
        self._videos = self._videos.to(videos.device)
        return videos[:, None] == self._videos

    @torch.no_grad()
    def append(self, keys: Tensor, videos: Tensor | None = None) -> None:
        """Replace the oldest rows by the keys of all processes, in the order of the ranks.

        Args:
            keys: float (B, dim), this process's, L2-normalised; of more than `size` keys the last ones stay.
            videos: int64 (B,), the catalog's row of each key's video; None leaves them unknown.
        """
        if videos is None:
            videos = torch.full((len(keys),), UNKNOWN_VIDEO, device=keys.device)
        newest, newest_videos = _gather_together(keys.float(), videos)
        size = len(self._rows)
        self.num_written += len(newest)
        newest, newest_videos = newest[-size:], newest_videos[-size:]
        self._rows, self._videos = self._rows.to(newest.device), self._videos.to(newest.device)
        places = torch.arange(self.num_written - len(newest), self.num_written, device=newest.device) % size
        self._rows[places], self._videos[places] = newest, newest_videos


def _gather_together(keys: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
    """Gather keys, float32 (B, dim), and videos, int64 (B,), by one collective: as the same bits, two columns more."""
    as_columns = videos.contiguous().view(torch.float32).view(-1, 2)
    together = gather(torch.cat((keys, as_columns), dim=1))
    return together[:, :-2], together[:, -2:].contiguous().view(torch.int64).flatten()


def _write_state(queue: KeyQueue, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any]) -> None:
    state_dict[f"{prefix}rows"] = queue._rows
    state_dict[f"{prefix}videos"] = queue._videos
    state_dict[f"{prefix}num_written"] = torch.tensor(queue.num_written)


def _read_state(
    queue: KeyQueue,
    state_dict: dict[str, Any],
    prefix: str,
    local_metadata: dict[str, Any],
    strict: bool,
    missing_keys: list[str],
    unexpected_keys: list[str],
    error_msgs: list[str],
) -> None:
    # taken out of the dict, where the module looks for parameters and buffers alone
    rows, num_written = (state_dict.pop(f"{prefix}{name}", None) for name in ("rows", "num_written"))
    videos = state_dict.pop(f"{prefix}videos", None)
    if rows is None or num_written is None:
        missing_keys.extend(f"{prefix}{name}" for name in ("rows", "num_written"))
    elif rows.shape != queue._rows.shape:
        error_msgs.append(f"{prefix}rows is {tuple(rows.shape)} in the file, not {tuple(queue._rows.shape)}.")
    else:
        queue._rows = rows.detach().to(queue._rows, copy=True)
        known = torch.full_like(queue._videos, UNKNOWN_VIDEO) if videos is None else videos
        queue._videos = known.to(queue._videos, copy=True)
        queue.num_written = int(num_written)
