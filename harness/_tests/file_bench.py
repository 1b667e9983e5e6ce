"""What a search and a scrub of files cost, beside zgrep and ripgrep on the same files.

`tox -e bench` ends with it; `python -m harness._tests.file_bench --megabytes 256` runs it alone.
Half of the logs, unpacked, are in gzip files. The page cache is warm, and of three runs the
quickest counts. Ours looks for the whole closure of a subject with an alias, in every form; the
others look for one spelling of one number.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.population.estate import gzipped
from harness.population.log_lines import Log, blocks
from harness.population.mentions import mentions

from . import file_work
from .bench import MIB, _seconds, show
from .file_work import NUMBER

HEAD: Final = ("piece", "time", "peak RSS", "against", "time", "ratio", "aim")
_TIMES: Final = 3
_FILE_BYTES: Final = 20 * MIB
"""A Webapp rotates its logs at this size."""
_ENGINE_BYTES: Final = 128 * MIB
"""A container engine does not, unless it is told to."""
_AIMS: Final = {"zgrep -c": "at most 0.33", "rg -z -c": "at most 1"}
_POLL_S: Final = 0.02
_QUICK: Final = {**os.environ, "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Own:
    """A piece of ours in a process of its own: the work alone, and with interpreter and imports."""

    work_s: float
    whole_s: float
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line of the table: what was measured, against what, and what was aimed at."""

    piece: str
    own_s: float
    rss_bytes: int
    yardstick: str
    other_s: float
    aim: str

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells as text."""
        return (
            self.piece,
            _seconds(self.own_s),
            f"{self.rss_bytes / MIB:.0f} MiB",
            self.yardstick,
            _seconds(self.other_s),
            f"{self.own_s / self.other_s:.2f}",
            self.aim,
        )


# --- the files ------------------------------------------------------------------------------


def fill(folder: Path, size_bytes: int) -> None:
    """Make logs, one half packed and one half plain, each naming the subject in a few lines."""
    packed, plain = folder / "log" / "archive", folder / "log"
    packed.mkdir(parents=True)
    rotated = (Log.WEB, Log.CORE, Log.ACCESS)
    for serial, log, part_bytes in _turns(rotated, size_bytes // 2, _FILE_BYTES):
        name = f"{log.name.lower()}.log.{serial}.gz"
        gzipped(packed / name, _lines(log, serial, part_bytes))
    for log in rotated:
        _write(plain / f"{log.name.lower()}.log", _lines(log, 999, _FILE_BYTES // 2))
    left_bytes = size_bytes // 2 - len(rotated) * _FILE_BYTES // 2
    for serial, log, part_bytes in _turns((Log.CONTAINER,), left_bytes, _ENGINE_BYTES):
        _write(plain / f"{serial}-json.log", _lines(log, serial, part_bytes))


def _turns(logs: Sequence[Log], size_bytes: int, each_bytes: int) -> Iterator[tuple[int, Log, int]]:
    """Yield as many logs, one kind after the other, as make the size; and how large each is."""
    for serial, start in enumerate(range(0, size_bytes, each_bytes)):
        yield serial, logs[serial % len(logs)], min(each_bytes, size_bytes - start)


def _lines(log: Log, seed: int, size_bytes: int) -> Iterator[bytes]:
    few = [one.line for one in mentions(log, NUMBER, seed)[:2]]
    return blocks(log, seed, size_bytes, few)


def _write(path: Path, parts: Iterator[bytes]) -> None:
    with path.open("wb") as stream:
        stream.writelines(parts)


# --- ours -----------------------------------------------------------------------------------


def _own(piece: str, folder: Path) -> Own:
    """Run a piece in a new process and wait for it."""
    started_s = time.perf_counter()
    done = subprocess.run(_command(piece, folder), stdout=subprocess.PIPE, check=True)
    whole_s = time.perf_counter() - started_s
    said = json.loads(done.stdout)
    return Own(said["work_s"], whole_s, said)


def _command(piece: str, folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", file_work.__name__, piece, str(folder))


def _peak_bytes(piece: str, folder: Path) -> int:
    """Run a piece once more, and return the most that it and its children held at one time.

    Pages that they share are counted for each of them.
    """
    peak = 0
    with subprocess.Popen(_command(piece, folder), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_resident_bytes, _family(process.pid))))
            time.sleep(_POLL_S)
    return peak


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return
    for child in " ".join(tasks).split():
        yield from _family(int(child))


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- the yardsticks -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """A yardstick's time over all files, and how many lines it counted."""

    whole_s: float
    lines: int


def _counted(command: Sequence[str], files: Sequence[Path]) -> Counted:
    started_s = time.perf_counter()
    done = subprocess.run(
        [*command, NUMBER, *map(str, files)], capture_output=True, check=False, env=_QUICK
    )
    whole_s = time.perf_counter() - started_s
    if done.returncode:
        sys.exit(f"{command[0]} failed: {done.stderr.decode(errors='replace')}")
    counts = (line.rpartition(b":")[2] for line in done.stdout.splitlines())
    return Counted(whole_s, sum(map(int, counts)))


class FileBench:
    """The comparisons, on one folder of files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs = folder / "log"
        self._archive = self._logs / "archive"
        self._files = sorted(path for path in self._logs.rglob("*") if path.is_file())

    def lines(self) -> Iterator[FileLine]:
        """Yield the table, line by line, as it is measured."""
        for path in self._files:
            path.read_bytes()
        yield from self._swept()
        yield self._scrubbed()

    def _swept(self) -> Iterator[FileLine]:
        own_runs: list[Own] = []
        others: dict[str, list[Counted]] = {name: [] for name in _AIMS if _is_here(name)}
        # In turns, so that what else the machine does disturbs all of them alike.
        for _ in range(_TIMES):
            own_runs.append(_own("sweep", self._logs))
            for name, runs in others.items():
                runs.append(_counted(name.split(), self._files))
        own = _told(own_runs)
        rss_bytes = _peak_bytes("sweep", self._logs)
        speed = f"{own.said['content_bytes'] / own.work_s / 1e6:.0f} MB/s unpacked"
        for name, runs in others.items():
            best = min(runs, key=lambda run: run.whole_s)
            sys.stderr.write(f"{name}: {best.lines} lines\n")
            rest = (rss_bytes, name, best.whole_s, _AIMS[name])
            yield FileLine(f"sweep, {speed}", own.work_s, *rest)
            yield FileLine("sweep, whole process", own.whole_s, *rest)

    def _scrubbed(self) -> FileLine:
        swept_runs: list[Own] = []
        scrubbed_runs: list[Own] = []
        for _ in range(_TIMES):
            swept_runs.append(_own("sweep", self._archive))
            with self._copy() as copy:
                scrubbed_runs.append(_own("scrub", copy))
        swept, scrubbed = _told(swept_runs), _told(scrubbed_runs)
        with self._copy() as copy:
            rss_bytes = _peak_bytes("scrub", copy)
        name = "sweep of the same archives"
        piece = f"scrub of {scrubbed.said['rewritten']} archives"
        return FileLine(piece, scrubbed.work_s, rss_bytes, name, swept.work_s, "at most 3")

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._folder) as place:
            yield shutil.copytree(self._archive, Path(place) / "archive")


def _told(runs: list[Own]) -> Own:
    """Return the quickest of the runs, and tell what it saw."""
    best = min(runs, key=lambda own: own.work_s)
    sys.stderr.write(f"ours: {best.said}\n")
    return best


def _is_here(name: str) -> bool:
    program = name.split(maxsplit=1)[0]
    if shutil.which(program):
        return True
    sys.stderr.write(f"no comparison with {program}, which is not installed\n")
    return False


def main() -> None:
    """Make the files, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place), arguments.megabytes * MIB)
        show(HEAD)
        show(["---"] * len(HEAD))
        for line in FileBench(Path(place)).lines():
            show(line.cells())


if __name__ == "__main__":
    main()
