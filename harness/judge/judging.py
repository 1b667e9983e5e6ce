"""Ask every rule of each run, set aside what was predicted, and add up what is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from harness.judge import (
    capacity,
    collection,
    conduct,
    coverage,
    files,
    gate,
    rows,
    schema,
    sight,
)
from harness.judge.runs import Run, runs_of
from harness.model import (
    Drifted,
    FilesObserved,
    Finding,
    FindingKind,
    History,
    Judgement,
    Mode,
    Moment,
    Predicted,
    Probed,
    Verdict,
)

Rule = Callable[[Run], Iterator[Finding]]
RULES: Final[tuple[Rule, ...]] = (
    coverage.unfinished,
    coverage.rolled_back,
    coverage.canary,
    coverage.witnessed,
    coverage.logged,
    coverage.unsearched,
    rows.blind,
    rows.unaccounted,
    rows.traces,
    rows.collateral,
    files.whole,
    files.blind,
    files.proven,
    files.traces,
    files.gaps,
    collection.unended,
    collection.unseen,
    conduct.left_behind,
    conduct.routine_failed,
    rows.drift,
)
EXAMINATION_RULES: Final[tuple[Rule, ...]] = (
    conduct.unexamined,
    conduct.credulous,
    conduct.own_identity,
    conduct.transaction,
    conduct.half_way,
    conduct.told,
    conduct.catalog,
    conduct.routine_failed,
)
GATE_RULES: Final[tuple[Rule, ...]] = (
    gate.whole,
    gate.version,
    gate.foreign,
    gate.settings,
    capacity.messages,
    capacity.dead,
    capacity.disk,
    capacity.pending,
    capacity.logs,
    capacity.overdue,
    sight.uncounted,
    sight.hidden,
    collection.unended,
    schema.lacking,
)


def judge(history: History) -> Judgement:
    """Judge every run of a history, and all of them together.

    Findings that differ only in the run they came from are added up. A history without a
    run is UNKNOWN: nothing was looked at.
    """
    runs = list(runs_of(history))
    if not runs:
        nothing = Finding(FindingKind.COVERAGE, "", "", "", "", "session", 1, "nothing was run")
        return Judgement(Verdict.UNKNOWN, (nothing,))
    judgements = [judge_run(run) for run in runs]
    return Judgement(
        verdict=Verdict.worst(*(judgement.verdict for judgement in judgements)),
        findings=_added_up(finding for judgement in judgements for finding in judgement.findings),
        expected=_added_up(finding for judgement in judgements for finding in judgement.expected),
        subjects=tuple(sorted({one for judgement in judgements for one in judgement.subjects})),
        held=any(judgement.held for judgement in judgements),
    )


def judge_run(run: Run) -> Judgement:
    """Judge one run: apply every rule; in a control, set aside what was predicted."""
    found = _found(run)
    control = run.opened.control
    findings = tuple(unpredicted(run)) if control else found
    return Judgement(
        verdict=Verdict.worst(*(finding.kind.verdict for finding in findings)),
        findings=findings,
        expected=(
            tuple(one for one in found if one.fact in _predicted(run))
            if control
            else tuple(_accepted(run))
        ),
        subjects=(run.opened.subject,) if run.opened.subject else (),
        held=_held(run),
    )


def unpredicted(run: Run) -> list[Finding]:
    """Return where a run departs from its prediction: findings too many, and findings missing.

    A predicted finding that does not appear is itself a finding: a detector may be blind.
    """
    found, predicted = _found(run), _predicted(run)
    # A run that was cut off saw nothing afterwards, and has its own finding.
    expected = predicted if run.last or run.all(Probed) else {}
    missing = [expected[fact] for fact in expected.keys() - {finding.fact for finding in found}]
    return [
        *(finding for finding in found if finding.fact not in predicted),
        *(
            replace(
                one, kind=FindingKind.COVERAGE, why=f"predicted but not seen: {one.kind}, {one.why}"
            )
            for one in sorted(missing)
        ),
    ]


def _found(run: Run) -> tuple[Finding, ...]:
    """Apply every rule; a finding that was predicted takes the prediction's better reason."""
    predicted = _predicted(run)
    rules = EXAMINATION_RULES if run.opened.examination else RULES
    if run.opened.mode == Mode.GATE:
        rules = GATE_RULES
    found = (finding for rule in rules for finding in rule(run))
    return tuple(predicted.get(finding.fact, finding) for finding in found)


def _predicted(run: Run) -> dict[tuple[object, ...], Finding]:
    return {one.fact: one for record in run.all(Predicted) for one in record.findings}


def _accepted(run: Run) -> Iterator[Finding]:
    """Yield what is shown and never decides: accepted drift, media that stay, remarks of a gate."""
    yield from files.shared(run)
    yield from gate.remarks(run)
    yield from schema.remarks(run)
    for one in run.all(Drifted):
        if one.accepted:
            place = (one.store, one.table, one.column)
            yield run.finding(FindingKind.DRIFT, f"accepted: {one.why}", place=place)


def _held(run: Run) -> bool:
    if run.opened.examination:
        return False
    before = [one for one in run.all(FilesObserved) if one.moment is not Moment.INSIDE]
    in_files = any(one.traces for one in before)
    return in_files or run.first is None or bool(run.first.traces)


def _added_up(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    grouped: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for finding in findings:
        grouped[*finding.fact[:-1], finding.why].append(finding)
    return tuple(
        sorted(replace(same[0], count=sum(one.count for one in same)) for same in grouped.values())
    )
