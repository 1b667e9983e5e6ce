"""A session against an earlier one: what is compared, what is refused, and what is said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.errors import ConfigError
from harness.evidence import verdict
from harness.evidence.baseline import Reading, read_verdict, reading_of
from harness.evidence.comparison import Comparison, Entry, compare
from harness.evidence.session import Session
from harness.model import Finding, FindingKind, Judgement, RunOpened, Verdict
from harness.plugin import screen
from harness.redaction import Redactor

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((REPOSITORY / "fixtures" / "verdict.schema.json").read_text(encoding="utf-8"))
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SESSION = "20261121T120000Z-verify-bcdfghjk"
MYSQL, POSTGRES = "mysql:5.6", "postgres:10"


def found(column: str, count: int = 2, why: str = "kept", engine: str = MYSQL) -> Finding:
    """Return a trace in a column."""
    return Finding(FindingKind.TRACE, engine, "messageStore", "chats", column, "", count, why)


def ran(engine: str = MYSQL, routine: str = "hardened", **changes: Any) -> RunOpened:
    """Return the opening of a run; a hardened one is judged, another one is a control."""
    opened = RunOpened(
        run="r",
        case="plain",
        mode="verify",
        engine=engine,
        engine_version="5.6.24",
        routine=routine,
        control=routine != "hardened",
        prefix="p_",
        subject="subject-a",
        at="2026-11-21T12:00:00Z",
    )
    return replace(opened, **changes)


BOTH = (ran(), ran(routine="documented"))


def document(
    findings: tuple[Finding, ...] = (),
    expected: tuple[Finding, ...] = (),
    runs: tuple[RunOpened, ...] = BOTH,
    *,
    partial: str | None = None,
    worst: Verdict = Verdict.CLEAR,
) -> dict[str, Any]:
    """Return a session's verdict document."""
    decided = Verdict.worst(worst, *(finding.kind.verdict for finding in findings))
    return verdict.document(
        Judgement(decided, findings, expected, ("subject-a",)),
        session=SESSION,
        mode="verify",
        rows="untouched",
        scope=verdict.Scope(("every column",), ("logs",)),
        started_at=NOON,
        finished_at=NOON,
        runs=runs,
        timing={},
        partial=partial,
    )


def told(*arguments: Any, **named: Any) -> Reading:
    """Return what such a document says."""
    return reading_of(document(*arguments, **named))


def columns(entries: tuple[Entry, ...]) -> list[str]:
    """Return the columns that entries are about."""
    return [entry.finding.column for entry in entries]


# --- comparing --------------------------------------------------------------------------


def test_a_session_is_the_same_as_itself() -> None:
    """Two sessions with the same findings differ in nothing, and there is nothing to remark."""
    one = told((found("jid"),), (found("data"),))
    compared = compare(one, one)
    assert not compared.differs
    assert (compared.unchanged, compared.remarks, compared.compared) == (2, (), (MYSQL,))


@pytest.mark.parametrize("expected", [False, True], ids=["findings", "expected"])
def test_new_gone_and_changed_are_told_apart(*, expected: bool) -> None:
    """In either list, what came, what went and what has another count are three different things."""
    then = (found("same"), found("gone"), found("more", 3))
    now = (found("same"), found("more", 5), found("new"))
    one, other = (((), it) if expected else (it, ()) for it in (then, now))
    compared = compare(told(*one), told(*other))
    assert columns(compared.new) == ["new"]
    assert columns(compared.gone) == ["gone"]
    assert [(one.finding.count, one.was) for one in compared.changed] == [(5, 3)]
    assert compared.unchanged == 1
    assert {one.expected for one in (*compared.new, *compared.gone)} == {expected}


def test_another_wording_is_no_difference() -> None:
    """The same fact in other words is unchanged."""
    assert not compare(told((found("jid", why="old"),)), told((found("jid", why="new"),))).differs


@pytest.mark.parametrize(
    "change",
    [
        {"kind": FindingKind.DRIFT},
        {"store": "waweb"},
        {"table": "jobs"},
        {"column": "other"},
        {"surface": "other store set"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_anything_else_is_another_finding(change: dict[str, Any]) -> None:
    """Findings that differ in kind or in any part of their place are never the same."""
    compared = compare(told((found("jid"),)), told((replace(found("jid"), **change),)))
    assert (len(compared.new), len(compared.gone), compared.unchanged) == (1, 1, 0)


def test_one_place_may_have_several_findings() -> None:
    """Of several findings in one place the closest are paired, and only the one left over differs."""
    then = (found("jid", 2, "a"), found("jid", 5, "b"), found("jid", 7, "c"))
    lost = compare(told(then), told(then[::2]))
    assert [one.finding.count for one in lost.gone] == [5]
    assert not lost.changed
    recounted = compare(told(then), told((*then[:2], found("jid", 5, "c"))))
    assert [(one.finding.why, one.was) for one in recounted.changed] == [("c", 7)]
    assert recounted.unchanged == 2


def test_every_finding_is_counted_once() -> None:
    """New, changed and unchanged add up to the findings now; gone instead of new, to those then."""
    then = tuple(found("jid", count, why) for count in range(1, 6) for why in "abc")
    now = tuple(found("jid", count, why) for count in range(3, 9) for why in "bcd")
    compared = compare(told(then), told(now))
    both = len(compared.changed) + compared.unchanged
    assert len(compared.new) + both == len(now)
    assert len(compared.gone) + both == len(then)


def test_what_was_expected_and_now_decides_is_new() -> None:
    """A finding that moves from the expected ones to those that decide is gone there and new here."""
    compared = compare(told((), (found("jid"),)), told((found("jid"),), ()))
    assert [one.expected for one in compared.new] == [False]
    assert [one.expected for one in compared.gone] == [True]


def test_an_engine_that_one_session_ran_is_not_compared() -> None:
    """Findings on an engine that only one session ran are neither new nor gone, and a remark says so."""
    postgres = found("jid", engine=POSTGRES)
    alone = told((found("jid"),))
    both = told((found("jid"), postgres), runs=(*BOTH, ran(POSTGRES)))
    for then, now, who in ((alone, both, "only this session"), (both, alone, "only the baseline")):
        compared = compare(then, now)
        assert not compared.differs
        assert compared.remarks == (f"not comparable: {POSTGRES}, which {who} ran",)
        assert compared.compared == (MYSQL,)


def test_another_judged_routine_is_not_compared() -> None:
    """Findings about another routine are other findings: nothing is new or gone, and a remark says so."""
    documented = told((found("jid"),), runs=(ran(routine="documented", control=False),))
    compared = compare(documented, told(runs=(ran(),)))
    assert (compared.differs, compared.compared) == (False, ())
    assert compared.remarks == (f"not comparable: {MYSQL}: judged was documented, now hardened",)


def test_without_a_control_expected_findings_are_not_compared() -> None:
    """Where only one session ran a control its expected findings are left out, the others compared."""
    compared = compare(told((found("a"),), (found("b"),)), told((found("c"),), runs=(ran(),)))
    assert columns(compared.new) == ["c"]
    assert columns(compared.gone) == ["a"]
    (remark,) = (one for one in compared.remarks if "not comparable" in one)
    assert "expected findings" in remark
    assert remark.endswith("the control was documented, now none")


def test_what_a_session_says_of_itself_is_compared() -> None:
    """A finding that belongs to no engine, such as a skipped scenario, is compared as well."""
    skipped = Finding(FindingKind.COVERAGE, "", "", "", "", "scenario x", 1, "was skipped")
    assert compare(told(), told((skipped,))).new == (Entry(expected=False, finding=skipped),)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "live"}, "not comparable: the baseline is of mode live"),
        ({"scope": verdict.Scope(("every column",), ())}, "scope was another one"),
        ({"partial": "3 scenarios were deselected"}, "the baseline was partial"),
        ({"harness_version": "0.0.9"}, "the harness was 0.0.9, now"),
        ({"verdict": Verdict.UNKNOWN}, "the baseline is UNKNOWN"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_makes_a_comparison_doubtful_is_remarked(change: dict[str, Any], says: str) -> None:
    """Another mode, scope or harness, a part of the scenarios and an open verdict are each remarked."""
    compared = compare(replace(told(), **change), told())
    (remark,) = compared.remarks
    assert says in remark


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (ran(engine_version="5.6.51"), f"{MYSQL} was 5.6.24 and 5.6.51, now 5.6.24"),
        (ran(case="crowd"), f"the cases on {MYSQL} were others (3 runs, now 2)"),
    ],
)
def test_other_servers_and_other_cases_are_remarked(run: RunOpened, says: str) -> None:
    """A server of another release, and cases that only one session ran, are remarked."""
    remarks = compare(told(runs=(*BOTH, run)), told()).remarks
    assert f"compare with care: {says}" in remarks


# --- reading ----------------------------------------------------------------------------


def saved(folder: Path, content: object) -> Path:
    """Write what may be a verdict document, and return its path."""
    path = folder / "verdict.json"
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(data)
    return path


def first_version(written: dict[str, Any]) -> dict[str, Any]:
    """Return a document as harnesses wrote it before there was a baseline."""
    later = {"baseline", "operator", "ticket"}
    runs = [
        {name: value for name, value in run.items() if name not in {"plan", "changes"}}
        for run in written["runs"]
    ]
    kept = {name: value for name, value in written.items() if name not in later}
    return kept | {"version": 1, "runs": runs}


def test_both_versions_are_read(tmp_path: Path) -> None:
    """A document is read the same with and without the fields that later versions added."""
    written = document((found("jid"),), (found("data"),))
    read = read_verdict(saved(tmp_path, written))
    assert read.findings == (found("jid"),)
    assert [run.routine for run in read.runs] == ["hardened", "documented"]
    assert read_verdict(saved(tmp_path, first_version(written))) == read


def changed(*path: str | int, to: Any) -> Callable[[dict[str, Any]], object]:
    """Return a function that changes one field, deep in a document."""

    def change(written: dict[str, Any]) -> object:
        made: Any = deepcopy(written)
        inner = made
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = to
        return made

    return change


SPOILED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "empty": (lambda _: b"", "no verdict document"),
    "no JSON": (lambda _: b'{"hushhush', "no verdict document"),
    "no text": (lambda _: b"\xff\xfe\x00hushhush", "no verdict document"),
    "too deep": (lambda _: b"[" * 100_000, "no verdict document"),
    "a list": (lambda one: [one], "no verdict document"),
    "no version": (lambda _: {"name": "hushhush"}, "no verdict document"),
    "version as text": (changed("version", to="2"), "no verdict document"),
    "version as flag": (changed("version", to=True), "no verdict document"),
    "later version": (changed("version", to=6), "version other than"),
    "version only": (lambda _: {"version": 2}, "not as a harness writes it"),
    "session": (changed("session", to="hushhush"), "not as a harness writes it"),
    "verdict": (changed("verdict", to="hushhush"), "not as a harness writes it"),
    "mode": (changed("mode", to="hushhush"), "not as a harness writes it"),
    "grade": (changed("scope", "grade", to="hushhush"), "not as a harness writes it"),
    "kind": (changed("findings", 0, "kind", to="hushhush"), "not as a harness writes it"),
    "count as text": (changed("findings", 0, "count", to="2"), "not as a harness writes it"),
    "count as fraction": (changed("findings", 0, "count", to=2.0), "not as a harness writes it"),
    "count as flag": (changed("findings", 0, "count", to=True), "not as a harness writes it"),
    "count below 0": (changed("findings", 0, "count", to=-1), "not as a harness writes it"),
    "place as number": (changed("findings", 0, "table", to=1), "not as a harness writes it"),
    "extra field": (changed("findings", 0, "hushhush", to=""), "not as a harness writes it"),
    "findings": (changed("findings", to={}), "not as a harness writes it"),
    "expected": (changed("expected", to=None), "not as a harness writes it"),
    "run": (changed("runs", 0, to="hushhush"), "not as a harness writes it"),
    "control": (changed("runs", 0, "control", to="yes"), "not as a harness writes it"),
    "partial": (changed("partial", to=1), "not as a harness writes it"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILED.values(), ids=SPOILED.keys())
def test_what_is_no_verdict_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], says: str
) -> None:
    """Whatever is not exactly a verdict document is refused in a sentence that quotes none of it."""
    path = saved(tmp_path, spoil(document((found("jid"),))))
    with pytest.raises(ConfigError, match=says) as refused:
        read_verdict(path)
    assert "hushhush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent.json", "cannot be read"), ("folder", "not a file"), ("pipe", "not a file")],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, says: str) -> None:
    """A path that leads nowhere, to a folder or to a pipe is refused at once."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=says):
        read_verdict(tmp_path / name)


# --- the document -----------------------------------------------------------------------


def test_a_compared_document_satisfies_the_schema() -> None:
    """A document with new, gone and changed findings is valid, and a field too many is noticed."""
    now = document((found("new"), found("more", 5)))
    compared = compare(told((found("gone"), found("more", 3))), reading_of(now))
    written: dict[str, Any] = verdict.with_baseline(now, compared)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(written)
    for part in ("new", "gone", "changed"):
        assert len(written["baseline"][part]) == 1
        assert not validator.is_valid(changed("baseline", part, 0, "extra", to=1)(written))
    assert not validator.is_valid(changed("baseline", "unchanged", to=-1)(written))
    assert {part["was"] for part in written["baseline"]["changed"]} == {3}
    assert reading_of(written) == reading_of(now)


def test_a_number_in_the_baseline_is_not_written(tmp_path: Path) -> None:
    """A number that somebody put into the old file is redacted when it would be written anew."""
    number = "1541" + "5550123"
    then = told((found(number, why=f"kept {number}"),))
    session = Session.create(tmp_path, "verify", Redactor())
    compared = compare(then, told())
    path = session.write_json("verdict.json", verdict.with_baseline(document(), compared))
    assert columns(compared.gone) == [number]
    assert number not in path.read_text(encoding="utf-8")
    assert "[number]" in path.read_text(encoding="utf-8")


# --- the screen -------------------------------------------------------------------------


def shown(compared: Comparison) -> list[str]:
    """Return the lines about the baseline on the last screen."""
    return screen._against(compared).plain.splitlines()


def test_the_screen_says_what_differs() -> None:
    """Counts come first, then each place with its count; what decides stands before the expected."""
    then = told((found("gone"),), (found("more", 3),))
    lines = shown(compare(then, told((), (found("more", 5),))))
    assert lines == [
        f"against {SESSION}, which was TRACE: 0 new, 1 gone, 1 changed, 0 unchanged",
        f"gone: {MYSQL} trace messageStore.chats.gone 2",
        f"changed: {MYSQL} trace messageStore.chats.more 5 (expected), was 3",
    ]


def test_the_screen_says_that_nothing_differs() -> None:
    """The same findings, none at all, and nothing comparable are three different sentences."""
    assert shown(compare(told((found("a"),)), told((found("a"),)))) == [
        f"the same as {SESSION}: 1 finding unchanged"
    ]
    assert shown(compare(told(), told())) == [f"the same as {SESSION}: no findings"]
    other = told(runs=(ran(POSTGRES),))
    assert shown(compare(told(), other))[0] == f"not comparable with {SESSION}"


def test_the_screen_shows_a_bounded_number_of_places() -> None:
    """However much differs, the screen names a dozen places and refers to verdict.json for the rest."""
    many = tuple(found(f"column_{letter}") for letter in "abcdefghijklmnopqrst")
    lines = shown(compare(told(), told(many)))
    assert len(lines) == 14
    assert lines[-1] == "and 8 more in verdict.json"


def test_a_baseline_cannot_steer_the_terminal() -> None:
    """Control characters in names from the old file are not printed, and brackets are no markup."""
    lines = shown(compare(told((found("\x1b[31m\nred[bold]"),)), told()))
    assert lines[1].endswith("?[31m?red[bold] 2")
    assert len(lines) == 2


# --- end to end -------------------------------------------------------------------------


def run(*arguments: str, reports: Path) -> subprocess.CompletedProcess[str]:
    """Run a session of one scenario in one case, on one engine, to its end."""
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--reports={reports}"),
        *("--engine=mysql", "--routine=documented", "-k", "everywhere", *arguments),
        f"{REPOSITORY}/scenarios/erasure/test_erasure.py::test_nothing_of_the_subject_remains",
    ]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )


def newest(reports: Path) -> dict[str, Any]:
    """Return the newest session's verdict, checked against its schema."""
    path = reports / "latest" / "verdict.json"
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(written, SCHEMA)
    return written


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The verdict of a session that was run once for all tests here."""
    reports = tmp_path_factory.mktemp("earlier")
    done = run(reports=reports)
    assert done.returncode == 1, done.stdout + done.stderr
    assert newest(reports)["baseline"] is None
    assert not re.search(r"^baseline ", done.stdout, re.MULTILINE)
    return newest(reports)


def test_the_same_again_is_the_same(tmp_path: Path, earlier: dict[str, Any]) -> None:
    """Run twice, a session says that all its findings are unchanged, and its exit status stays."""
    old = saved(tmp_path, earlier)
    done = run(f"--baseline={old}", reports=tmp_path / "reports")
    assert done.returncode == 1, done.stdout + done.stderr
    count = len(earlier["findings"])
    assert count > 10
    assert f"the same as {earlier['session']}: {count} findings unchanged" in done.stdout
    compared = newest(tmp_path / "reports")["baseline"]
    assert (compared["new"], compared["gone"], compared["changed"]) == ([], [], [])
    assert compared["unchanged"] == count
    assert compared["remarks"] == ["compare with care: both were partial"]


def test_an_edited_baseline_shows_each_difference(tmp_path: Path, earlier: dict[str, Any]) -> None:
    """One finding taken out, one put in and one recounted in the old file are new, gone and changed."""
    old = first_version(deepcopy(earlier))
    new, recounted = old["findings"].pop(0), old["findings"][3]
    recounted["count"] += 2
    number = "1541" + "5550123"
    old["findings"].append({**new, "table": "left", "column": number})
    done = run(f"--baseline={saved(tmp_path, old)}", reports=tmp_path / "reports")
    assert done.returncode == 1, done.stdout + done.stderr
    screen_text = re.sub(r"\s+", " ", done.stdout)
    unchanged = len(earlier["findings"]) - 2
    assert f"1 new, 1 gone, 1 changed, {unchanged} unchanged" in screen_text
    assert f"new: {MYSQL} trace {new['store']}.{new['table']}.{new['column']}" in screen_text
    assert (
        f"{recounted['column']} {recounted['count'] - 2}, was {recounted['count']}" in screen_text
    )
    compared = newest(tmp_path / "reports")["baseline"]
    assert compared["new"] == [{**new, "expected": False}]
    assert [one["was"] for one in compared["changed"]] == [recounted["count"]]
    assert [one["column"] for one in compared["gone"]] == ["[number]"]
    assert number not in done.stdout + (tmp_path / "reports/latest/verdict.json").read_text("utf-8")


def test_what_redaction_changed_is_the_same(tmp_path: Path) -> None:
    """A finding whose place held a number, redacted in the old file, is found again as unchanged."""
    number = "1541" + "5550123"
    scenario = tmp_path / "test_planted.py"
    skip = f"import pytest\ndef test_everywhere_{number}():\n    pytest.skip('no time')\n"
    scenario.write_text(skip, encoding="utf-8")
    anywhere = (f"--rootdir={REPOSITORY}", f"--confcutdir={REPOSITORY}", f"-c{REPOSITORY}/tox.ini")
    done = run(str(scenario), *anywhere, reports=tmp_path / "one")
    assert done.returncode == 10, done.stdout + done.stderr
    old = newest(tmp_path / "one")
    assert any("[number]" in finding["surface"] for finding in old["findings"])
    again = f"--baseline={saved(tmp_path, old)}"
    run(str(scenario), *anywhere, again, reports=tmp_path / "two")
    compared = newest(tmp_path / "two")["baseline"]
    assert (compared["new"], compared["gone"]) == ([], [])
    assert compared["unchanged"] == len(old["findings"])


@pytest.mark.parametrize("content", [b"hushhush", {"version": 3}, {"version": 2}, None], ids=str)
def test_a_baseline_that_is_none_is_refused(tmp_path: Path, content: object) -> None:
    """A bad baseline exits 4 with one sentence, before there is a session or a server."""
    path = tmp_path / "absent" if content is None else saved(tmp_path, content)
    done = run(f"--baseline={path}", reports=tmp_path / "reports")
    assert done.returncode == 4, done.stdout
    assert "--baseline" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "hushhush" not in done.stdout + done.stderr
    assert not (tmp_path / "reports").exists()
