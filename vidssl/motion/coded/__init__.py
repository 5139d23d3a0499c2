"""Motion as a video file stores it: which packets are read, their vectors, and the frames that these span."""
