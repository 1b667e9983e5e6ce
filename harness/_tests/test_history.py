"""A history comes back from disk exactly, or is refused by line and kind."""

from __future__ import annotations

import io
import json
import math
import stat
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import history
from harness.errors import EvidenceError, HarnessError
from harness.model import (
    Called,
    Finding,
    FindingKind,
    Moment,
    Observed,
    Part,
    Planted,
    Predicted,
    Record,
    RunClosed,
    TableState,
    Trace,
)
from harness.redaction import NUMBER_MARK, Redactor

if TYPE_CHECKING:
    from pathlib import Path

    from harness.model import History

DIGEST = "0123456789abcdef" * 2
RECORDS: History = (
    Planted("r1", (Trace("messageStore", "chats", "key_remote_jid", 2, (("user JID", 2),)),), 7),
    Observed(
        "r1",
        Part.JUDGED,
        Moment.AFTER,
        "2026-11-21T10:11:12Z",
        0.25,
        4096,
        (TableState("messageStore", "chats", 1, 0, 3, DIGEST, DIGEST),),
        (),
    ),
    Predicted("r1", (Finding(FindingKind.TRACE, "mysql", "s", "t", "c", "", 1, "kept"),)),
    Called("r1", "number", 3, 0.5),
    RunClosed("r1", "2026-11-21T10:11:13Z"),
)


def _finite(value: object) -> bool:
    """Return whether JSON can hold all numbers in a record."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, tuple):
        return all(map(_finite, value))
    if is_dataclass(value):
        return all(_finite(getattr(value, field.name)) for field in fields(value))
    return True


@settings(database=None, deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(get_args(Record)).flatmap(st.from_type).filter(_finite), max_size=5)
)
def test_any_history_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    """What is read is equal to what was written, for records of every kind."""
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    assert history.write(path, records, durable=False) == len(records)
    assert history.read(path) == tuple(records)


def test_every_kind_is_covered() -> None:
    """The property above draws from every kind of record that the model knows."""
    assert len(get_args(Record)) >= 10


def test_records_are_appended_one_by_one(tmp_path: Path) -> None:
    """A record is in the file before the next one is asked for, and the file is private."""
    path = tmp_path / "history.jsonl"
    history.write(path, RECORDS[:2])
    seen = []

    def acting() -> object:
        for record in RECORDS[2:]:
            yield record
            seen.append(len(history.read(path)))

    history.write(path, acting())  # type: ignore[arg-type]  # a generator of records
    assert seen == [3, 4, 5]
    assert history.read(path) == RECORDS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_open_stream_stays_open() -> None:
    """A caller's own stream is written to and left open."""
    stream = io.BytesIO()
    assert history.write(stream, RECORDS, durable=False) == len(RECORDS)
    assert stream.getvalue().count(b"\n") == len(RECORDS)


def test_merging_is_associative() -> None:
    """It does not matter in which order histories are brought together two by two."""
    one, two, three = RECORDS[:1], RECORDS[1:3], RECORDS[3:]
    left = history.merge(history.merge(one, two), three)
    right = history.merge(one, history.merge(two, three))
    assert left == right == history.merge(one, two, three) == RECORDS
    assert history.merge() == ()


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_cut_off_history_says_so(tmp_path: Path, cut: int) -> None:
    """A history that a crash cut off is refused by line, and not appended to."""
    path = tmp_path / "history.jsonl"
    history.write(path, RECORDS)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(HarnessError, match=f"ends in the middle of line {len(RECORDS)}:"):
        history.read(path)
    with pytest.raises(EvidenceError, match="incomplete"):
        history.write(path, RECORDS)


def _line(**changes: object) -> str:
    document = {"run": "r1", "form": "number", "affected_rows": 3, "duration_s": 0.5}
    return json.dumps({**document, "record": "Called", **changes})


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (_line(record="Rumour"), "record"),
        (_line(record=["Called"]), "record"),
        (_line(extra="content"), "Called"),
        (_line(affected_rows="3"), "Called"),
        (_line(affected_rows=3.0), "Called"),
        (_line(run=1), "Called"),
        (_line(run=None), "Called"),
        (json.dumps({"record": "RunClosed", "run": "content"}), "RunClosed"),
        (
            json.dumps({"record": "Planted", "run": "r", "traces": [{}], "bystander_rows": 1}),
            "Planted",
        ),
        ('["content"]', "record"),
        ("content", "record"),
        ("", "record"),
        ("\ufeff" + _line(), "record"),
    ],
)
def test_a_changed_line_is_refused_by_line_and_kind(tmp_path: Path, line: str, kind: str) -> None:
    """An unknown record, a field too many or too few, or another type is refused, unquoted."""
    path = tmp_path / "history.jsonl"
    history.write(path, RECORDS[:2])
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    with pytest.raises(
        HarnessError, match=f"line 3 of the history is not a valid {kind}:"
    ) as error:
        history.read(path)
    assert "content" not in str(error.value)
    assert error.value.__cause__ is None


def test_an_unchanged_line_is_accepted(tmp_path: Path) -> None:
    """The line that the refusals above depart from is itself a record."""
    path = tmp_path / "history.jsonl"
    history.write(path, [Called("r1", "number", 3, 0.5)])
    assert json.loads(path.read_text()) == json.loads(_line())


def test_a_default_left_out_is_refused(tmp_path: Path) -> None:
    """A field that has a default must be there all the same: the writer never leaves it out."""
    path = tmp_path / "history.jsonl"
    history.write(path, RECORDS[1:2])
    document = json.loads(path.read_text())
    del document["unsearched"]
    path.write_text(json.dumps(document) + "\n")
    with pytest.raises(HarnessError, match="line 1 of the history is not a valid Observed"):
        history.read(path)


def test_a_number_that_json_lacks_is_refused(tmp_path: Path) -> None:
    """Infinity has no JSON form: the record is refused by kind and nothing is written."""
    path = tmp_path / "history.jsonl"
    with pytest.raises(HarnessError, match="Called"):
        history.write(path, [Called("r1", "number", 3, math.inf)])
    assert history.read(path) == ()


def test_a_history_passes_the_redactor(tmp_path: Path) -> None:
    """With a redactor, a number in a sentence is gone and the record can be read again."""
    path = tmp_path / "history.jsonl"
    number = f"1{365}{555}{142:04d}"  # in pieces, for Hypothesis records the constants of sources
    history.write(path, [*RECORDS, RunClosed(number, "")], redactor=Redactor())
    assert history.read(path) == (*RECORDS, RunClosed(NUMBER_MARK, ""))


@pytest.mark.parametrize("place", ["missing/history.jsonl", "."])
def test_an_unusable_file_is_an_evidence_error(tmp_path: Path, place: str) -> None:
    """A missing folder, or a folder in the file's place, is one sentence with the cause."""
    with pytest.raises(EvidenceError):
        history.read(tmp_path / place)
    with pytest.raises(EvidenceError):
        history.write(tmp_path / place, RECORDS)
