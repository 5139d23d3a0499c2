"""Self-supervised learning from unlabelled video."""

from vidssl import old_names

__version__ = "0.2.0"

old_names.install()
