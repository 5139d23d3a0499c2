"""From listed videos to a catalog: probes each video, keeps those that decode, and reports the others with a reason."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from vidssl.catalogs.catalog import Catalog, VideoRow, write_catalog
from vidssl.catalogs.journal import Journal, Key
from vidssl.catalogs.listing import ListedVideo, Listing
from vidssl.catalogs.probing import Probe, Probed, ProbeOptions, probe_videos
from vidssl.errors import VidsslError
from vidssl.storage.container import write_atomically
from vidssl.video import decoding
from vidssl.video.places import size_and_time
from vidssl.video.remote import UrlFolder

MISSING = "listed but not there"
"""The reason of a listed video that no file was found for."""

Watch = Callable[[int, int], None]
"""Called with the number of videos probed so far, and the number of bad ones among them."""


def journal_path(output: Path) -> Path:
    """Return where the answers are kept until the catalog `output` is complete."""
    return output.with_name(f"{output.name}.partial.jsonl")


def bad_path(output: Path) -> Path:
    """Return where the bad videos of the catalog `output` are listed for people."""
    return output.with_name(f"{output.name}.bad.csv")


def prepare(
    listing: Listing,
    output: Path,
    options: ProbeOptions | None = None,
    *,
    watch: Watch = lambda done, bad: None,
    probe: Probe | None = None,
) -> Catalog:
    """Probe every listed video and write the catalog, in the order of the listing.

    Interrupted or killed, it goes on where it stopped when it is called again: no video is probed twice
    unless it changed on disk. Bad videos are listed separately in the catalog, and in ``<output>.bad.csv``.

    Args:
        listing: the videos.
        output: the catalog file; replaced if it is there.
        options: decoder, processes, timeout; None takes the defaults.
        watch: called before the first video and after every one.
        probe: takes the place of `vidssl.video.decoding.probe`.

    Returns:
        The catalog, opened.

    Raises:
        VidsslError: no video can be read, or the output cannot be written.
    """
    options = options or ProbeOptions()
    # frame counts hold for the decoder that counted them
    decoder = decoding.AUTO if options.decoder == "auto" else options.decoder
    probe = probe or partial(decoding.probe, decoder=decoder)
    with Journal(journal_path(output)) as journal:
        answers = _probe_all(listing, journal, decoder, partial(probe_videos, probe=probe, options=options), watch)
        good, bad = _good_and_bad(listing, answers)
        _write_bad(bad_path(output), bad)
        if not good:
            journal.delete()  # the next attempt should not believe these answers
            raise VidsslError(
                f"None of the {len(listing.videos):,} videos in {listing.root.absolute()} can be read; the first is "
                f"{bad[0][0]}: {bad[0][1]}. They are all in {bad_path(output)}."
            )
        _write(listing, output, good, bad, decoder)
        journal.delete()
    return Catalog.open(output)


def _probe_all(
    listing: Listing,
    journal: Journal,
    decoder: str,
    probe_all: Callable[[Iterable[str]], Iterator[tuple[str, Probed | str]]],
    watch: Watch,
) -> dict[str, Probed | str]:
    keys = {video.place(listing.root): _key(listing.root, video, decoder) for video in listing.videos}
    known = {key[0]: journal.get(key) for key in keys.values()}
    answers = {path: answer for path, answer in known.items() if answer is not None}
    pending = [path for path, key in keys.items() if key[0] not in answers]
    done = len(keys) - len(pending)
    bad = sum(isinstance(answer, str) for answer in answers.values())
    watch(done, bad)
    for path, answer in probe_all(pending):
        journal.add(keys[path], answer)
        answers[keys[path][0]] = answer
        done, bad = done + 1, bad + isinstance(answer, str)
        watch(done, bad)
    return answers


def _good_and_bad(
    listing: Listing, answers: Mapping[str, Probed | str]
) -> tuple[list[tuple[ListedVideo, Probed]], list[tuple[str, str]]]:
    good: list[tuple[ListedVideo, Probed]] = []
    bad: list[tuple[str, str]] = []
    for video in listing.videos:
        answer = answers[video.path]
        if isinstance(answer, str):
            bad.append((video.path, answer))
        else:
            good.append((video, answer))
    return good, [*bad, *listing.bad, *((video.path, MISSING) for video in listing.missing)]


def _key(root: Path | UrlFolder, video: ListedVideo, decoder: str) -> Key:
    try:
        num_bytes, changed_ns = size_and_time(video.place(root))
    except OSError:  # a broken link, for one; the probe will find the words for it
        return video.path, -1, -1, decoder
    return video.path, num_bytes, changed_ns, decoder


def _write(
    listing: Listing,
    output: Path,
    good: list[tuple[ListedVideo, Probed]],
    bad: list[tuple[str, str]],
    decoder: str,
) -> None:
    group_names = listing.group_names
    label_of = {name: number for number, name in enumerate(listing.classes)}
    group_of = {name: number for number, name in enumerate(group_names)}
    rows = [
        VideoRow(
            path=video.path,
            label=-1 if video.label is None else label_of[video.label],
            group=-1 if video.group is None else group_of[video.group],
            **asdict(probed.info),
            **asdict(probed.file),
            shard=video.shard,
            offset=video.offset,
        )
        for video, probed in good
    ]
    splits: dict[str, list[int]] = {name: [] for name in listing.split_names}
    for number, (video, _) in enumerate(good):
        for name in video.splits:
            splits[name].append(number)
    write_catalog(
        output,
        rows,
        classes=listing.classes,
        group_names=group_names,
        splits=splits,
        root=_recorded_root(listing.root, output),
        source=_source(listing, decoder),
        bad=bad,
    )


def _recorded_root(root: Path | UrlFolder, output: Path) -> str:
    # whoever names the folder from where they stand expects catalog and videos to move together
    if isinstance(root, UrlFolder) or root.is_absolute():
        return str(root)
    return os.path.relpath(root.resolve(), output.parent.resolve())


def _source(listing: Listing, decoder: str) -> dict[str, object]:
    listed = [*listing.videos, *listing.missing]
    return {
        "kind": listing.kind,
        "listed": listing.num_listed,
        "found": len(listing.videos),
        "listed_per_split": {name: sum(name in video.splits for video in listed) for name in listing.split_names},
        "lists_digest": listing.lists_digest,
        "decoder": decoder,
    }


def _write_bad(path: Path, bad: list[tuple[str, str]]) -> None:
    if not bad:
        with suppress(FileNotFoundError):
            path.unlink()
        return
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([("path", "reason"), *bad])
    write_atomically(path, table.getvalue().encode("utf-8", "surrogateescape"))
