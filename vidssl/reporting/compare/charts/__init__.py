"""What the page of a comparison draws: learning curves, what networks know about time, and what they look at."""
