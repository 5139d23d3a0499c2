"""The command line: one verb, one file. Nothing below this package knows it."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
