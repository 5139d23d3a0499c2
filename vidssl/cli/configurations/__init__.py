"""Configuration files as written: which ones a command line names, and which values come from the environment."""
