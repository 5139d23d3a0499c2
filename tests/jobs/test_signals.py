import multiprocessing
import os
import signal

from vidssl.jobs.signals import start_without_interrupts


def answer(connection):
    connection.send("there")


def test_a_process_that_is_interrupted_while_it_starts_answers(capfd):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=answer, args=(theirs,), daemon=True)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    start_without_interrupts(process)
    os.kill(process.pid, signal.SIGINT)  # before it has imported anything
    theirs.close()
    assert ours.recv() == "there"
    process.join()
    assert process.exitcode == 0
    assert capfd.readouterr().err == ""
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
