"""Several processes for many files; none where the files are few.

A worker is started from nothing, so that it shares no connection and no thread with a live
run, and is told everything through its standard input: no number stands in a command line. A
file that makes it crash is a gap, and not the end of the run.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast

WORKERS: Final = min(8, os.cpu_count() or 1)
_WORTH_BYTES: Final = 64 << 20
"""What must be read before a process that takes half a second to start is worth it."""
_PARENT_DEATH: Final = 1
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Job(Generic[T, R]):
    """What is done with each item: `work(shared, item)`, a function of a module."""

    work: Callable[[Any, T], R]
    shared: Any


def carried_out(
    job: Job[T, R], items: Sequence[T], size_bytes: int, crashed: Callable[[T], R]
) -> Iterator[R]:
    """Yield what came of each item, in any order; `crashed` says what of one that ended a worker.

    Args:
        job: What is done; it and its results are sent from process to process.
        items: With what, the largest first.
        size_bytes: How much there is to be read in all.
        crashed: Returns the result for an item that could not be finished.
    """
    workers = min(WORKERS, len(items), 1 + size_bytes // _WORTH_BYTES)
    if workers <= 1:
        yield from (job.work(job.shared, item) for item in items)
        return
    with _crew(job, workers) as crew:
        yield from _handed_out(crew, list(reversed(items)), crashed)


def _handed_out(crew: list[Connection], items: list[T], crashed: Callable[[T], R]) -> Iterator[R]:
    busy: dict[Connection, T] = {}
    for worker in crew:
        busy[worker] = items.pop()
        _send(worker, busy[worker])
    while busy:
        for ready in wait(list(busy)):
            worker = cast("Connection", ready)
            item = busy.pop(worker)
            try:
                result = worker.recv()
            except (EOFError, OSError):  # one that had not read all yet resets the connection
                yield crashed(item)
                continue
            yield result
            if items:
                busy[worker] = items.pop()
                _send(worker, busy[worker])
    yield from map(crashed, items)


def _send(worker: Connection, what: object) -> None:
    """Send something; that a worker has ended is seen when its answer is read."""
    with suppress(OSError):
        worker.send(what)


@contextmanager
def _crew(job: Job[T, R], workers: int) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        crew = [stack.enter_context(_worker()) for _ in range(workers)]
        for one in crew:
            _send(one, job)
        yield crew


@contextmanager
def _worker() -> Iterator[Connection]:
    ours, theirs = _pair()
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(  # this very interpreter
        [sys.executable, "-c", "from harness.surfaces.crew import serve; serve()"],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        # What Python prints of an error may quote what was read.
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    )
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.kill()
        process.wait()


def _pair() -> tuple[Connection, Connection]:
    from multiprocessing import Pipe  # noqa: PLC0415

    return Pipe()


def serve() -> None:
    """Work through what comes in, until nobody is there any more."""
    # A key pressed at the terminal is the parent's business, which ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
    with suppress(EOFError, BrokenPipeError), Connection(os.dup(0)) as parent:
        job = parent.recv()
        while True:
            parent.send(job.work(job.shared, parent.recv()))
