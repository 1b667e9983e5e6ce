"""Files of every format, and every fault: found or told, masked, and nothing else changed.

What is unpacked by the system's own tools is compared, line by line, before and after.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.population.people import person
from harness.surfaces import (
    FileSearch,
    FileSet,
    FileSighting,
    masks_fit,
    scrub_files,
    sweep_files,
)
from harness.surfaces.look import is_packed_file

from . import grep_proof
from .file_cases import CASES, FileCase
from .powerless import powerless

NUMBER = person(7).number
CLOSURE = Closure(WaId(NUMBER))
SEEING = FileSearch(CLOSURE, masks=None)
HELD = re.compile(b"|".join(pattern.encode() for pattern in grep_proof.spellings(NUMBER)))
LONG_AGO_NS = 1_700_000_000_123_456_789
SOMEBODY = (4711, 4712)
MODE = 0o640
GROWING, SPARSE, PADDED = "being written", "sparse", "zeros behind"
LIGHT = [case for case in CASES if not case.heavy]
Status = tuple[int, int, int, int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to be filled, with nothing of pytest's in it."""
    made = tmp_path / "logs"
    made.mkdir()
    return made


def files_in(folder: Path) -> FileSet:
    """Return the folder as the only one with logs."""
    return FileSet.of(log_dirs=[folder], media_dirs=[])


def hits(seen: FileSighting) -> int:
    """Return how many identifiers were seen."""
    return sum(trace.hits for trace in seen.traces)


def searching(file_set: FileSet, seen: FileSighting) -> FileSearch:
    """Return a search with masks that fit, as a run draws them."""
    while True:
        search = FileSearch(CLOSURE, masks=Masks(CLOSURE))
        if masks_fit(file_set, search, seen):
            return search


def regular(folder: Path) -> Iterator[Path]:
    """Yield every regular file, as no link leads to it."""
    for base, _, names in os.walk(folder):
        for path in (Path(base, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def aged(folder: Path) -> None:
    """Give every file a mode, a time and, where we may, an owner of its own."""
    for path in regular(folder):
        path.chmod(MODE)
        if os.geteuid() == 0:
            os.chown(path, *SOMEBODY)
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def statuses(folder: Path) -> list[Status]:
    """Return mode, owner and time of every file, whatever it is called."""
    found = [path.stat() for path in regular(folder)]
    return sorted((one.st_mode, one.st_uid, one.st_gid, one.st_mtime_ns) for one in found)


def inodes(folder: Path, *, packed: bool) -> set[int]:
    """Return the inodes of all archives, or of all plain files."""
    file_set = files_in(folder)
    return {
        found.status.st_ino
        for found in file_set.walk()
        if found.status and found.is_file and is_packed_file(file_set, found.place) is packed
    }


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every file with its inode, time of change, and bytes."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in regular(folder)
    }


def lines_of(case: FileCase, folder: Path) -> dict[str, list[bytes]]:
    """Return all lines of all files, unpacked; gzip itself tells nothing of one that is padded."""
    if case.name == PADDED:
        return {
            path.name: gzip.decompress(path.read_bytes()).splitlines(keepends=True)
            for path in regular(folder)
        }
    return grep_proof.lines_of(folder)


def changed(old: bytes, new: bytes) -> tuple[int, int]:
    """Return from where to where two texts of one length differ."""
    assert len(old) == len(new)
    first = _same(old, new)
    return first, max(first, len(old) - _same(old[::-1], new[::-1]))


def _same(old: bytes, new: bytes) -> int:
    for at in range(0, len(old), 1 << 16):
        pair = old[at : at + (1 << 16)], new[at : at + (1 << 16)]
        if pair[0] != pair[1]:
            return at + next(n for n, (a, b) in enumerate(zip(*pair, strict=True)) if a != b)
    return len(old)


def complaints(before: list[list[bytes]], after: list[list[bytes]]) -> list[str]:
    """Return where lines differ that do not hold the number, or more of one than the number."""
    found = []
    for old_lines, new_lines in zip(before, after, strict=True):
        for old, new in zip(old_lines, new_lines, strict=False):
            spans = [one.span() for one in HELD.finditer(old)]
            first, last = changed(old, new)
            if not spans and first != last:
                found.append(f"nobody's line was changed from {first} to {last}")
            elif spans and not spans[0][0] <= first < last <= spans[-1][1]:
                found.append(f"held at {spans}, changed from {first} to {last}")
    return found


# --- the yardsticks -------------------------------------------------------------------------


def test_what_differs_is_seen() -> None:
    """A line of nobody's that is changed, and one byte too many, are complained of; a mask is not."""
    mine, masked = ([f"contact={one};".encode()] for one in (NUMBER, "0" * len(NUMBER)))
    nobodys = [b"contact=nobody"]
    assert not complaints([mine, nobodys], [masked, nobodys])
    assert complaints([mine], [mine])
    assert complaints([nobodys], [[b"contact=nobodx"]])
    assert complaints([mine], [[masked[0].replace(b"=", b":")]])


# --- found, or told -------------------------------------------------------------------------


@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_everything_is_found_or_told(case: FileCase, folder: Path) -> None:
    """In each format the number is found as often as it is there, and each fault is told."""

    def sweep() -> tuple[int, list[str]]:
        seen = sweep_files(files_in(folder), SEEING)
        return hits(seen), [gap.why for gap in seen.gaps]

    with case.planted(folder, NUMBER):
        found, gaps = powerless(sweep) if case.powerless else sweep()
    assert case.complaint(found, len(gaps)) == ""
    assert all(": " in why or "mend" in why for why in gaps)


@pytest.mark.parametrize("case", LIGHT, ids=str)
def test_nobody_else_is_found(case: FileCase, folder: Path) -> None:
    """A search for somebody whose number is not there finds nothing in the same files."""
    stranger = FileSearch(Closure(WaId(person(1234).number)), masks=None)
    with case.planted(folder, NUMBER):
        assert hits(sweep_files(files_in(folder), stranger)) == 0


# --- masked ---------------------------------------------------------------------------------


def scrubbed(case: FileCase, folder: Path) -> None:
    """Scrub a case, and see what became of it."""
    file_set = files_in(folder)
    seen = sweep_files(file_set, SEEING)
    assert case.complaint(hits(seen), len(seen.gaps)) == ""
    whole = not seen.gaps
    readable = whole and case.name != SPARSE
    before = lines_of(case, folder) if readable else {}
    search = searching(file_set, seen)
    done = scrub_files(file_set, search, seen)
    assert not done.moved
    assert [one for one in regular(folder) if one.name.startswith(".scrub")] == []
    again = sweep_files(file_set, search)
    told = tuple(gap.file.partition(" > ")[0] for gap in (*again.gaps, *done.left))
    assert [one.file for one in again.traces if not one.file.startswith(told or ("/",))] == []
    if whole:
        assert (hits(again), again.gaps, done.left) == (0, [], [])
        assert done.identifiers + done.names >= min(case.found, 1)
    if readable:
        assert case.name == PADDED or grep_proof.found(folder, NUMBER) == []
        after = lines_of(case, folder)
        assert len(after) == len(before)
        if case.name != GROWING:
            assert list(map(len, after.values())) == list(map(len, before.values()))
        assert complaints(list(before.values()), list(after.values())) == []


@pytest.mark.parametrize("case", [one for one in LIGHT if not one.powerless], ids=str)
def test_what_is_found_is_masked_and_nothing_else_is_changed(case: FileCase, folder: Path) -> None:
    """After a scrub nothing is found where no gap is told; all other bytes, owner, mode and time stay."""
    with case.planted(folder, NUMBER):
        if case.name != GROWING:
            aged(folder)
        then, plain = statuses(folder), inodes(folder, packed=False)
        scrubbed(case, folder)
        if case.name != GROWING:
            assert statuses(folder) == then
        assert inodes(folder, packed=False) == plain


@pytest.mark.parametrize("case", [one for one in CASES if one.heavy], ids=str)
def test_large_files_are_searched_and_masked(case: FileCase, folder: Path) -> None:
    """A line or a hole without end, and an archive made to fill a disk, are masked, or told."""
    with case.planted(folder, NUMBER):
        blocks = sum(path.stat().st_blocks for path in regular(folder))
        scrubbed(case, folder)
        if case.name == SPARSE:
            assert sum(path.stat().st_blocks for path in regular(folder)) == blocks
            assert NUMBER.encode() not in (folder / "web.log").read_bytes()


@pytest.mark.parametrize(
    "case", [one for one in LIGHT if one.unknown and not one.powerless], ids=str
)
def test_what_is_damaged_stays_as_it_is(case: FileCase, folder: Path) -> None:
    """An archive that cannot be read to its end is not written again, however much of it was."""
    with case.planted(folder, NUMBER):
        file_set = files_in(folder)
        packed = inodes(folder, packed=True)
        before = snapshot(folder)
        seen = sweep_files(file_set, SEEING)
        scrub_files(file_set, searching(file_set, seen), seen)
        after = snapshot(folder)
        assert {k: v for k, v in after.items() if v[0] in packed} == {
            k: v for k, v in before.items() if v[0] in packed
        }


@pytest.mark.parametrize(
    "case", [one for one in LIGHT if not one.powerless and one.name != GROWING], ids=str
)
def test_a_scrub_that_is_withheld_changes_no_byte(case: FileCase, folder: Path) -> None:
    """A rehearsal says how much it would mask, and leaves every file as it is; a scrub does not."""
    with case.planted(folder, NUMBER):
        file_set, before = files_in(folder), snapshot(folder)
        seen = sweep_files(file_set, SEEING)
        search = searching(file_set, seen)
        would = scrub_files(file_set, search, seen, withheld=True)
        assert snapshot(folder) == before
        did = scrub_files(file_set, search, seen)
        assert (would.identifiers, would.names) == (did.identifiers, did.names)
        assert (snapshot(folder) != before) is bool(did.identifiers or (seen.named and before))
