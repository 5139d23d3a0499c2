"""Parts that several objectives share: heads, momentum encoder, queue of keys, rows of all processes."""
