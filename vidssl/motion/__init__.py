"""Motion of videos: optical flow by several estimators, and the compact motion maps that training uses."""
