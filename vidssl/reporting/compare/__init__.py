"""``vidssl compare``: methods side by side, from the folders of their runs."""
