"""Long work over many videos, in processes that may die: shares of it, its files, its progress."""
