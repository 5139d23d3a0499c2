"""From a file on disk to a batch: catalog, sampling, decoding, augmentation, data set, data module."""
