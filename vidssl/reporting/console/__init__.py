"""What `vidssl fit` prints: a header, how far it has got, a summary."""
