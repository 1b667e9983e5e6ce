"""The synthetic estate holds what it says, and nobody real; the independent proof can see."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from harness.identity import Matcher, Representation, spelled
from harness.population.encodings import ENCODINGS, Surface
from harness.population.estate import Estate, gzipped, make_estate
from harness.population.log_lines import Log, blocks
from harness.population.mentions import mentions
from harness.population.people import neighbours, person

from . import grep_proof
from .test_population import FICTION

SUBJECT = person(7)
NUMBER = SUBJECT.number
MATCHER = Matcher([spelled(NUMBER)])
PLAIN = re.compile(grep_proof.spellings(NUMBER)[0].encode())
NAMED = re.compile(rb'(?:contact=|contacts/|wa_id":"|recipient_id":"|"from":")([0-9]+)')


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Estate:
    """An estate that names the subject."""
    return make_estate(tmp_path_factory.mktemp("estate"), NUMBER)


def _forms(lines: list[bytes]) -> Counter[str]:
    found = (MATCHER.forms(line, Representation.FILE_LINE) for line in lines)
    return sum(found, Counter())


def test_what_is_planted_is_there(estate: Estate) -> None:
    """The system's tools read, from every file and part, as many mentions in each form as it says."""
    lines = grep_proof.lines_of(estate.folder)
    assert set(lines) == {one.file for one in estate.planted}
    for one in estate.planted:
        assert _forms(lines[one.file]) == Counter(dict(one.forms)), one.file


def test_grep_counts_the_lines_that_are_plain(estate: Estate) -> None:
    """Grep counts as many lines as there are mentions in a plain spelling, in each file and part."""
    plain = {log: sum(1 for one in mentions(log, NUMBER) if PLAIN.search(one.line)) for log in Log}
    counted = grep_proof.count_lines(estate.folder, NUMBER)
    assert set(counted) == {one.file for one in estate.planted if one.lines}
    assert counted["log/whatsapp/web.log"] == plain[Log.WEB]
    assert counted["bundles/support-info.tar.gz > support/wacore.log.1.gz"] == plain[Log.CORE]


def test_every_form_that_fits_a_line_is_planted(estate: Estate) -> None:
    """Each form that the encodings know for texts and documents of one line stands in a log."""
    planted = {form for one in estate.planted for form, _ in one.forms}
    written = [one for one in ENCODINGS if one.surface in {Surface.TEXT, Surface.JSON}]
    assert planted == {
        form for one in written for form in one.forms if "\n" not in str(one.write(NUMBER))
    }


def test_some_files_name_nobody(estate: Estate) -> None:
    """Plain, packed and bundled logs that do not name the subject are among them."""
    empty = [one.file for one in estate.planted if not one.lines]
    assert any(name.endswith(".log.1") for name in empty)
    assert any(name.endswith(".gz") for name in empty)
    assert any(" > " in name for name in empty)
    assert estate.identifiers()["bundles/support-info.zip"] > 0


def test_an_estate_of_nobody_names_nobody(tmp_path: Path) -> None:
    """Without a subject nothing is planted, and nothing is found."""
    estate = make_estate(tmp_path, None)
    assert not any(one.lines for one in estate.planted)
    assert grep_proof.found(tmp_path, NUMBER) == []


def test_an_estate_is_the_same_each_time(tmp_path: Path, estate: Estate) -> None:
    """One seed gives one estate to the byte, another seed another."""
    made = [make_estate(tmp_path / str(seed), NUMBER, seed) for seed in (0, 1)]
    contents = [
        {name: (one.folder / name).read_bytes() for name in one.files} for one in (estate, *made)
    ]
    assert contents[0] == contents[1] != contents[2]
    assert made[0].planted == estate.planted


def test_an_estate_has_about_the_size_asked_for(tmp_path: Path) -> None:
    """Unpacked, the logs are as large as was asked, within a tenth."""
    assert make_estate(tmp_path, None, size_bytes=20_000_000).content_bytes == pytest.approx(
        20_000_000, rel=0.1
    )


@pytest.mark.parametrize("log", Log)
def test_nobody_in_bulk_is_the_subject(log: Log) -> None:
    """In five megabytes of a log nobody is the subject, nor anyone real, but neighbours are there."""
    lines = b"".join(blocks(log, 0, 5_000_000, subject=NUMBER)).splitlines()
    suspects = [line for line in lines if MATCHER.candidate(line)]
    assert not any(MATCHER.hits(line, Representation.FILE_LINE) for line in suspects)
    named = {one.decode() for line in lines for one in NAMED.findall(line)}
    near = {one.number for one in neighbours(SUBJECT)}
    assert all(FICTION.fullmatch(one) for one in named - near)
    if log is not Log.CRASH:
        assert named & near


@pytest.mark.parametrize("log", [Log.WEB, Log.CONTAINER])
def test_lines_are_whole_and_of_their_time(log: Log) -> None:
    """Each line ends, none holds a mark of the renderer's, and time never runs backwards in it."""
    content = b"".join(blocks(log, 3, 2_000_000))
    assert content.endswith(b"\n")
    assert not {0, 1} & set(content)
    times = re.findall(rb"\[(2025[0-9T:. -]+)\]", content)
    assert times == sorted(times)


def test_the_proof_sees_what_it_must(tmp_path: Path) -> None:
    """The independent search sees contents, parts, names, stored names, links and UTF-16."""
    (tmp_path / f"{NUMBER}.log").write_bytes(b"nobody\n")
    (tmp_path / "wide.log").write_bytes(f"to {NUMBER}!\r\n".encode("utf-16-le"))
    (tmp_path / "people.log").write_bytes(
        f"call +{NUMBER[0]} ({NUMBER[1:4]}) {NUMBER[4:]}\n".encode()
    )
    gzipped(tmp_path / "a.gz", [b"nobody\n"], f"{NUMBER}.txt")
    (tmp_path / "link").symlink_to(f"gone/{NUMBER}")
    assert grep_proof.found(tmp_path, NUMBER) == [
        "people.log",
        f"the name {NUMBER}.log",
        f"the name {NUMBER}.txt",
        f"the name gone/{NUMBER}",
        "wide.log",
    ]


def test_the_proof_sees_nobody_else(tmp_path: Path) -> None:
    """The independent search takes no neighbour for the subject."""
    for one in neighbours(SUBJECT):
        (tmp_path / f"{one.number}.log").write_text(f"contact={one.number}\n")
    assert grep_proof.found(tmp_path, NUMBER) == []


def test_the_proof_ends_at_a_damaged_file(tmp_path: Path) -> None:
    """The independent search does not pass over a file that a tool cannot read."""
    (tmp_path / "web.log.1.gz").write_bytes(gzip.compress(b"line\n" * 99)[:-9])
    with pytest.raises(subprocess.CalledProcessError):
        grep_proof.found(tmp_path, NUMBER)
