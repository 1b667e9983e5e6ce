"""Ways past a search or a scrub of files that somebody found once: none of them leads past it now."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.file_erasure import FileErasure
from harness.identity import Closure, Matcher, Representation, WaId, spelled
from harness.masks import Masks
from harness.model import FilesObserved, Moment, Record, Scrubbed
from harness.population.people import person
from harness.surfaces import FileSearch, FileSet, FileSighting, scrub_files, sweep, sweep_files
from harness.surfaces.fileset import Found

NUMBER, OTHER = person(7).number, person(8).number
CLOSURE = Closure(WaId(NUMBER))
LINE, STRANGER = f"contact={NUMBER}\n".encode(), f"contact={OTHER}\n".encode()
Member = tuple[str, bytes, bytes]


def look(folder: Path) -> FileSighting:
    """Search a folder."""
    return sweep_files(FileSet.of([folder], []), FileSearch(CLOSURE))


def hits(folder: Path) -> dict[str, int]:
    """Return how often each file names the subject."""
    return {one.file.partition("/")[2]: one.hits for one in look(folder).traces}


def scrubbed(folder: Path) -> list[str]:
    """Scrub a folder, and return why something was left."""
    files, search = FileSet.of([folder], []), FileSearch(CLOSURE, Masks(CLOSURE))
    return [gap.why for gap in scrub_files(files, search, sweep_files(files, search)).left]


def during(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Have something happen between the first listing of a folder and its reading."""
    read = sweep._Sweep.read
    happened: list[bool] = []

    def reading(self: sweep._Sweep, new: Sequence[Found]) -> int:
        if not happened:
            happened.append(True)
            happens()
        return read(self, new)

    monkeypatch.setattr(sweep._Sweep, "read", reading)


# --- rotations while it is looked -----------------------------------------------------------


def test_an_archive_that_is_renamed_while_it_is_looked_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every archive moves up by one between listing and reading: the oldest is read all the same."""
    for number, line in ((1, STRANGER), (2, LINE)):
        (tmp_path / f"web.log.{number}.gz").write_bytes(gzip.compress(line))

    def rotate() -> None:
        for number in (2, 1):
            (tmp_path / f"web.log.{number}.gz").rename(tmp_path / f"web.log.{number + 1}.gz")

    during(monkeypatch, rotate)
    assert hits(tmp_path) == {"web.log.3.gz": 1}


def test_a_file_with_the_inode_of_another_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made anew while it is looked is read, even under the inode of what was read."""
    (tmp_path / "a.log").write_bytes(LINE)
    (tmp_path / "old.gz").write_bytes(gzip.compress(b"old\n"))

    def rotate() -> None:
        (tmp_path / "old.gz").unlink()
        (tmp_path / "a.log.1.gz").write_bytes(gzip.compress((tmp_path / "a.log").read_bytes()))
        (tmp_path / "a.log").unlink()

    during(monkeypatch, rotate)
    assert hits(tmp_path) == {"a.log.1.gz": 1}


def test_files_without_end_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where new files come faster than they are read, nobody says that all was looked at."""
    read, made = sweep._Sweep.read, iter(range(1_000))

    def reading(self: sweep._Sweep, new: Sequence[Found]) -> int:
        (tmp_path / f"{next(made)}.log").write_bytes(LINE)
        return read(self, new)

    (tmp_path / "web.log").write_bytes(STRANGER)
    monkeypatch.setattr(sweep._Sweep, "read", reading)
    (gap,) = look(tmp_path).gaps
    assert "faster than they could be read" in gap.why


# --- what the filter lets through -------------------------------------------------------------


@pytest.mark.parametrize("escape", ["%3{}", "%253{}", "%25253{}", "%2532{}"])
def test_percent_escapes_of_digits_pass_the_filter(escape: str) -> None:
    """A number whose digits are escaped for URLs, however often, is let through where it is found."""
    text = "".join(escape.format(digit) for digit in NUMBER).encode()
    matcher = Matcher([spelled(NUMBER)])
    found = bool(matcher.hits(b"/v1/contacts/" + text, Representation.FILE_LINE))
    assert matcher.candidate(b"/v1/contacts/" + text) >= found
    assert found is (escape != "%2532{}")


# --- archives that hold more than they list ---------------------------------------------------


def as_tar(*members: Member, ended: bool = True) -> bytes:
    """Return a tar of members, each a name, a content and a kind."""
    file = io.BytesIO()
    for name, content, kind in members:
        info = tarfile.TarInfo(name)
        info.size, info.type = len(content), kind
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(content + b"\0" * (-len(content) % 512))
    return file.getvalue() + b"\0" * 1024 * ended


MENTION: Member = ("a.log", LINE, tarfile.REGTYPE)


@pytest.mark.parametrize("kind", [b"D", b"M", b"Q"])
def test_a_tar_member_of_any_kind_is_searched_and_kept(tmp_path: Path, kind: bytes) -> None:
    """A member of a kind that no library knows is searched, and stands in the masked copy."""
    (tmp_path / "a.tar").write_bytes(as_tar(MENTION, ("b", LINE + STRANGER, kind)))
    assert sum(hits(tmp_path).values()) == 2
    assert scrubbed(tmp_path) == []
    assert hits(tmp_path) == {}
    assert STRANGER in (tmp_path / "a.tar").read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        as_tar(MENTION, ended=False) + STRANGER * 30,
        as_tar(MENTION, ended=False) + as_tar(("b", STRANGER, tarfile.REGTYPE))[:500],
        as_tar(MENTION, ("b", STRANGER, tarfile.LNKTYPE)),
    ],
    ids=["no header", "half a header", "a link with a content"],
)
def test_a_tar_with_something_behind_its_members_is_left(tmp_path: Path, content: bytes) -> None:
    """What stands where a header should is told, and the archive is not written again without it."""
    (tmp_path / "a.tar").write_bytes(content)
    assert len(look(tmp_path).gaps) == 1
    assert len(scrubbed(tmp_path)) == 1
    assert (tmp_path / "a.tar").read_bytes() == content


def as_zip(**members: bytes) -> bytes:
    """Return a zip of stored members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_a_zip_with_members_that_are_not_listed_is_left(tmp_path: Path) -> None:
    """Of two zips in one file a library sees the last: that is told, and nothing is lost."""
    content = as_zip(b=STRANGER) + as_zip(a=LINE)
    (tmp_path / "a.zip").write_bytes(content)
    assert len(look(tmp_path).gaps) == 1
    scrubbed(tmp_path)
    assert (tmp_path / "a.zip").read_bytes() == content


def test_the_names_in_a_zip_stay_as_they_are_written(tmp_path: Path) -> None:
    """A name in UTF-8 that is not marked as such is the same, byte for byte, in a masked copy."""
    name = "Müller.log".encode()
    content = as_zip(**{"a.log": LINE, "MXXller.log": STRANGER}).replace(b"MXXller.log", name)
    (tmp_path / "a.zip").write_bytes(content)
    assert scrubbed(tmp_path) == []
    assert hits(tmp_path) == {}
    assert (tmp_path / "a.zip").read_bytes().count(name) == content.count(name) == 2


def test_a_zip_with_a_name_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A name that is marked as UTF-8 and is none leaves that file open, and no other."""
    wrong = as_zip(**{"Müller.log": LINE}).replace("ü".encode(), b"\xfc\xfc")
    (tmp_path / "a.zip").write_bytes(wrong)
    (tmp_path / "b.log").write_bytes(LINE)
    seen = look(tmp_path)
    assert ([one.hits for one in seen.traces], len(seen.gaps)) == ([1], 1)


# --- rounds -----------------------------------------------------------------------------------


def test_masks_of_an_earlier_round_are_no_hindrance(tmp_path: Path) -> None:
    """A log that was masked, written to and packed is masked again, with the masks that it bears."""
    (tmp_path / "web.log").write_bytes(LINE + STRANGER)
    records: list[Record] = []

    def record(fact: Record) -> None:
        records.append(fact)
        if isinstance(fact, Scrubbed) and sum(isinstance(one, Scrubbed) for one in records) == 1:
            text = (tmp_path / "web.log").read_bytes()
            (tmp_path / "web.log.1.gz").write_bytes(gzip.compress(text + LINE))
            (tmp_path / "web.log").write_bytes(b"")

    erasure = FileErasure("run", FileSet.of([tmp_path], []), record)
    erasure.observe(Moment.BEFORE, CLOSURE)
    erasure.erase(CLOSURE, Masks(CLOSURE))
    last = [one for one in records if isinstance(one, FilesObserved)][-1]
    assert (last.traces, last.gaps) == ((), ())
    lines = gzip.decompress((tmp_path / "web.log.1.gz").read_bytes()).splitlines(keepends=True)
    assert lines[1] == STRANGER
    assert lines[0] == lines[2]


def test_a_link_is_given_another_target_in_one_step(tmp_path: Path) -> None:
    """A link that names the subject leads to the same file, by its new name, and keeps its owner."""
    (tmp_path / f"{NUMBER}.log").write_bytes(STRANGER)
    (tmp_path / "last").symlink_to(f"{NUMBER}.log")
    owner = os.lstat(tmp_path / "last").st_uid
    assert scrubbed(tmp_path) == []
    assert (tmp_path / "last").read_bytes() == STRANGER
    assert NUMBER not in str((tmp_path / "last").readlink())
    assert os.lstat(tmp_path / "last").st_uid == owner
