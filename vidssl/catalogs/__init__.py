"""Catalogs of data sets: videos are listed, probed once, and kept in one memory-mapped file."""

from typing import TYPE_CHECKING

from vidssl.lazy_names import offer

if TYPE_CHECKING:
    from vidssl.catalogs.catalog import Catalog as Catalog
    from vidssl.catalogs.catalog import VideoRow as VideoRow
    from vidssl.catalogs.catalog import write_catalog as write_catalog

offer(
    __name__,
    catalog=["Catalog", "VideoRow", "write_catalog"],
)
