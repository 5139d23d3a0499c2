"""Parts that several objectives share: heads and the distributed gather."""
