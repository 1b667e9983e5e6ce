"""Scrubs that are killed at any moment: every file is whole, no line is lost, and a second run completes.

What stands after a kill is compared byte by byte with what stood before, and with what an
undisturbed scrub leaves; both are unpacked by the system's own tools once.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import shutil
import signal
import stat
import tarfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import pytest

from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.population.people import person
from harness.surfaces import (
    FileSearch,
    FileSet,
    exchange,
    leftovers,
    masks_fit,
    scrub_files,
    sweep_files,
)
from harness.surfaces.exchange import LEFTOVER, NOTE, letters

from . import grep_proof
from .file_makers import log

NUMBER = person(7).number
CLOSURE = Closure(WaId(NUMBER))
SEEING = FileSearch(CLOSURE, masks=None)
PAGE_BYTES: Final = 4096
EACH: Final = 12
FORK: Final = get_context("fork")
CALLS: Final = ("pwrite", "write", "fsync", "rename", "unlink", "open", "fchmod", "utime", "close")
BY_CLOCK: Final = 15
BY_CALL: Final = 10
IN_COPIES: Final = 15
IN_NOTES: Final = 10
COPYING: Final = ("rename", "fchmod", "renameat2", "unlink")
STEPS: Final = {
    "": "between files, or within a page",
    "new": "a copy is made",
    "copy": "a copy is written or compared",
    "old": "exchanged, the old one is there",
    "note": "noted, in the middle of a mask",
}


def crossing(serial: int) -> bytes:
    """Return a log in which the number lies across each of six pages' ends."""
    content = bytearray(log(seed=serial, size_bytes=8 * PAGE_BYTES))
    for page in range(1, 7):
        start = page * PAGE_BYTES - 1 - (serial + page) % (len(NUMBER) - 1)
        content[start - 9 : start + len(NUMBER) + 3] = f"\ncontact={NUMBER};-\n".encode()
    return bytes(content)


def fill(folder: Path) -> None:
    """Write sixty files: plain ones, gzip, zip and tar.gz; every sixth names nobody."""
    folder.mkdir()
    for serial in range(EACH):
        who = "" if serial % 6 == 5 else NUMBER
        text = log(who, size_bytes=20_000, seed=serial)
        (folder / f"web-{serial}.log").write_bytes(crossing(serial) if who else text)
        (folder / f"core-{serial}.log").write_bytes(text)
        (folder / f"web-{serial}.log.gz").write_bytes(gzip.compress(text, mtime=0))
        (folder / f"bundle-{serial}.zip").write_bytes(_zip({"a.log": text, "b.log": log()}))
        (folder / f"bundle-{serial}.tar.gz").write_bytes(gzip.compress(_tar("a.log", text)))


def _zip(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return stream.getvalue()


def _tar(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        made.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes, those of what a kill left too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@dataclass
class Estate:
    """A folder that each trial finds as it was at first, and what a scrub makes of it."""

    folder: Path
    template: Path
    search: FileSearch
    before: dict[str, bytes]
    after: dict[str, bytes]
    calls: int
    took_s: float

    def restore(self) -> None:
        """Have everything as it was at first."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)

    def scrub(self) -> None:
        """Sweep and scrub, as a resumed run does."""
        files = FileSet.of([self.folder], [])
        scrub_files(files, self.search, sweep_files(files, self.search))

    def faults(self) -> list[str]:
        """Return what a kill has done to any file: lost, cut off, or a line that is neither."""
        now = contents(self.folder)
        found = [f"{name} is gone" for name in self.before.keys() - now.keys()]
        for name, old in self.before.items():
            new, kept = self.after[name], now.get(name, old)
            if kept in (old, new):
                continue
            if not name.endswith(".log"):
                found.append(f"{name} is neither as it was nor as it will be")
            elif len(kept) != len(old):
                found.append(f"{name} has another length")
            else:
                found += _half_way(name, old, new, kept)
        return found

    def step(self) -> str:
        """Return what a kill fell into, by what it left."""
        for path in self.folder.iterdir():
            if match := LEFTOVER.fullmatch(path.name):
                if match["what"] == NOTE:
                    return STEPS["note"]
                if not match["old"]:
                    return STEPS["new"]
                return STEPS["old" if letters(path.stat().st_ino) == match["old"] else "copy"]
        return STEPS[""]


def _half_way(name: str, old: bytes, new: bytes, kept: bytes) -> Iterator[str]:
    """Yield each byte of a plain log that was neither there before nor will be."""
    for at, (was, will, now) in enumerate(zip(old, new, kept, strict=True)):
        if now not in (was, will):
            yield f"{name} has another byte at {at}"


def torn(estate: Estate) -> int:
    """Return how many masks stand half, in lines that are neither as before nor as after."""
    now, count = contents(estate.folder), 0
    for name, old in estate.before.items():
        if name.endswith(".log"):
            rows = (text.split(b"\n") for text in (old, estate.after[name], now[name]))
            count += sum(line not in (was, will) for was, will, line in zip(*rows, strict=True))
    return count


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """The estate, which was scrubbed once without a disturbance."""
    root = tmp_path_factory.mktemp("killed")
    template, folder = root / "template", root / "logs"
    fill(template)
    files = FileSet.of([template], [])
    while True:
        search = FileSearch(CLOSURE, masks=Masks(CLOSURE))
        if masks_fit(files, search, sweep_files(files, SEEING)):
            break
    estate = Estate(folder, template, search, contents(template), {}, 0, 0.0)
    estate.restore()
    lines = grep_proof.lines_of(folder)
    counted = FORK.Value("i", 0)
    began_s = time.monotonic()
    killed(estate, lambda: on_call(lambda _: _count(counted)))
    estate.took_s = time.monotonic() - began_s
    estate.calls, estate.after = counted.value, contents(folder)
    assert grep_proof.found(folder, NUMBER) == []
    seen = sweep_files(FileSet.of([folder], []), SEEING)
    assert (seen.traces, seen.gaps) == ([], [])
    masked = grep_proof.lines_of(folder)
    assert {name: list(map(len, one)) for name, one in masked.items()} == {
        name: list(map(len, one)) for name, one in lines.items()
    }
    differing = sum(
        was != now for name in lines for was, now in zip(lines[name], masked[name], strict=True)
    )
    assert differing == sum(grep_proof.count_lines(template, NUMBER).values())
    return estate


@pytest.fixture
def estate(made: Estate) -> Estate:
    """The same, as it was at first."""
    made.restore()
    return made


def _count(counted: Any) -> None:
    counted.value += 1


def on_call(act: Callable[[str], object]) -> None:
    """Have something happen before each call by which this process changes a file."""
    for name in CALLS:
        setattr(os, name, _watched(name, getattr(os, name), act))
    renamed = _watched("renameat2", exchange.renamed, act)
    exchange.renamed = leftovers.renamed = renamed  # type: ignore[attr-defined]


def _watched(name: str, real: Any, act: Callable[[str], object]) -> Any:
    def call(*given: Any, **how: Any) -> Any:
        act(name)
        return real(*given, **how)

    return call


def killed(estate: Estate, prepare: Callable[[], object], after_s: float | None = None) -> int:
    """Scrub in a process of its own, which may be killed; return how it ended."""

    def work() -> None:
        prepare()
        estate.scrub()
        os._exit(0)

    child = FORK.Process(target=work)
    child.start()
    if after_s is not None:
        time.sleep(after_s)
        child.kill()
    child.join()
    return child.exitcode or 0


def at_call(number: int, name: str = "") -> Callable[[], None]:
    """Return what has a process kill itself at its n-th call, or the n-th of a name."""
    left = number

    def act(called: str) -> None:
        nonlocal left
        left -= not name or called == name
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: on_call(act)


def in_half_a_mask(number: int) -> Callable[[], None]:
    """Return what has a process killed when the n-th mask across two pages is written by half."""
    left, real = number, os.pwrite

    def pwrite(file: int, data: bytes, at: int) -> int:
        nonlocal left
        whole_bytes = PAGE_BYTES - at % PAGE_BYTES
        left -= whole_bytes < len(data)
        if left < 0 and whole_bytes < len(data):
            real(file, data[:whole_bytes], at)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(file, data, at)

    return lambda: setattr(os, "pwrite", pwrite)


def completed(estate: Estate) -> None:
    """See that another run completes, leaves nothing of ours, and all lines as they are to be."""
    estate.scrub()
    assert contents(estate.folder) == estate.after


# --- the yardsticks -------------------------------------------------------------------------


def test_harm_would_be_seen(estate: Estate) -> None:
    """A file that is gone, cut off, or has a byte that is neither is a fault; one that is masked is none."""
    assert estate.faults() == []
    name = next(one for one, old in estate.before.items() if estate.after[one] != old)
    (estate.folder / name).write_bytes(estate.after[name])
    assert estate.faults() == []
    for packed in ("web-0.log", "web-0.log.gz"):
        old = estate.before[packed]
        for spoilt in (old[:-1], old[:-1] + bytes([old[-1] ^ 1]), b""):
            (estate.folder / packed).write_bytes(spoilt)
            assert len(estate.faults()) == 1
        (estate.folder / packed).unlink()
        assert estate.faults() == [f"{packed} is gone"]
        (estate.folder / packed).write_bytes(old)


def test_a_note_is_needed(estate: Estate) -> None:
    """Without the note a mask that was cut in half would stay so: the next run does not know it."""
    assert killed(estate, in_half_a_mask(0)) == -signal.SIGKILL
    assert (estate.step(), torn(estate)) == (STEPS["note"], 1)
    for path in estate.folder.glob(".scrubbing-*"):
        path.unlink()
    estate.scrub()
    assert torn(estate) == 1


# --- kill -9 --------------------------------------------------------------------------------


def test_a_kill_at_any_moment_loses_nothing(estate: Estate) -> None:
    """Killed fifty times, at any moment and any call, a scrub leaves files whole, and the next one completes."""
    draw = random.Random()
    steps: Counter[str] = Counter()
    trials: list[tuple[Callable[[], object], float | None]] = []
    trials += [(bool, draw.uniform(0, estate.took_s)) for _ in range(BY_CLOCK)]
    trials += [(at_call(draw.randrange(estate.calls)), None) for _ in range(BY_CALL)]
    trials += [
        (at_call(draw.randrange(20), COPYING[n % len(COPYING)]), None) for n in range(IN_COPIES)
    ]
    trials += [(in_half_a_mask(draw.randrange(60)), None) for _ in range(IN_NOTES)]
    for prepare, after_s in trials:
        estate.restore()
        killed(estate, prepare, after_s)
        steps[estate.step()] += 1
        assert estate.faults() == []
        assert not torn(estate) or estate.step() == STEPS["note"]
        completed(estate)
    assert steps[STEPS["note"]] >= IN_NOTES
    print(f"\n{sum(steps.values())} kills: {dict(steps)}")  # noqa: T201  # with -s, for a count


@pytest.mark.parametrize(
    ("name", "step"),
    [("renameat2", "copy"), ("unlink", "old"), ("rename", "new"), ("fchmod", "copy")],
)
def test_a_kill_in_each_step_of_a_rewrite_is_finished(estate: Estate, name: str, step: str) -> None:
    """Killed when a copy is made, written, or has just taken its place, a scrub is finished by the next."""
    for number in range(2):
        estate.restore()
        assert killed(estate, at_call(number, name)) == -signal.SIGKILL
        assert estate.step() in {STEPS[step], STEPS["note"]}
        assert estate.faults() == []
        completed(estate)


def test_a_second_run_that_is_killed_is_finished_by_a_third(estate: Estate) -> None:
    """Killed in the middle of cleaning up what a kill had left, a scrub is finished by the one after."""
    for first in (at_call(1, "unlink"), in_half_a_mask(3), at_call(1, "renameat2")):
        for call in range(3):
            estate.restore()
            assert killed(estate, first) == -signal.SIGKILL
            assert killed(estate, at_call(call, "" if call % 2 else "unlink")) == -signal.SIGKILL
            assert estate.faults() == []
            completed(estate)


def test_a_file_that_is_no_leftover_is_left_alone(estate: Estate) -> None:
    """A hidden file of somebody else's whose name begins alike is neither removed nor taken for ours."""
    path = estate.folder / ".scrub-me-later"
    path.write_bytes(b"mine\n")
    estate.scrub()
    assert stat.S_ISREG(path.stat().st_mode)
    path.unlink()
    assert contents(estate.folder) == estate.after
