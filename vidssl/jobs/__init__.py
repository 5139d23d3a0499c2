"""Long work on many videos, in processes that may die: shares of the work, files, progress."""
