"""Controls of the journal: its own tests, each in a folder of its own, and a few claims more."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import mock

import pytest

from harness._tests import test_journal
from harness._tests.mutants.controls import Control, adopted, named
from harness._tests.test_journal import HEADER, KEY, entry, held, one_run
from harness.errors import EvidenceError, RefusalError
from harness.journal import NAME, Entry, Journal, Progress, State, mend

_FIXTURES: Final[dict[str, Callable[[], object]]] = {"journal": bool, "tmp_path": bool}


def journal_controls() -> Iterator[Control]:
    """Yield the controls of the journal."""
    for name, test, arguments in adopted(test_journal, _FIXTURES, ()):
        yield Control(name, partial(_in_a_folder, test, arguments))
    for claim in CLAIMS:
        yield Control(f"journal: {named(claim)}", partial(_in_a_folder, claim, {}))


def _in_a_folder(test: Callable[..., object], arguments: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        journal = Journal(Path(folder), KEY)
        given = {"tmp_path": Path(folder), "journal": journal}
        wanted = {name: one for name, one in given.items() if name in _parameters(test)}
        if "journal" in wanted:
            journal.open(HEADER)
        test(**arguments | wanted)


def _parameters(test: Callable[..., object]) -> frozenset[str]:
    return frozenset(inspect.signature(test).parameters)


Synced = list[tuple[str, bytes]]


@contextmanager
def _synced() -> Iterator[Synced]:
    """Note what is forced to the disk, by name, and what a file holds at that moment."""
    seen: Synced = []

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((path.name, path.read_bytes() if path.is_file() else b""))

    before = _descriptors()
    with mock.patch.object(os, "fsync", note):
        yield seen
    assert _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _what_is_written_is_on_the_disk(journal: Journal, tmp_path: Path) -> None:
    """Each line, each seal with its name, and each seal's end is forced to the disk in its turn."""
    path, sealed = tmp_path / NAME, tmp_path / "one.sealed"
    with _synced() as seen:
        journal.note(entry(State.BEGUN))
    assert seen == [(NAME, path.read_bytes())]
    with _synced() as seen:
        journal.keep("one", held())
    content = sealed.read_bytes()
    assert seen == [("one.new", content), (tmp_path.name, b"")]
    with _synced() as seen:
        journal.attest("one")
    zeros = b"\0" * len(content)
    assert seen == [("one.sealed", zeros), (tmp_path.name, b""), (NAME, path.read_bytes())]
    whole = path.read_bytes()
    path.write_bytes(whole + b"torn")
    with _synced() as seen:
        mend(path)
        mend(path)
    assert seen == [(NAME, whole)]
    path.write_bytes(b"torn")
    mend(path)
    assert path.read_bytes() == b""


def _a_run_begins_sealed(journal: Journal, tmp_path: Path) -> None:
    """What undoing a run takes is sealed before the run is noted."""
    with _synced() as seen:
        journal.begin("one", held())
    assert [name for name, _ in seen] == ["one.new", tmp_path.name, NAME]
    assert one_run(journal).last.state is State.BEGUN
    assert journal.held("one")


def _only_what_is_told_of_is_kept(journal: Journal, tmp_path: Path) -> None:
    """Tidying keeps the seals of runs that are open, and destroys all others."""
    for run in ("open", "attested", "untold"):
        journal.keep(run, held())
    (tmp_path / "half.new").write_bytes(b"half")
    for state in (State.BEGUN, State.CLOSED):
        journal.note(Entry("open", state))
    journal.note(Entry("attested", State.ATTESTED))
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole + b"torn")
    journal.tidy()
    assert (tmp_path / NAME).read_bytes() == whole
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "open.sealed"}


def _what_cannot_be_written_is_said(journal: Journal, tmp_path: Path) -> None:
    """An error of the file system's is one of ours; where nothing was begun, that is said."""
    (tmp_path / "one.sealed").mkdir()
    with pytest.raises(EvidenceError, match="make room"):
        journal.attest("one")
    with pytest.raises(EvidenceError, match="make room"):
        mend(tmp_path)
    with pytest.raises(EvidenceError, match="make room"):
        Journal(tmp_path / "absent", KEY).note(entry(State.BEGUN))
    (tmp_path / NAME).unlink()
    with pytest.raises(RefusalError, match="before it began"):
        journal.read()


def _what_entries_say() -> None:
    """Only a decision is carried out, only what was prepared stands, and attested is over."""
    assert not Progress("one", (entry(State.COMMITTED, "a"),)).committed
    named_twice = entry(State.COMMITTING, "a", names=("x",))
    assert Progress("one", (named_twice,)).prepared(decided=True) == ()
    attested = Progress("one", (entry(State.ATTESTED),))
    assert attested.over


CLAIMS: Final[tuple[Callable[..., None], ...]] = (
    _what_is_written_is_on_the_disk,
    _a_run_begins_sealed,
    _only_what_is_told_of_is_kept,
    _what_cannot_be_written_is_said,
    _what_entries_say,
)
