"""A whole estate of files: swept to the identifier, masked, and proven clean by other tools."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from harness.file_erasure import FileErasure
from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.model import FilesObserved, Moment, Record
from harness.plugin.estate import made_estate
from harness.population.cases import showcase
from harness.population.estate import Estate, make_estate
from harness.population.people import person
from harness.surfaces import FileSearch, FileSet, scrub_files, sweep_files

from . import grep_proof

NUMBER = person(7).number
CLOSURE = Closure(WaId(NUMBER))
SEEING = FileSearch(CLOSURE, masks=None)


@pytest.fixture
def estate(tmp_path: Path) -> Estate:
    """An estate that names the subject in every form, and nearly everybody else."""
    return make_estate(tmp_path / "estate", NUMBER)


def _files(estate: Estate) -> FileSet:
    return FileSet.of(log_dirs=[estate.folder], media_dirs=[])


def test_a_sweep_finds_what_was_planted(estate: Estate) -> None:
    """In every file and part of an archive a sweep finds each form as often as it was planted."""
    seen = sweep_files(_files(estate), SEEING)
    label = f"{estate.folder.name}/"
    assert {trace.file.removeprefix(label): trace.forms for trace in seen.traces} == {
        one.file: one.forms for one in estate.planted if one.lines
    }
    assert not seen.gaps
    assert seen.content_bytes == estate.content_bytes


def test_a_scrub_changes_the_subjects_lines_alone(estate: Estate) -> None:
    """After a scrub the system's tools find the number nowhere, and all other lines as before."""
    files, before = _files(estate), grep_proof.lines_of(estate.folder)
    masking = FileSearch(CLOSURE, masks=Masks(CLOSURE))
    done = scrub_files(files, masking, sweep_files(files, SEEING))
    assert done.identifiers == sum(one.identifiers for one in estate.planted)
    assert not done.left
    assert grep_proof.found(estate.folder, NUMBER) == []
    after = grep_proof.lines_of(estate.folder)
    assert set(after) == set(before)
    for one in estate.planted:
        pairs = zip(before[one.file], after[one.file], strict=True)
        assert sum(old != new for old, new in pairs) == one.lines, one.file


def test_the_tools_find_the_number_before(estate: Estate) -> None:
    """Before a scrub the same tools find the number in each file and part that names it."""
    named = {one.file for one in estate.planted if one.lines}
    assert set(grep_proof.found(estate.folder, NUMBER)) == named


def test_after_erasure_rotation_and_scrub_nothing_is_found(tmp_path: Path) -> None:
    """Rotated in between by logrotate, no tool finds the number, and all other lines are there."""
    estate = made_estate(tmp_path, showcase(person(7)))
    logs = tmp_path / "var"
    before = _all_lines(logs)
    records: list[Record] = []
    erasure = FileErasure("run", estate.files, records.append)
    erasure.begin(writes=True)
    erasure.observe(Moment.BEFORE, CLOSURE)
    masks = erasure.fitting(lambda: Masks(CLOSURE), CLOSURE)
    assert grep_proof.found(logs, NUMBER)
    estate.rotate()
    erasure.erase(CLOSURE, masks)
    assert grep_proof.found(logs, NUMBER) == []
    after = _all_lines(logs)
    named = sum(one.lines for one in make_estate(tmp_path / "again", NUMBER).planted)
    assert (before - after).total() == (after - before).total() == named
    last = [one for one in records if isinstance(one, FilesObserved)][-1]
    assert (last.moment, last.traces, last.gaps) == (Moment.AFTER, (), ())


def _all_lines(folder: Path) -> Counter[bytes]:
    return Counter(line for lines in grep_proof.lines_of(folder).values() for line in lines)
