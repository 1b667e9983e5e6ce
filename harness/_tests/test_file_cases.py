"""The files and faults made for the search are what they are called; the system's tools say so."""

from __future__ import annotations

import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from harness.population.people import person

from . import grep_proof
from .file_cases import CASES, DAMAGED, FORMATS, NAMES, FileCase
from .powerless import powerless

NUMBER = person(7).number
TESTS = {"gz": "gzip -t", "tgz": "gzip -t", "zst": "zstd -tq", "xz": "xz -t", "bz2": "bzip2 -t"}
TESTED = {
    case.name: case
    for case in DAMAGED
    if not case.name.startswith(("not read", "unreadable", "cut off gzip", "tar", "zeros"))
}


def _only(folder: Path) -> Path:
    (path,) = (one for one in folder.rglob("*") if one.is_file())
    return path


def _command(path: Path) -> list[str]:
    suffix = path.suffix.removeprefix(".")
    return [*TESTS.get(suffix, "unzip -tqP x").split(), str(path)]


def test_every_case_has_a_name_of_its_own() -> None:
    """No two cases are called alike, so that a failure tells which it is."""
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", FORMATS, ids=str)
def test_the_number_is_in_every_format(case: FileCase, tmp_path: Path) -> None:
    """The system's own tools find the number where each whole file of a format holds it."""
    with case.planted(tmp_path, NUMBER):
        assert sum(grep_proof.count_lines(tmp_path, NUMBER).values()) == case.found


@pytest.mark.parametrize("case", NAMES[:6], ids=str)
def test_the_number_is_in_a_name(case: FileCase, tmp_path: Path) -> None:
    """The system's own tools find the number in names, and in no content."""
    with case.planted(tmp_path, NUMBER):
        assert any(one.startswith("the name ") for one in grep_proof.found(tmp_path, NUMBER))
        assert not grep_proof.count_lines(tmp_path, NUMBER)


@pytest.mark.parametrize("case", TESTED.values(), ids=str)
def test_what_is_damaged_is_refused_by_its_tool(case: FileCase, tmp_path: Path) -> None:
    """The tool of its format refuses, or warns of, every file damaged on purpose."""
    with case.planted(tmp_path, NUMBER):
        assert subprocess.run(
            _command(_only(tmp_path)), capture_output=True, check=False
        ).returncode


@pytest.mark.parametrize(
    "case", [one for one in FORMATS if one.name in {"gzip", "zip", "xz", "zstd"}], ids=str
)
def test_what_is_whole_is_accepted_by_its_tool(case: FileCase, tmp_path: Path) -> None:
    """The same tools accept whole files, so that their refusals mean something."""
    with case.planted(tmp_path, NUMBER):
        assert not subprocess.run(
            _command(_only(tmp_path)), capture_output=True, check=False
        ).returncode


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    """The encrypted zip has the flag set, and its content does not hold the number."""
    case = TESTED["zip, encrypted"]
    with case.planted(tmp_path, NUMBER), zipfile.ZipFile(_only(tmp_path)) as archive:
        assert archive.infolist()[0].flag_bits & 1
        assert NUMBER.encode() not in _only(tmp_path).read_bytes()


@pytest.mark.parametrize("case", [one for one in CASES if one.powerless], ids=str)
def test_what_may_not_be_read_cannot_be(case: FileCase, tmp_path: Path) -> None:
    """Without privileges the closed file or folder cannot be read, and afterwards it can."""
    with case.planted(tmp_path, NUMBER):
        assert powerless(lambda: _readable(tmp_path)) is False
    assert _readable(tmp_path)


def _readable(folder: Path) -> bool:
    return (
        subprocess.run(
            ["grep", "-rq", NUMBER, str(folder)], capture_output=True, check=False
        ).returncode
        == 0
    )


def test_a_log_being_written_grows(tmp_path: Path) -> None:
    """The log being written grows for as long as it is looked at, and not afterwards."""
    (case,) = (one for one in CASES if one.name == "being written")
    with case.planted(tmp_path, NUMBER):
        path = tmp_path / "web.log"
        size_bytes = path.stat().st_size
        while path.stat().st_size == size_bytes:
            pass
    size_bytes = path.stat().st_size
    assert path.read_bytes().count(NUMBER.encode()) == 1
    assert path.stat().st_size == size_bytes


def test_special_files_are_what_they_are(tmp_path: Path) -> None:
    """The FIFO is one, the socket too, and a hole takes no place on the disk."""
    for case in CASES:
        if case.name in {"FIFO", "socket", "sparse"}:
            case.make(tmp_path, NUMBER)
    modes = {stat.S_IFMT(path.lstat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG}
    held = (tmp_path / "web.log").stat()
    assert held.st_size == 1 << 30 > 1000 * 512 * held.st_blocks


def test_a_boundary_is_met_at_every_byte(tmp_path: Path) -> None:
    """Around each boundary the number begins at every byte, once in a file."""
    (case,) = (one for one in CASES if one.name == "across boundaries")
    with case.planted(tmp_path, NUMBER):
        starts = {
            path.read_bytes().rindex(NUMBER.encode()) - (1 << 20) for path in tmp_path.iterdir()
        }
        assert (
            sum(path.read_bytes().count(NUMBER.encode()) for path in tmp_path.iterdir())
            == case.found
        )
    assert starts == set(range(-16, 17))


def test_a_complaint_is_made_where_it_must() -> None:
    """A case complains of too little and too much found, and of a gap not told or made up."""
    whole = FileCase("whole", lambda *_: None, 2)
    damaged = FileCase("damaged", lambda *_: None, 1, unknown=True)
    either = FileCase("either", lambda *_: None, 1, unknown=None)
    assert not any((whole.complaint(2, 0), damaged.complaint(1, 1), damaged.complaint(2, 3)))
    assert not any((either.complaint(1, 0), either.complaint(0, 1)))
    assert all((whole.complaint(1, 0), whole.complaint(3, 0), whole.complaint(2, 1)))
    assert all((damaged.complaint(1, 0), damaged.complaint(0, 1), either.complaint(0, 0)))
