"""History -> verdict with findings: a pure function, so that it can be asked again.

Each rule is a function from one run's records to findings; a run's judgement is what its
rules found, and a session's is what its runs' were. Only unexpected findings decide: a
*control* is a run that must fail in exactly the way the manifest predicts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar, cast

from harness.model import (
    OTHER_SET,
    STOPPED,
    Called,
    CanaryFlown,
    CatalogChanged,
    ClosureFrozen,
    Committing,
    Drifted,
    Erased,
    Failed,
    Finding,
    FindingKind,
    History,
    Judgement,
    LeftBehind,
    LogHolds,
    Mode,
    Moment,
    Observed,
    Part,
    PlanMade,
    Planted,
    Predicted,
    Probe,
    Probed,
    Record,
    Resumed,
    RolledBack,
    RoutineFailed,
    RunClosed,
    RunOpened,
    Step,
    TableState,
    Told,
    Trace,
    Verdict,
    Withheld,
    Witnessed,
)

R = TypeVar("R", bound=Record)
_Needs = tuple[tuple[str, tuple[type[Record], ...]], ...]
_CLOSURE: Final[tuple[str, tuple[type[Record], ...]]] = ("a frozen closure", (ClosureFrozen,))
# What a whole run has, by its mode; and when it must have looked at every row.
_NEEDED: Final[Mapping[str, _Needs]] = {
    Mode.VERIFY: (
        ("what was planted", (Planted,)),
        ("an erasure", (Called, Erased, RolledBack, RoutineFailed)),
    ),
    Mode.REHEARSE: (
        _CLOSURE,
        ("a plan that was carried out and rolled back", (Withheld, RolledBack)),
        ("the plan's digest", (PlanMade, RolledBack)),
    ),
    Mode.AUDIT: (_CLOSURE, ("the proof that its search sees", (Witnessed,))),
    Mode.LIVE: (_CLOSURE, ("an erasure", (Erased, RolledBack))),
}
_WHEN: Final = {
    Moment.INSIDE: "when it was rolled back",
    Moment.AFTER: "after the erasure",
}
_LOOKED: Final[Mapping[str, tuple[Moment, ...]]] = {
    Mode.VERIFY: (Moment.BEFORE, Moment.AFTER),
    Mode.REHEARSE: (Moment.BEFORE, Moment.INSIDE),
    Mode.AUDIT: (Moment.AFTER,),
    Mode.LIVE: (Moment.BEFORE, Moment.AFTER),
}


@dataclass(frozen=True, slots=True)
class Run:
    """The records of one run, with the questions that rules ask of them."""

    opened: RunOpened
    records: tuple[Record, ...]

    def all(self, kind: type[R]) -> list[R]:
        """Return the run's records of one kind, in order."""
        return [cast("R", record) for record in self.records if isinstance(record, kind)]

    def judged(self, moment: Moment) -> list[Observed]:
        """Return the observations of the judged store set at a moment, in order."""
        return [
            observed
            for observed in self.all(Observed)
            if (observed.part, observed.moment) == (Part.JUDGED, moment)
        ]

    @property
    def first(self) -> Observed | None:
        """The judged store set as it was before anything was done."""
        return next(iter(self.judged(Moment.BEFORE)), None)

    @property
    def last(self) -> Observed | None:
        """The judged store set as the final sweep saw it.

        A rehearsal's is inside its transaction, and so is that of a run on real stores which
        was rolled back: after it, everything is there that was there before.
        """
        real = self.opened.mode in {Mode.LIVE, Mode.REHEARSE}
        undone = bool(self.all(RolledBack)) and not self.all(Erased)
        inside = self.opened.mode == Mode.REHEARSE or (real and undone)
        return next(reversed(self.judged(Moment.INSIDE if inside else Moment.AFTER)), None)

    @property
    def failures(self) -> list[Failed]:
        """What failed, since the run was last taken up."""
        resumed = [n for n, record in enumerate(self.records) if isinstance(record, Resumed)]
        since = self.records[resumed[-1] :] if resumed else self.records
        return [record for record in since if isinstance(record, Failed)]

    @property
    def undecided(self) -> list[Committing]:
        """Decisions to commit of which it is not known that they were carried out."""
        done = {one.round for one in self.all(Erased)} | {one.round for one in self.all(RolledBack)}
        pending = [one for one in self.all(Committing) if one.round not in done]
        # A later round that is over has looked at everything anew.
        return [one for one in pending if one.round > max(done, default=0)]

    def finding(
        self,
        kind: FindingKind,
        why: str,
        *,
        place: tuple[str, str, str] = ("", "", ""),
        surface: str = "",
        count: int = 1,
    ) -> Finding:
        """Return a finding about this run's engine."""
        return Finding(kind, self.opened.engine, *place, surface, count, why)


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
        subjects=tuple(sorted({run.opened.subject for run in runs})),
        held=any(judgement.held for judgement in judgements),
    )


def runs_of(history: History) -> Iterator[Run]:
    """Group a history's records by run, in the order in which runs were opened."""
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in history:
        grouped[record.run].append(record)
    for records in grouped.values():
        opened = next((record for record in records if isinstance(record, RunOpened)), None)
        # A crash may cut a history anywhere; what has no beginning is judged as unfinished.
        yield Run(opened or _headless(records[0].run), tuple(records))


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
        subjects=(run.opened.subject,),
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
    found = (finding for rule in rules for finding in rule(run))
    return tuple(predicted.get(finding.fact, finding) for finding in found)


def _predicted(run: Run) -> dict[tuple[object, ...], Finding]:
    return {one.fact: one for record in run.all(Predicted) for one in record.findings}


def _accepted(run: Run) -> Iterator[Finding]:
    """Yield the drift that the operator accepted: it is shown, and decides nothing."""
    for one in run.all(Drifted):
        if one.accepted:
            place = (one.store, one.table, one.column)
            yield run.finding(FindingKind.DRIFT, f"accepted: {one.why}", place=place)


def _held(run: Run) -> bool:
    return not run.opened.examination and (run.first is None or bool(run.first.traces))


def _headless(name: str) -> RunOpened:
    return RunOpened(name, "", "", "", "", "", control=False, prefix="", subject="", at="")


def _added_up(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    grouped: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for finding in findings:
        grouped[*finding.fact[:-1], finding.why].append(finding)
    return tuple(
        sorted(replace(same[0], count=sum(one.count for one in same)) for same in grouped.values())
    )


# --- rules ----------------------------------------------------------------------------------


def _unfinished(run: Run) -> Iterator[Finding]:
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
    for name, kinds in _NEEDED.get(run.opened.mode, _NEEDED[Mode.VERIFY]):
        if not any(isinstance(record, kinds) for record in run.records):
            yield name
    if run.opened.control and not run.all(Predicted):
        yield "a prediction"
    observed = run.all(Observed)
    moments = _LOOKED.get(run.opened.mode, _LOOKED[Mode.VERIFY])
    for part in sorted({one.part for one in observed} | {Part.JUDGED}):
        for moment in moments:
            if not any(one.tables for one in observed if (one.part, one.moment) == (part, moment)):
                yield f"a sweep of the {part} set {moment} the erasure"
    if not run.all(RunClosed):
        yield "its last phase"


def _rolled_back(run: Run) -> Iterator[Finding]:
    """An erasure that was not clear inside its transaction was not committed."""
    for rolled_back in run.all(RolledBack):
        yield run.finding(FindingKind.COVERAGE, rolled_back.why, surface="erasure rolled back")


def _canary(run: Run) -> Iterator[Finding]:
    """Every erasure by the plan must have proven itself on the canary first."""
    flights = run.all(CanaryFlown)
    good = [f for f in flights if f.planted_cells == f.seen_cells > f.left_cells == 0]
    if len(good) < len(run.all(Erased)) + len(run.all(Withheld)):
        why = "the canary was not seen in full, or not erased in full"
        yield run.finding(FindingKind.COVERAGE, why, surface="canary")


def _witnessed(run: Run) -> Iterator[Finding]:
    """Somebody known to be there must be found again, or a read-only search is blind."""
    for one in run.all(Witnessed):
        if not one.known_cells:
            why = "nobody was found to prove the search on: the stores name no one"
            yield run.finding(FindingKind.COVERAGE, why, surface="self-proof")
        elif one.found_cells < one.known_cells:
            missed = one.known_cells - one.found_cells
            why = f"of {one.known_cells} cells known to name somebody, {missed} were not found"
            yield run.finding(FindingKind.COVERAGE, why, surface="self-proof", count=missed)


def _logged(run: Run) -> Iterator[Finding]:
    """Where a log of the server's received the number, that log is not clean."""
    for one in run.all(LogHolds):
        why = f"the {one.log} holds the call with the number: scrub or expire that log"
        yield run.finding(FindingKind.SURFACE, why, surface=one.log)


def _unsearched(run: Run) -> Iterator[Finding]:
    """A surface in scope that was not searched in full leaves the verdict open."""
    for observed in run.all(Observed):
        for gap in observed.unsearched:
            yield run.finding(FindingKind.COVERAGE, gap.why, place=(gap.store, gap.table, ""))


def _blind(run: Run) -> Iterator[Finding]:
    """What was planted must be seen before the erasure, or the sweep is blind there."""
    before = run.first
    if before is None:
        return
    seen = {(trace.store, trace.table, trace.column): trace.cells for trace in before.traces}
    for planted in run.all(Planted):
        for trace in planted.traces:
            place = (trace.store, trace.table, trace.column)
            # Where others write, more of the subject may have come since.
            more = run.opened.shared and seen.get(place, 0) > trace.cells
            if seen.get(place, 0) != trace.cells and not more:
                why = f"{trace.cells} cells planted, {seen.get(place, 0)} seen before the erasure"
                yield run.finding(FindingKind.COVERAGE, why, place=place, count=trace.cells)
            for form, count in _forms_missing(trace, before.traces):
                why = f"not seen before the erasure: {form}"
                yield run.finding(FindingKind.COVERAGE, why, place=place, count=count)


def _forms_missing(planted: Trace, seen: Iterable[Trace]) -> Iterator[tuple[str, int]]:
    """Yield each planted form that was seen less often in its column, and by how much."""
    same = (trace for trace in seen if _same_place(planted, trace))
    found = {form: count for trace in same for form, count in trace.forms}
    for form, count in planted.forms:
        if (missing := count - found.get(form, 0)) > 0:
            yield form, missing


def _same_place(one: Trace, other: Trace) -> bool:
    return (one.store, one.table, one.column) == (other.store, other.table, other.column)


def _unaccounted(run: Run) -> Iterator[Finding]:
    """As many bystander rows must be read as were seeded: a table may have gone missing."""
    before = run.first
    for planted in run.all(Planted) if before and not run.opened.shared else ():
        rows = sum(state.bystander_rows for state in before.tables) if before else 0
        if rows != planted.bystander_rows:
            why = f"{planted.bystander_rows} bystander rows seeded, {rows} read"
            yield run.finding(
                FindingKind.COVERAGE, why, surface="rows", count=abs(rows - planted.bystander_rows)
            )


def _traces(run: Run) -> Iterator[Finding]:
    """Anything of the subject that the last sweep saw remains."""
    if not (after := run.last):
        return
    when = "there" if run.opened.mode == Mode.AUDIT else f"still there {_WHEN[after.moment]}"
    for trace in after.traces:
        why = f"{when}, as {', '.join(form for form, _ in trace.forms)}"
        place = (trace.store, trace.table, trace.column)
        yield run.finding(FindingKind.TRACE, why, place=place, count=trace.cells)


def _collateral(run: Run) -> Iterator[Finding]:
    """Rows that are not the subject's must be the same before and after."""
    then: dict[Part, Observed] = {}
    for observed in run.all(Observed):
        if observed.moment is Moment.BEFORE:
            then[observed.part] = observed
        elif observed.part in then and not (run.opened.shared and observed.moment is Moment.AFTER):
            yield from _changed(run, then[observed.part], observed)


def _changed(run: Run, before: Observed, after: Observed) -> Iterator[Finding]:
    surface = OTHER_SET if after.part is Part.OTHER else ""
    then = {(state.store, state.table): state for state in before.tables}
    now = {(state.store, state.table): state for state in after.tables}
    for place in sorted(then.keys() | now.keys()):
        rows = _rows_changed(then.get(place), now.get(place))
        if rows:
            why = f"rows that are not the subject's were changed, at least {rows}"
            yield run.finding(
                FindingKind.COLLATERAL, why, place=(*place, ""), surface=surface, count=rows
            )


def _rows_changed(then: TableState | None, now: TableState | None) -> int:
    """Return at least how many rows changed that had to stay; 0 if none did."""
    if then is None or now is None:
        return 1
    missing = abs(then.bystander_rows - now.bystander_rows) + abs(
        then.mention_rows - now.mention_rows
    )
    same = (then.bystander_digest, then.mention_digest) == (
        now.bystander_digest,
        now.mention_digest,
    )
    return missing or int(not same)


def _left_behind(run: Run) -> Iterator[Finding]:
    """Removing a routine must take away all that installing it made."""
    for left in run.all(LeftBehind):
        why = f"{left.object_kind} left in the catalog after the routine was removed"
        yield run.finding(FindingKind.ROUTINE, why, surface=left.object_kind, count=left.count)


def _drift(run: Run) -> Iterator[Finding]:
    """The connected schema must be the one that the treatments were written for."""
    for drifted in run.all(Drifted):
        if drifted.accepted:
            continue
        place = (drifted.store, drifted.table, drifted.column)
        yield run.finding(FindingKind.DRIFT, drifted.why, place=place)


def _routine_failed(run: Run) -> Iterator[Finding]:
    """What the server refuses to a routine is a fault of the routine."""
    for failed in run.all(RoutineFailed):
        error = f"error {failed.code}"
        if failed.code == STOPPED:
            error = "no end: its time was over and it was stopped"
        missing = f"it needs {failed.lacks}, which is missing ({error})"
        why = {
            Step.INSTALL: f"the server refused to create it: {missing if failed.lacks else error}",
            Step.CALL: missing if failed.lacks else f"the call failed with {error}",
            Step.CLEAN_UP: f"its own clean-up failed: {missing if failed.lacks else error}",
        }[failed.step]
        yield run.finding(FindingKind.ROUTINE, why, surface=f"routine, {failed.step}")


# --- rules for examinations -----------------------------------------------------------------


def _unexamined(run: Run) -> Iterator[Finding]:
    """An examination that left a probe out, or ended early, proves nothing."""
    for failed in run.all(Failed):
        why = f"{failed.error}: {failed.sentence}"
        yield run.finding(FindingKind.COVERAGE, why, surface=f"phase {failed.phase}")
    done = {probed.probe: probed for probed in run.all(Probed)}
    wanted = set(Probe)
    if Probe.NUMBER in done and not done[Probe.NUMBER].changed:
        wanted.discard(Probe.INTERRUPTED)  # where nothing is changed there is no half way
    lacking = sorted(wanted - done.keys())
    if not run.all(Failed) and (not run.all(RunClosed) or lacking) and not _uncreated(run):
        why = f"the examination is not whole: it lacks {', '.join(lacking) or 'its end'}"
        yield run.finding(FindingKind.COVERAGE, why, surface=f"run {run.opened.run}")


def _uncreated(run: Run) -> bool:
    return any(failed.step is Step.INSTALL for failed in run.all(RoutineFailed))


def _credulous(run: Run) -> Iterator[Finding]:
    """What is no number of a person must be refused, with an error, and change nothing."""
    for probed in run.all(Probed):
        if probed.probe not in {Probe.TEXT, Probe.NULL, Probe.OWN}:
            continue
        if not probed.code or probed.changed:
            why = "taken for a number, without an error"
            if probed.code:
                why = f"refused with error {probed.code}, but rows were changed"
            yield run.finding(FindingKind.ROUTINE, why, surface=f"called with {probed.probe}")


def _own_identity(run: Run) -> Iterator[Finding]:
    """The installation's own identity must survive whatever a routine is called with."""
    by_place: dict[str, list[Probe]] = defaultdict(list)
    for probed in run.all(Probed):
        for place in probed.own:
            by_place[place].append(probed.probe)
    for place, probes in sorted(by_place.items()):
        store, _, table = place.partition(".")
        why = f"the installation's own row was changed, called with {', '.join(probes)}"
        yield run.finding(
            FindingKind.ROUTINE, why, place=(store, table, ""), surface="own identity"
        )


def _transaction(run: Run) -> Iterator[Finding]:
    """A routine must leave it to its caller to commit or to roll back."""
    for probed in run.all(Probed):
        if probed.probe is Probe.TRANSACTION and (probed.ended or probed.changed):
            why = "its changes survive a rollback"
            if probed.ended:
                why = "it commits or rolls back by itself: its caller's transaction was over"
            yield run.finding(FindingKind.ROUTINE, why, surface="transaction")


def _half_way(run: Run) -> Iterator[Finding]:
    """An error half way must be told, and must not leave half a deletion."""
    for probed in run.all(Probed):
        if probed.probe is not Probe.INTERRUPTED:
            continue
        if not probed.code:
            why = f"it returned as if all were done, with {probed.obstacle} not to be changed"
            yield run.finding(FindingKind.ROUTINE, why, surface="failure swallowed")
        elif probed.changed:
            why = f"half a deletion is left where it fails at {probed.obstacle}"
            yield run.finding(FindingKind.ROUTINE, why, surface="failure half way")


def _told(run: Run) -> Iterator[Finding]:
    """A routine must not name the subject where that is shown or kept."""
    for told in run.all(Told):
        why = f"it names the subject in {told.where}"
        yield run.finding(FindingKind.ROUTINE, why, surface=told.where, count=told.count)


def _catalog(run: Run) -> Iterator[Finding]:
    """A routine and its file must leave the catalog as it was."""
    for one in run.all(CatalogChanged):
        for count, verb in ((one.made, "left behind"), (one.gone, "taken away")):
            if count:
                why = f"{one.object_kind} {verb} by the routine or its file"
                surface = f"{one.object_kind} {verb}"
                yield run.finding(FindingKind.ROUTINE, why, surface=surface, count=count)


Rule = Callable[[Run], Iterator[Finding]]
RULES: Final[tuple[Rule, ...]] = (
    _unfinished,
    _rolled_back,
    _canary,
    _witnessed,
    _logged,
    _unsearched,
    _blind,
    _unaccounted,
    _traces,
    _collateral,
    _left_behind,
    _routine_failed,
    _drift,
)
EXAMINATION_RULES: Final[tuple[Rule, ...]] = (
    _unexamined,
    _credulous,
    _own_identity,
    _transaction,
    _half_way,
    _told,
    _catalog,
    _routine_failed,
)
