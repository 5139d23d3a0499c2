"""The signals that end a process in good order, and the exit codes that say so."""

import signal
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)
SHELL_CODE = 128
"""What shells add to the number of the signal that ended a process."""
INTERRUPTED = SHELL_CODE + signal.SIGINT
"""Exit code after Ctrl-C, as shells have it."""
READER_LEFT = SHELL_CODE + signal.SIGPIPE
"""Exit code where whoever reads the output has closed it, as ``head`` does."""


def start_without_interrupts(process: BaseProcess) -> None:
    """Start a spawned process that no Ctrl-C reaches, not even while it imports: the one that starts it decides.

    A terminal sends SIGINT to the whole group. The new process inherits that it is blocked; here it is only delayed.
    """
    resource_tracker.ensure_running()  # started by `start`, it would unblock the signal for the process too
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
