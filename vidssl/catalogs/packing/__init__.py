"""Videos packed once, encoded for fast reading or as they are, into tar shards or a folder, with a catalog of them."""
