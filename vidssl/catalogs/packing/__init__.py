"""Packing: videos are encoded for fast reading or copied, into tar shards or a folder, with a catalog of them."""
