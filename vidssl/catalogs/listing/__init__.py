"""Readers of data sets: which videos are listed and which of them exist. There is one reader per layout, by name.

A reader looks at lists and file names only; no video is opened.
"""

from vidssl.catalogs.listing.listed import ListedVideo, Listing
from vidssl.registry import Registry

LISTINGS = Registry("listing")
LISTINGS.register("ucf101", "vidssl.catalogs.listing.official:ucf101", summary="UCF101 with its official lists")
LISTINGS.register("hmdb51", "vidssl.catalogs.listing.official:hmdb51", summary="HMDB51 with its official lists")
LISTINGS.register(
    "kinetics", "vidssl.catalogs.listing.kinetics:kinetics", summary="Kinetics-400/600/700 with its CSV files"
)
LISTINGS.register("ssv2", "vidssl.catalogs.listing.ssv2:ssv2", summary="Something-Something v2 with its JSON files")
LISTINGS.register("class_folders", "vidssl.catalogs.listing.folders:class_folders", summary="a folder for each class")
LISTINGS.register("flat", "vidssl.catalogs.listing.folders:flat", summary="a folder of videos; labels in file names")
LISTINGS.register("csv", "vidssl.catalogs.listing.table:csv_table", summary="a table: path, label, group, split")
LISTINGS.register(
    "shards", "vidssl.catalogs.listing.tar_shards:tar_shards", summary="tar shards, as WebDataset writes them"
)

__all__ = ["LISTINGS", "ListedVideo", "Listing"]
