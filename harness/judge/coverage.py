"""Rules about proof: a run that is not whole, or not proven to see, shows nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from harness.judge.runs import Run
from harness.model import (
    Called,
    CanaryFlown,
    ClosureFrozen,
    Erased,
    Finding,
    FindingKind,
    LogHolds,
    Mode,
    Moment,
    Observed,
    Part,
    PlanMade,
    Planted,
    Predicted,
    Record,
    RolledBack,
    RoutineFailed,
    RunClosed,
    RunOpened,
    Withheld,
    Witnessed,
)

_Need = tuple[str, Collection[str], tuple[type[Record], ...]]
# What a whole run has, in which modes, by the records that show it.
_NEEDED: Final[tuple[_Need, ...]] = (
    ("what was planted", {Mode.VERIFY}, (Planted,)),
    ("an erasure", {Mode.VERIFY}, (Called, Erased, RolledBack, RoutineFailed)),
    ("a frozen closure", {Mode.REHEARSE, Mode.AUDIT, Mode.LIVE}, (ClosureFrozen,)),
    ("a plan that was carried out and rolled back", {Mode.REHEARSE}, (Withheld, RolledBack)),
    ("the plan's digest", {Mode.REHEARSE}, (PlanMade, RolledBack)),
    ("the proof that its search sees", {Mode.AUDIT}, (Witnessed,)),
    ("an erasure", {Mode.LIVE}, (Erased, RolledBack)),
)
# When it must have looked at every row.
_LOOKED: Final[Mapping[str, tuple[Moment, ...]]] = {
    Mode.VERIFY: (Moment.BEFORE, Moment.AFTER),
    Mode.REHEARSE: (Moment.BEFORE, Moment.INSIDE),
    Mode.AUDIT: (Moment.AFTER,),
    Mode.LIVE: (Moment.BEFORE, Moment.AFTER),
}


def unfinished(run: Run) -> Iterator[Finding]:
    """A run that failed, stopped half way or left something out proves nothing."""
    for failed in run.failures:
        why = f"{failed.error}: {failed.sentence}"
        yield run.finding(FindingKind.COVERAGE, why, surface=f"phase {failed.phase}")
    if run.undecided:
        why = "a commit was sent and not answered: finish it with --resume and this session"
        yield run.finding(FindingKind.COVERAGE, why, surface="commit")
    if not run.failures:
        for lacking in _lacking(run):
            why = f"the run is not whole: it lacks {lacking}"
            yield run.finding(FindingKind.COVERAGE, why, surface=f"run {run.opened.run}")


def _lacking(run: Run) -> Iterator[str]:
    """Name what a whole run has and this one does not."""
    if len(run.all(RunOpened)) != 1:
        yield "one beginning"
    mode = run.opened.mode if run.opened.mode in _LOOKED else Mode.VERIFY
    for name, modes, kinds in _NEEDED:
        if mode in modes and not any(isinstance(record, kinds) for record in run.records):
            yield name
    if run.opened.control and not run.all(Predicted):
        yield "a prediction"
    observed = run.all(Observed)
    for part in sorted({one.part for one in observed} | {Part.JUDGED}):
        for moment in _LOOKED[mode]:
            if not any(one.tables for one in observed if (one.part, one.moment) == (part, moment)):
                yield f"a sweep of the {part} set {moment} the erasure"
    if not run.all(RunClosed):
        yield "its last phase"


def rolled_back(run: Run) -> Iterator[Finding]:
    """An erasure that was not clear inside its transaction was not committed."""
    for rolled_back in run.all(RolledBack):
        yield run.finding(FindingKind.COVERAGE, rolled_back.why, surface="erasure rolled back")


def canary(run: Run) -> Iterator[Finding]:
    """Every erasure by the plan must have proven itself on the canary first."""
    flights = run.all(CanaryFlown)
    good = [f for f in flights if f.planted_cells == f.seen_cells > f.left_cells == 0]
    if len(good) < len(run.all(Erased)) + len(run.all(Withheld)):
        why = "the canary was not seen in full, or not erased in full"
        yield run.finding(FindingKind.COVERAGE, why, surface="canary")


def witnessed(run: Run) -> Iterator[Finding]:
    """Somebody known to be there must be found again, or a read-only search is blind."""
    for one in run.all(Witnessed):
        if not one.known_cells:
            why = "nobody was found to prove the search on: the stores name no one"
            yield run.finding(FindingKind.COVERAGE, why, surface="self-proof")
        elif one.found_cells < one.known_cells:
            missed = one.known_cells - one.found_cells
            why = f"of {one.known_cells} cells known to name somebody, {missed} were not found"
            yield run.finding(FindingKind.COVERAGE, why, surface="self-proof", count=missed)


def logged(run: Run) -> Iterator[Finding]:
    """Where a log of the server's received the number, that log is not clean."""
    for one in run.all(LogHolds):
        why = f"the {one.log} holds the call with the number: scrub or expire that log"
        yield run.finding(FindingKind.SURFACE, why, surface=one.log)


def unsearched(run: Run) -> Iterator[Finding]:
    """A surface in scope that was not searched in full leaves the verdict open."""
    for observed in run.all(Observed):
        for gap in observed.unsearched:
            yield run.finding(FindingKind.COVERAGE, gap.why, place=(gap.store, gap.table, ""))
