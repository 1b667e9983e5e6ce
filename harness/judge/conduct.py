"""Rules about stored routines: what each does besides erasing, and how it was examined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from harness.judge.runs import Run
from harness.model import (
    STOPPED,
    CatalogChanged,
    Failed,
    Finding,
    FindingKind,
    LeftBehind,
    Probe,
    Probed,
    RoutineFailed,
    RunClosed,
    Step,
    Told,
)


def left_behind(run: Run) -> Iterator[Finding]:
    """Removing a routine must take away all that installing it made."""
    for left in run.all(LeftBehind):
        why = f"{left.object_kind} left in the catalog after the routine was removed"
        yield run.finding(FindingKind.ROUTINE, why, surface=left.object_kind, count=left.count)


def routine_failed(run: Run) -> Iterator[Finding]:
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


# --- examinations ---------------------------------------------------------------------------


def unexamined(run: Run) -> Iterator[Finding]:
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


def credulous(run: Run) -> Iterator[Finding]:
    """What is no number of a person must be refused, with an error, and change nothing."""
    for probed in run.all(Probed):
        if probed.probe not in {Probe.TEXT, Probe.NULL, Probe.OWN}:
            continue
        if not probed.code or probed.changed:
            why = "taken for a number, without an error"
            if probed.code:
                why = f"refused with error {probed.code}, but rows were changed"
            yield run.finding(FindingKind.ROUTINE, why, surface=f"called with {probed.probe}")


def own_identity(run: Run) -> Iterator[Finding]:
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


def transaction(run: Run) -> Iterator[Finding]:
    """A routine must leave it to its caller to commit or to roll back."""
    for probed in run.all(Probed):
        if probed.probe is Probe.TRANSACTION and (probed.ended or probed.changed):
            why = "its changes survive a rollback"
            if probed.ended:
                why = "it commits or rolls back by itself: its caller's transaction was over"
            yield run.finding(FindingKind.ROUTINE, why, surface="transaction")


def half_way(run: Run) -> Iterator[Finding]:
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


def told(run: Run) -> Iterator[Finding]:
    """A routine must not name the subject where that is shown or kept."""
    for told in run.all(Told):
        why = f"it names the subject in {told.where}"
        yield run.finding(FindingKind.ROUTINE, why, surface=told.where, count=told.count)


def catalog(run: Run) -> Iterator[Finding]:
    """A routine and its file must leave the catalog as it was."""
    for one in run.all(CatalogChanged):
        for count, verb in ((one.made, "left behind"), (one.gone, "taken away")):
            if count:
                why = f"{one.object_kind} {verb} by the routine or its file"
                surface = f"{one.object_kind} {verb}"
                yield run.finding(FindingKind.ROUTINE, why, surface=surface, count=count)
