"""What a video file says of motion, before it is regularised: which packets are read, their vectors, their spans."""
