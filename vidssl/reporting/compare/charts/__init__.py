"""What the page of a comparison draws: learning curves, what networks know of time, what they look at."""
