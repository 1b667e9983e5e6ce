"""The verdict document: what `verdict.json` says, in the words of `fixtures/verdict.schema.json`.

Only names of places, counts, pseudonyms and sentences of our own go in. The document is a
contract with scripts: a change that could break a reader raises `VERSION`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final, Literal

from harness import __version__
from harness.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from harness.evidence.comparison import Comparison, Entry
    from harness.evidence.session import Mode
    from harness.model import Collected, Finding, Judgement, RunOpened, TableChange

VERSION: Final = 5

Rows = Literal["untouched", "committed", "partial"]
Grade = Literal["rows", "+files"]
FilesState = Literal["untouched", "scrubbed", "partial"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a verdict speaks about, and what it expressly does not."""

    searched: tuple[str, ...]
    not_searched: tuple[str, ...]
    grade: Grade = "rows"

    def __str__(self) -> str:
        """Say it in the words that follow every verdict."""
        if not self.not_searched:
            return self.grade
        return f"{self.grade}; not searched: {', '.join(self.not_searched)}"


@dataclass(frozen=True, slots=True)
class FileAccount:
    """What was done in files; see fixtures/verdict.schema.json for the fields."""

    state: FilesState
    searched: int
    content_bytes: int
    identifiers_masked: int
    names_masked: int
    media_removed: int
    media_shared: int
    media_absent: int
    withheld: bool


def document(  # noqa: PLR0913  # the fields of a document, all by name
    judgement: Judgement,
    *,
    session: str,
    mode: Mode,
    rows: Rows,
    scope: Scope,
    started_at: datetime,
    finished_at: datetime,
    runs: Iterable[RunOpened],
    timing: Mapping[str, float],
    partial: str | None = None,
    plans: Mapping[str, str] | None = None,
    changes: Mapping[str, Sequence[TableChange]] | None = None,
    files: FileAccount | None = None,
    collections: Iterable[Collected] = (),
    operator: str = "",
    ticket: str = "",
) -> dict[str, object]:
    """Return the verdict document of a session.

    Args:
        judgement: What the judge said about everything the session recorded.
        session: The name of the session's folder.
        mode: What kind of session it was.
        rows: The state of the real stores; a verify session leaves them untouched.
        scope: What was searched and what was not.
        started_at: When the session began; with a time zone.
        finished_at: When the last sweep was judged; with a time zone.
        runs: The opening records of the runs that were judged.
        timing: Wall-clock seconds by phase.
        partial: Why only a part of the scenarios was run; None if all were.
        plans: The digest of each run's plan, by the run's name.
        changes: What each run deleted and masked on real stores, or would have.
        files: What was done in files; None if none were in scope.
        collections: The garbage collections that the client was asked for.
        operator: Who ran it.
        ticket: Why.

    Raises:
        EvidenceError: The statements contradict each other, or a time has no zone.
    """
    _check(mode, rows, started_at, finished_at)
    return {
        "version": VERSION,
        "harness_version": __version__,
        "session": session,
        "mode": mode,
        "verdict": judgement.verdict.value,
        "held": judgement.held,
        "rows": rows,
        "files": asdict(files) if files else None,
        "collections": [_collection(one) for one in collections],
        "operator": operator,
        "ticket": ticket,
        "scope": {
            "grade": scope.grade,
            "searched": list(scope.searched),
            "not_searched": list(scope.not_searched),
        },
        "partial": partial,
        # A run that was cut off before it was opened has no subject.
        "subjects": [subject for subject in judgement.subjects if subject],
        "findings": [_finding(finding) for finding in judgement.findings],
        "expected": [_finding(finding) for finding in judgement.expected],
        "runs": [
            {
                **_run(run),
                "plan": (plans or {}).get(run.run, ""),
                "changes": [asdict(one) for one in (changes or {}).get(run.run, ())],
            }
            for run in runs
        ],
        "started_at": _utc(started_at),
        "finished_at": _utc(finished_at),
        "durations_s": {phase: round(seconds, 3) for phase, seconds in timing.items()},
        "baseline": None,
    }


def with_baseline(document: Mapping[str, object], comparison: Comparison) -> dict[str, object]:
    """Return a session's verdict document with how it differs from an earlier session."""
    told = {
        "session": comparison.session,
        "verdict": comparison.verdict.value,
        "compared": list(comparison.compared),
        "new": [_difference(entry) for entry in comparison.new],
        "gone": [_difference(entry) for entry in comparison.gone],
        "changed": [{**_difference(entry), "was": entry.was} for entry in comparison.changed],
        "unchanged": comparison.unchanged,
        "remarks": list(comparison.remarks),
    }
    return {**document, "baseline": told}


def _check(mode: Mode, rows: Rows, started_at: datetime, finished_at: datetime) -> None:
    """Refuse a document that would contradict itself.

    Raises:
        EvidenceError: It would.
    """
    if mode != "live" and rows != "untouched":
        message = f"a session in mode {mode} cannot have changed real stores; this is a bug"
        raise EvidenceError(message)
    if started_at.tzinfo is None or finished_at.tzinfo is None:
        message = "a time in evidence needs its time zone; this is a bug"
        raise EvidenceError(message)
    if finished_at < started_at:
        message = "the session ended before it began: the machine's clock was set back; run again"
        raise EvidenceError(message)


def _finding(finding: Finding) -> dict[str, object]:
    return {**asdict(finding), "kind": finding.kind.value}


def _collection(one: Collected) -> dict[str, object]:
    told = asdict(one)
    for name in ("run", "rows_before", "rows_after"):
        del told[name]
    nodes = [{**asdict(node), "outcome": node.outcome.value} for node in one.nodes]
    return {**told, "garbage": one.garbage.value, "nodes": nodes}


def _difference(entry: Entry) -> dict[str, object]:
    return {**_finding(entry.finding), "expected": entry.expected}


def _run(run: RunOpened) -> dict[str, object]:
    return {
        "run": run.run,
        "case": run.case,
        "engine": run.engine,
        "engine_version": run.engine_version,
        "routine": run.routine,
        "routine_digest": run.routine_digest,
        "control": run.control,
        "subject": run.subject,
        "at": run.at,
    }


def _utc(moment: datetime) -> str:
    """Return the moment as ISO 8601 in UTC, to the second, ending in Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
