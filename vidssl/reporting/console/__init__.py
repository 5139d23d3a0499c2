"""What `vidssl fit` prints: a header, the progress, a summary."""
