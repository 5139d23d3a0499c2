"""Data sets of files that nobody looks into, read by name."""

from vidssl.catalogs.listing import LISTINGS


def read(kind, **options):
    return LISTINGS.get(kind)(**options)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not looked at")
    return root


def counts(listing):
    listed = [*listing.videos, *listing.missing]
    return {name: sum(name in video.splits for video in listed) for name in listing.split_names}
