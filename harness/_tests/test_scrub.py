"""Scrubs that are disturbed: by writers, rotations, full disks, hard links, and by the end of a worker."""

from __future__ import annotations

import gzip
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.file_erasure import FileErasure
from harness.identity import Closure, Representation, WaId
from harness.masks import Masks
from harness.model import FilesObserved, Record, Scrubbed
from harness.population.people import person
from harness.surfaces import (
    FileScrub,
    FileSearch,
    FileSet,
    codecs,
    crew,
    exchange,
    rewrite,
    scrub_files,
    sweep_files,
)

from .file_makers import log
from .powerless import powerless

NUMBER = person(7).number
CLOSURE = Closure(WaId(NUMBER))
SEEING = FileSearch(CLOSURE, masks=None)
LINE = re.compile(rb"(\d+) request=71c0 contact=([0-9a-z]+)\n")
NOBODY = b"nobody"
LINES, EVERY = 400_000, 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of logs with an archive that names the subject."""
    made = tmp_path / "logs"
    made.mkdir()
    archive(made / "web.log.1.gz")
    return made


def archive(path: Path, seed: int = 0) -> bytes:
    """Write an archive that names the subject, and return its bytes."""
    path.write_bytes(gzip.compress(log(NUMBER, seed=seed), mtime=0))
    return path.read_bytes()


def files_in(folder: Path) -> FileSet:
    """Return the folder as the only one with logs."""
    return FileSet.of(log_dirs=[folder], media_dirs=[])


def scrubbed(folder: Path, masks: Masks | None = None) -> FileScrub:
    """Sweep and scrub a folder once."""
    search = FileSearch(CLOSURE, masks=masks or Masks(CLOSURE))
    return scrub_files(files_in(folder), search, sweep_files(files_in(folder), SEEING))


def hits(folder: Path) -> int:
    """Return how often the subject is still there."""
    return sum(trace.hits for trace in sweep_files(files_in(folder), SEEING).traces)


def names(folder: Path) -> set[str]:
    """Return what stands in a folder."""
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- somebody writes ------------------------------------------------------------------------

WRITING = """
import os, sys
path, number = sys.argv[1], sys.argv[2].encode()
file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for serial in range(int(sys.argv[3])):
    who = number if serial % int(sys.argv[4]) == 0 else b"nobody"
    os.write(file, b"%d request=71c0 contact=%b\\n" % (serial, who))
"""


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have somebody append lines at full speed; yield who it is as soon as there are some."""
    command = (sys.executable, "-c", WRITING, str(path), NUMBER, str(LINES), str(EVERY))
    with subprocess.Popen(command) as writer:
        while not path.exists() or not path.stat().st_size:
            assert writer.poll() is None
        yield writer


def faults(lines: list[bytes]) -> list[str]:
    """Return what is wrong with the lines of the writer: lost, doubled, out of order, or changed."""
    found = []
    for serial, line in enumerate(lines):
        match = LINE.fullmatch(line)
        if not match or int(match[1]) != serial:
            found.append(f"line {serial} is {line!r}")
        elif (match[2] == NOBODY) is (serial % EVERY == 0) or (
            match[2] != NOBODY and len(match[2]) != len(NUMBER)
        ):
            found.append(f"line {serial} names {match[2]!r}")
    return found


def test_a_lost_or_doubled_line_would_be_seen() -> None:
    """Lines of the writer without a fault have none; one lost, doubled or changed is a fault."""
    good = [b"%d request=71c0 contact=%b\n" % (n, NOBODY if n else b"0" * 11) for n in range(9)]
    assert faults(good) == []
    assert faults([*good[:3], *good[4:]])
    assert faults([*good[:3], good[2], *good[3:]])
    assert faults([*good[:3], good[3].replace(NOBODY, b"nob0dy"), *good[4:]])


def test_a_writer_at_full_speed_loses_no_line(folder: Path) -> None:
    """Lines appended while their log is masked are all there, once, in order, and the log is the same file."""
    path, masks = folder / "web.log", Masks(CLOSURE)
    sizes, masked = [], 0
    with writing(path) as writer:
        inode = path.stat().st_ino
        while writer.poll() is None:
            sizes.append(path.stat().st_size)
            done = scrubbed(folder, masks)
            assert (done.left, done.moved) == ([], False)
            masked += done.identifiers
    masked += scrubbed(folder, masks).identifiers
    lines = path.read_bytes().splitlines(keepends=True)
    assert sizes[0] < path.stat().st_size
    assert (hits(folder), masked) == (0, 1 + LINES // EVERY)
    assert (len(lines), faults(lines)) == (LINES, [])
    assert path.stat().st_ino == inode


# --- a rotation -----------------------------------------------------------------------------


def rotated(folder: Path) -> dict[str, bytes]:
    """Rename the archive as a rotation does, put a new one in its place; return what is there."""
    (folder / "web.log.1.gz").rename(folder / "web.log.2.gz")
    archive(folder / "web.log.1.gz", seed=1)
    return {path.name: path.read_bytes() for path in folder.glob("web.log.*")}


def before_it(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Any) -> None:
    """Have something happen once, just before a function is called."""
    _around(monkeypatch, module, name, before=act)


def after_it(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, act: Any) -> None:
    """Have something happen once, just after a function has returned."""
    _around(monkeypatch, module, name, after=act)


def _around(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    before: Callable[[], object] = bool,
    after: Callable[[], object] = bool,
) -> None:
    real, calls = getattr(module, name), []

    def wrapped(*given: Any, **how: Any) -> Any:
        calls.append(name)
        if len(calls) == 1:
            before()
        result = real(*given, **how)
        if len(calls) == 1:
            after()
        return result

    monkeypatch.setattr(module, name, wrapped)


@pytest.mark.parametrize("moment", ["before the look", "after the look"])
def test_a_rotation_before_the_exchange_loses_no_archive(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """An archive renamed before its copy takes its place stays, and so does what has its name by then."""
    there: list[dict[str, bytes]] = []

    def rotate() -> None:
        there.append(rotated(folder))

    if moment == "before the look":
        before_it(monkeypatch, rewrite, "take_place", rotate)
    else:
        after_it(monkeypatch, exchange, "require_same", rotate)
    done = scrubbed(folder)
    assert (done.moved, done.identifiers, done.left) == (True, 0, [])
    assert [contents(folder)] == there
    again = scrubbed(folder)
    assert (again.identifiers, again.moved, again.left) == (2, False, [])
    assert (hits(folder), names(folder)) == (0, {"web.log.1.gz", "web.log.2.gz"})


def test_an_archive_that_goes_before_the_exchange_is_found_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that was renamed, with nothing in its place, keeps its content and is masked the next time."""
    path = folder / "web.log.1.gz"
    before = path.read_bytes()
    after_it(monkeypatch, exchange, "require_same", lambda: path.rename(folder / "web.log.2.gz"))
    done = scrubbed(folder)
    assert (done.moved, done.left, contents(folder)) == (True, [], {"web.log.2.gz": before})
    assert scrubbed(folder).identifiers == 1
    assert (hits(folder), names(folder)) == (0, {"web.log.2.gz"})


def test_an_archive_that_is_written_to_meanwhile_is_masked_the_next_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure scrubs again where an archive was written to under the same name, until it is masked."""
    path = folder / "web.log.1.gz"
    before_it(monkeypatch, rewrite, "take_place", lambda: os.utime(path, ns=(1, 1)))
    records: list[Record] = []
    erasure = FileErasure("run", files_in(folder), records.append)
    erasure.erase(CLOSURE, Masks(CLOSURE))
    looks = [one for one in records if isinstance(one, FilesObserved)]
    assert (looks[0].traces != (), looks[-1].traces) == (True, ())
    assert hits(folder) == 0
    assert path.stat().st_mtime_ns == 1


@pytest.mark.parametrize("rotates", [False, True])
def test_where_files_cannot_be_exchanged_they_are_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, rotates: bool
) -> None:
    """Without RENAME_EXCHANGE an archive is masked all the same, and one that was renamed stays."""
    monkeypatch.setattr(exchange, "renamed", lambda *_: False)
    if rotates:
        before_it(monkeypatch, rewrite, "take_place", lambda: rotated(folder))
    done = scrubbed(folder)
    assert (done.moved, done.identifiers) == (rotates, 0 if rotates else 1)
    assert names(folder) == {"web.log.1.gz", *(["web.log.2.gz"] if rotates else [])}
    assert hits(folder) == (2 if rotates else 0)


# --- hard links, room, and copies that are wrong ---------------------------------------------


def test_a_hard_link_elsewhere_is_told(folder: Path) -> None:
    """Where an archive has another name outside, it is masked, and its old content is told."""
    elsewhere = folder.parent / "kept.gz"
    elsewhere.hardlink_to(folder / "web.log.1.gz")
    (gap,) = scrubbed(folder).left
    assert (gap.file, "hard link" in gap.why) == ("logs/web.log.1.gz", True)
    assert hits(folder) == 0
    assert NUMBER.encode() in gzip.decompress(elsewhere.read_bytes())


def test_a_hard_link_elsewhere_is_told_by_a_rehearsal(folder: Path) -> None:
    """What an erasure would have to tell of a hard link, a rehearsal tells."""
    (folder.parent / "kept.gz").hardlink_to(folder / "web.log.1.gz")
    search = FileSearch(CLOSURE, masks=Masks(CLOSURE))
    seen = sweep_files(files_in(folder), SEEING)
    (gap,) = scrub_files(files_in(folder), search, seen, withheld=True).left
    assert "hard link" in gap.why


def test_both_names_of_an_archive_are_masked(folder: Path) -> None:
    """Where both names of an archive are in the folder, an erasure masks both and has nothing to tell."""
    (folder / "web.log.2.gz").hardlink_to(folder / "web.log.1.gz")
    records: list[Record] = []
    FileErasure("run", files_in(folder), records.append).erase(CLOSURE, Masks(CLOSURE))
    assert [one.left for one in records if isinstance(one, Scrubbed)][-1] == ()
    assert (hits(folder), names(folder)) == (0, {"web.log.1.gz", "web.log.2.gz"})


def test_without_room_for_a_copy_nothing_is_begun(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk has no room for a copy the archive stays as it is, and the sentence says so."""
    before = contents(folder)
    monkeypatch.setattr(rewrite, "_SPARE_BYTES", 1 << 62)
    (gap,) = scrubbed(folder).left
    assert "no room on its disk" in gap.why
    assert contents(folder) == before


def test_a_disk_that_fills_up_leaves_the_archive(folder: Path) -> None:
    """Where a copy cannot be written to its end the archive stays as it is, and no copy is left."""
    before = contents(folder)

    def in_little_room() -> list[str]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        return [gap.why for gap in scrubbed(folder).left]

    (why,) = powerless(in_little_room)
    assert "could not be masked (File too large)" in why
    assert contents(folder) == before


class _Careless(Masks):
    """Masks that change one more byte than they say."""

    def mask(self, cell: bytes, representation: Representation) -> bytes:
        masked = super().mask(cell, representation)
        return masked[:1].swapcase() + masked[1:-3] + b"x" + masked[-2:]


class _Idle(Masks):
    """Masks that mask nothing."""

    def mask(self, cell: bytes, representation: Representation) -> bytes:
        del representation
        return cell


@pytest.mark.parametrize("masks", [_Careless, _Idle])
def test_a_copy_that_does_not_compare_is_thrown_away(folder: Path, masks: type[Masks]) -> None:
    """A copy with one more byte changed, or with the number still in it, never takes an archive's place."""
    before = contents(folder)
    (gap,) = scrubbed(folder, masks(CLOSURE)).left
    assert "did not compare" in gap.why
    assert contents(folder) == before
    assert scrubbed(folder, Masks(CLOSURE)).left == []


def test_a_packer_that_loses_a_byte_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that lacks a byte, and whose checksum is right all the same, is thrown away."""
    before, real = contents(folder), codecs.Packer.write
    monkeypatch.setattr(codecs.Packer, "write", lambda self, data: real(self, data[:-1]))
    (gap,) = scrubbed(folder).left
    assert "did not compare" in gap.why
    assert contents(folder) == before


# --- workers --------------------------------------------------------------------------------


def fatal(_: None, item: str) -> str:
    """End the worker where the item says so."""
    if item.startswith("fatal"):
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{item}, done"


def asleep(_: None, item: str) -> None:
    """Tell who works, and work without end."""
    Path(item).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(10_000)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have three workers, however little there is to do."""
    monkeypatch.setattr(crew, "WORKERS", 3)
    monkeypatch.setattr(crew, "_WORTH_BYTES", 1)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("fatalities", [0, 1, 2, 3, 5])
def test_a_worker_that_ends_is_a_gap_and_not_the_end(fatalities: int) -> None:
    """What a worker was at when it was killed is told; all else is done as long as one is left."""
    items = [f"fatal {n}" for n in range(fatalities)] + [f"item {n}" for n in range(9)]
    results = list(
        crew.carried_out(crew.Job(fatal, None), items, 1 << 40, lambda item: f"{item}, crashed")
    )
    assert sorted(one.partition(",")[0] for one in results) == sorted(items)
    crashed = {one for one in results if one.endswith(", crashed")}
    assert {f"fatal {n}, crashed" for n in range(fatalities)} <= crashed
    assert len(crashed) == fatalities or fatalities >= 3


@pytest.mark.usefixtures("many")
def test_a_worker_that_is_killed_at_a_file_leaves_the_others_searched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of files that workers search, the one whose worker was killed is a gap, and the rest is found."""
    for serial in range(2, 8):
        archive(folder / f"web.log.{serial}.gz")
    started: list[Any] = []
    real = subprocess.Popen

    def popen(*given: Any, **how: Any) -> Any:
        started.append(real(*given, **how))
        return started[-1]

    monkeypatch.setattr(crew.subprocess, "Popen", popen)  # type: ignore[attr-defined]

    def kill() -> None:
        started[0].kill()
        started[0].wait()

    before_it(monkeypatch, crew, "wait", kill)
    seen = sweep_files(files_in(folder), SEEING)
    assert len(started) == 3
    assert [gap.why.partition(":")[0] for gap in seen.gaps] == [
        "the process that read it ended in the middle of it"
    ]
    assert sum(trace.hits for trace in seen.traces) == 6


@pytest.mark.usefixtures("many")
def test_workers_scrub_as_one_process_does(folder: Path) -> None:
    """Several workers mask every archive, and the masks are the same in all of them."""
    for serial in range(2, 8):
        archive(folder / f"web.log.{serial}.gz")
    done = scrubbed(folder)
    assert (done.identifiers, done.files, done.left) == (7, 7, [])
    assert hits(folder) == 0
    assert len({gzip.decompress(content) for content in contents(folder).values()}) == 1


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    """When a run is killed, its workers end too, whatever they are at."""
    items = [str(tmp_path / f"worker {n}") for n in range(2)]
    program = (
        "import sys\n"
        "from harness.surfaces import crew\n"
        "from harness._tests.test_scrub import asleep\n"
        "crew.WORKERS = 2\n"
        "list(crew.carried_out(crew.Job(asleep, None), sys.argv[1:], 1 << 40, print))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, *items])
    try:
        while not all(Path(one).exists() and Path(one).read_text("ascii") for one in items):
            assert parent.poll() is None
            time.sleep(0.01)
        workers = [int(Path(one).read_text("ascii")) for one in items]
        assert all(_runs(pid) for pid in workers)
    finally:
        parent.kill()
        parent.wait()
    while any(_runs(pid) for pid in workers):
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
