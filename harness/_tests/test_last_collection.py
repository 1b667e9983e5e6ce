"""The last complete collection is found among sessions, and nothing else is taken for it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.evidence.last_collection import last, write
from harness.evidence.session import Session
from harness.model.collected import Collected, Garbage
from harness.redaction import Redactor

SERVER = "5f" * 32
AT = "2026-03-01T12:00:00Z"
COLLECTED = Collected(
    run="testrun",
    garbage=Garbage.MESSAGES,
    at=AT,
    duration_s=1.5,
    times=1,
    complete=True,
    confirmed=False,
    deleted=None,
    rows_before=9,
    rows_after=4,
    nodes=(),
)
DOCUMENT: dict[str, Any] = {
    "format": 1,
    "server": SERVER,
    "prefix": "own_",
    "at": AT,
    "garbage": "messages",
    "complete": True,
    "confirmed": False,
}


def left(reports: Path, number: int, text: str | None) -> Path:
    """Make the folder of a session, the later the larger its number."""
    folder = reports / f"20260301T{number:06d}Z-live-bcdfghjk"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "collection.json").write_text(text, encoding="utf-8")
    return folder


def test_what_a_session_wrote_is_found(tmp_path: Path) -> None:
    """A collection that a session has written is found again, by server and prefix."""
    session = Session.create(tmp_path, "live", Redactor())
    path = write(session, COLLECTED, server=SERVER, prefix="own_")
    assert json.loads(path.read_text(encoding="utf-8")) == DOCUMENT
    assert last(tmp_path, SERVER, "own_") == AT
    assert last(tmp_path, SERVER, "") == ""
    assert last(tmp_path, "6f" * 32, "own_") == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"complete": False},
        {"garbage": Garbage.MEDIA},
        {"rows_after": 9},
        {"rows_after": None},
        {"at": "2999-01-01T00:00:00Z"},
    ],
    ids=["incomplete", "media", "nothing went", "nobody knows", "in the future"],
)
def test_what_was_no_complete_collection_does_not_count(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """One that is not known to have ended, is of media or of the future is not the last one."""
    left(tmp_path, 1, json.dumps(DOCUMENT))
    session = Session.create(tmp_path, "live", Redactor())
    late = replace(COLLECTED, **{"at": "2026-09-01T12:00:00Z", **changes})
    write(session, late, server=SERVER, prefix="own_")
    assert last(tmp_path, SERVER, "own_") == AT


def test_what_is_confirmed_counts_without_numbers(tmp_path: Path) -> None:
    """A collection whose end the client told counts, though nothing was there to go."""
    session = Session.create(tmp_path, "live", Redactor())
    told = replace(COLLECTED, confirmed=True, rows_before=4, rows_after=4)
    write(session, told, server=SERVER, prefix="own_")
    assert last(tmp_path, SERVER, "own_") == AT


def test_the_newest_collection_counts(tmp_path: Path) -> None:
    """Of several the latest counts, also in a session that was begun before others and resumed."""
    for number, at in ((2, "2026-03-02T00:00:00Z"), (1, "2026-03-03T00:00:00Z"), (3, AT)):
        left(tmp_path, number, json.dumps({**DOCUMENT, "at": at}))
    assert last(tmp_path, SERVER, "own_") == "2026-03-03T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\x00",
        "[" * 100_000,
        json.dumps({**DOCUMENT, "format": 2}),
        json.dumps({**DOCUMENT, "format": True}),
        json.dumps({**DOCUMENT, "complete": 1}),
        json.dumps({**DOCUMENT, "at": "yesterday"}),
        json.dumps({**DOCUMENT, "at": "2026-13-01T12:00:00Z"}),
        json.dumps({**DOCUMENT, "at": None}),
        json.dumps({name: DOCUMENT[name] for name in DOCUMENT if name != "confirmed"}),
        json.dumps({"padding": "x" * 70_000, **DOCUMENT}),
    ],
    ids=range(14),
)
def test_a_damaged_file_is_passed_over(tmp_path: Path, text: str) -> None:
    """A file that is not as a session writes it tells nothing, and one before it still does."""
    left(tmp_path, 2, text)
    assert last(tmp_path, SERVER, "own_") == ""
    left(tmp_path, 1, json.dumps(DOCUMENT))
    assert last(tmp_path, SERVER, "own_") == AT


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither `latest`, nor a link in a session's place, nor one in the file's place is followed."""
    reports = tmp_path / "reports"
    elsewhere = left(tmp_path / "elsewhere", 1, json.dumps(DOCUMENT))
    reports.mkdir()
    (reports / "latest").symlink_to(elsewhere)
    (reports / elsewhere.name).symlink_to(elsewhere)
    left(reports, 5, None).joinpath("collection.json").symlink_to(elsewhere / "collection.json")
    os.mkfifo(left(reports, 6, None) / "collection.json")
    assert last(reports, SERVER, "own_") == ""


def test_other_folders_are_no_sessions(tmp_path: Path) -> None:
    """A folder that is not named as a session's is, and no folder at all, tell nothing."""
    left(tmp_path, 1, json.dumps(DOCUMENT)).rename(tmp_path / "backup")
    assert last(tmp_path, SERVER, "own_") == ""
    assert last(tmp_path / "absent", SERVER, "own_") == ""
