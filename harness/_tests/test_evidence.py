"""A session's folder is private, complete, and holds no number, whatever a test did."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from harness.errors import EvidenceError, RefusalError
from harness.evidence import allure_results, verdict
from harness.evidence.session import Session
from harness.model import Finding, FindingKind, Judgement, RunOpened, Verdict
from harness.redaction import NUMBER_MARK, Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "fixtures" / "verdict.schema.json").read_text(encoding="utf-8"))


def fictional(last: int) -> str:
    """Return a number in the range for fiction; in pieces, for Hypothesis records constants."""
    return "".join(("1", "365", "555", f"{100 + last:04d}"))


@pytest.fixture
def redactor() -> Redactor:
    """Know the numbers that the tests below give away."""
    known = Redactor()
    for last in range(60):
        known.register_number(fictional(last))
    return known


@pytest.fixture
def session(tmp_path: Path, redactor: Redactor) -> Session:
    """Open a verify session in an empty reports folder."""
    return Session.create(tmp_path / "reports", "verify", redactor)


# --- the folder -------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o700])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run under umasks that give others all, little or nothing; or the owner nothing."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_only_the_owner_can_read_a_session(tmp_path: Path, redactor: Redactor) -> None:
    """Folders have mode 0700 and files 0600, whatever the umask."""
    tmp_path.chmod(0o700)  # pytest may have made it under the umask of this test
    session = Session.create(tmp_path, "live", redactor)
    session.write_json("verdict.json", {})
    session.write_text("summary.txt", "CLEAR")
    session.run_folder(1)
    allure_results.write_environment(session, {"engine": "mysql"})
    for path in (session.folder, *session.folder.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path.name


def test_a_session_names_its_mode_and_time(session: Session) -> None:
    """The folder's name says when and in which mode, and survives redaction."""
    assert session.folder.parent.name == "reports"
    assert "-verify-" in session.name
    assert Redactor().redact(f"see {session.name}") == f"see {session.name}"
    assert session.run_folder(3).relative_to(session.folder).as_posix() == "runs/3"
    assert repr(session) == f"Session({session.name})"


def test_a_file_is_no_reports_folder(tmp_path: Path, redactor: Redactor) -> None:
    """A file, or a place below one, is refused in one sentence that names the way out."""
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(RefusalError, match="--reports"):
            Session.create(tmp_path / place, "verify", redactor)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Make a folder that may not be written, and give up root's right to do so all the same."""
    folder = tmp_path / "reports"
    folder.mkdir(mode=0o500)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(before)


def test_a_read_only_folder_is_refused(read_only: Path, redactor: Redactor) -> None:
    """A reports folder without the permission to write is refused."""
    with pytest.raises(RefusalError, match="Permission denied"):
        Session.create(read_only, "verify", redactor)


def test_a_full_folder_is_refused(
    tmp_path: Path, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that makes folders but takes no content is noticed at once; nothing stays."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    reports = tmp_path / fictional(1)
    with pytest.raises(RefusalError, match="No space left on device") as refusal:
        Session.create(reports, "verify", redactor)
    assert fictional(1) not in str(refusal.value)
    assert list(reports.iterdir()) == []


def test_only_a_session_is_taken_over(session: Session, redactor: Redactor) -> None:
    """Another process can take over a session, but neither a vanished one nor any folder."""
    assert Session(session.folder, "verify", redactor).folder == session.folder
    with pytest.raises(EvidenceError, match="gone"):
        Session(session.folder / "gone", "verify", redactor)
    with pytest.raises(EvidenceError, match=r"Session\.create"):
        Session(session.folder.parent, "verify", redactor)


def test_json_is_redacted_and_whole(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document passes the redactor; one that cannot be finished leaves the old one alone."""
    path = session.write_json("verdict.json", {fictional(1): [fictional(2)]})
    assert json.loads(path.read_text(encoding="utf-8")) == {NUMBER_MARK: [NUMBER_MARK]}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    before = path.read_bytes()
    with pytest.raises(EvidenceError, match="No space left"):
        session.write_json("verdict.json", {"new": "document"})
    assert path.read_bytes() == before
    assert [file.name for file in session.folder.iterdir()] == ["verdict.json"]


@pytest.mark.parametrize("name", ["../verdict.json", "runs/../../x", "", "."])
def test_nothing_is_written_outside(session: Session, name: str) -> None:
    """A name that leads out of the session's folder is refused."""
    with pytest.raises(EvidenceError):
        session.write_text(name, "text")
    with pytest.raises(EvidenceError):
        session.write_text(str(session.folder.parent / "elsewhere"), "text")


def test_the_sweep_finds_what_was_planted(session: Session, tmp_path: Path) -> None:
    """Files, names and links that hold a number are named, redacted; clean ones are not."""
    session.write_text("clean.txt", f"about {fictional(1)}")
    assert session.sweep() == ()
    runs = session.run_folder(1)
    (runs / "history.jsonl").write_text(f'{{"x": "\\u0020{fictional(1)}"}}')
    (runs / f"{fictional(2)}.txt").write_text("")
    (runs / "log").symlink_to(tmp_path / fictional(3))
    assert session.sweep() == ("runs/1/[number].txt", "runs/1/history.jsonl", "runs/1/log")


def test_latest_is_replaced_atomically(tmp_path: Path, redactor: Redactor) -> None:
    """While sessions finish side by side, the link always leads to a whole session."""
    reports = tmp_path / "reports"
    Session.create(reports, "verify", redactor).publish()
    done = threading.Event()
    broken: list[str] = []

    def finish() -> None:
        for _ in range(10):
            Session.create(reports, "verify", redactor).publish()

    def look() -> None:
        while not done.is_set():
            if not (reports / "latest").is_dir():
                broken.append("latest")

    reader = threading.Thread(target=look)
    writers = [threading.Thread(target=finish) for _ in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert not broken
    sessions = [path for path in reports.iterdir() if path.name != "latest"]
    assert len(sessions) == 41
    assert (reports / "latest").resolve() in sessions
    assert not (reports / "latest").readlink().is_absolute()


def test_a_folder_called_latest_is_left_alone(session: Session) -> None:
    """Something of the user's in the link's place is an error, and nothing is left aside."""
    (session.folder.parent / "latest").mkdir()
    with pytest.raises(EvidenceError, match="latest"):
        session.publish()
    assert len(list(session.folder.parent.iterdir())) == 2


# --- the verdict ------------------------------------------------------------------------

FINDING = Finding(
    FindingKind.TRACE, "mysql", "messageStore", "chats", "group_creator", "", 2, "kept"
)
NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
RUN = RunOpened(
    run="r1",
    case="plain",
    mode="verify",
    engine="mysql",
    engine_version="5.6.24",
    routine="documented",
    control=True,
    prefix="p_",
    subject="subject-a",
    at="2026-11-21T11:00:00Z",
)
SCOPE = verdict.Scope(("messageStore",), ("logs", "media", "engine files", "backups"))


def make_document(**changes: Any) -> dict[str, Any]:  # fields of any type
    """Return a verdict document with some of its statements changed."""
    statements: dict[str, Any] = {
        "judgement": Judgement(Verdict.TRACE, (FINDING,), (FINDING,), ("subject-a",)),
        "session": "20261121T110000Z-verify-bcdfghjk",
        "mode": "verify",
        "rows": "untouched",
        "scope": SCOPE,
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=30),
        "runs": [RUN],
        "timing": {"erase": 1.23456},
    }
    statements |= changes
    return verdict.document(statements.pop("judgement"), **statements)


def is_valid(document: object) -> bool:
    """Return whether the schema accepts a document."""
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return validator.is_valid(json.loads(json.dumps(document)))


def test_the_schema_is_one() -> None:
    """The schema itself is valid JSON Schema 2020-12, and every property is described."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    definitions = SCHEMA["$defs"]
    objects = [one for one in definitions.values() if one["type"] == "object"]
    assert len(objects) == 5
    for part in (SCHEMA, SCHEMA["properties"]["scope"], *objects):
        assert part["additionalProperties"] is False
        assert set(part["required"]) == set(part["properties"])
        for name, described in part["properties"].items():
            assert described.get("description") or described["$ref"], name
    assert "disposable" in SCHEMA["properties"]["rows"]["description"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"judgement": Judgement(Verdict.CLEAR, held=False)},
        {"judgement": Judgement(Verdict.UNKNOWN, subjects=("",)), "runs": []},
        {"mode": "live", "rows": "partial", "session": "20261121T110000Z-live-bcdfghjk"},
        {"partial": "only tests that match -k were run"},
    ],
)
def test_documents_satisfy_the_schema(session: Session, changes: dict[str, Any]) -> None:
    """What the harness writes is what the schema promises, before and after redaction."""
    document = make_document(**changes)
    assert is_valid(document)
    path = session.write_json("verdict.json", document)
    assert json.loads(path.read_text(encoding="utf-8")) == document


def test_a_document_says_what_it_was_told() -> None:
    """Times are UTC, durations are seconds, findings are split by whether they decide."""
    document = make_document()
    assert document["version"] == 5
    assert document["started_at"] == "2026-11-21T11:00:00Z"
    assert document["durations_s"] == {"erase": 1.235}
    assert document["findings"] == document["expected"]
    assert document["findings"][0]["kind"] == "trace"
    assert str(SCOPE) == "rows; not searched: logs, media, engine files, backups"
    assert str(verdict.Scope((), ())) == "rows"


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": "committed"},
        {"mode": "rehearse", "rows": "partial"},
        {"started_at": NOON.replace(tzinfo=None)},
        {"finished_at": NOON - timedelta(seconds=1)},
    ],
)
def test_a_contradiction_is_refused(changes: dict[str, Any]) -> None:
    """Real rows changed by a verify session, or times that cannot be, are errors."""
    with pytest.raises(EvidenceError):
        make_document(**changes)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"version": 1},
        {"verdict": "CLEAR"},
        {"mode": "verify", "rows": "committed"},
        {"started_at": "2026-11-21 11:00"},
        {"findings": [{"kind": "trace"}]},
        {"scope": {"grade": "files", "searched": [], "not_searched": []}},
        {"durations_s": {"erase": -1}},
    ],
)
def test_the_schema_refuses_what_it_should(change: dict[str, Any]) -> None:
    """The schema is strict enough to notice a changed document."""
    assert not is_valid({**make_document(), **change})
