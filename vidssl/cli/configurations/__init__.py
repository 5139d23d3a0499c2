"""Configuration files as they are written: which ones a command line names, what in them comes from the environment."""
