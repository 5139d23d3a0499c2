"""The signals that end a process in good order, and the exit codes that say so."""

import signal

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SHELL_CODE = 128
"""What shells add to the number of the signal that ended a process."""
INTERRUPTED = SHELL_CODE + signal.SIGINT
"""Exit code after Ctrl-C, as shells have it."""
READER_LEFT = SHELL_CODE + signal.SIGPIPE
"""Exit code where whoever reads the output has closed it, as ``head`` does."""
