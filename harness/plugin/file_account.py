"""What became of files, added up over a session's runs: for the verdict, and for the screen."""

from __future__ import annotations

from collections.abc import Iterable

from harness.evidence.verdict import FileAccount, FilesState
from harness.judge import Run, runs_of
from harness.model import FilesObserved, History, MediaRemoved, Mode, RunClosed, Scrubbed


def account_of(records: History) -> FileAccount | None:
    """Return what was searched, masked and removed, or None where no files are in scope."""
    runs = [run for run in runs_of(records) if run.opened.files]
    if not runs:
        return None
    scrubs = [one for run in runs for one in run.all(Scrubbed)]
    media = [one for run in runs for one in run.all(MediaRemoved)]
    looks = [run.all(FilesObserved)[-1] for run in runs if run.all(FilesObserved)]
    return FileAccount(
        state=_state(runs),
        searched=sum(one.files for one in looks),
        content_bytes=sum(one.content_bytes for one in looks),
        identifiers_masked=sum(one.identifiers for one in scrubs),
        names_masked=sum(one.names for one in scrubs),
        media_removed=sum(one.removed for one in media),
        media_shared=sum(len(one.shared) for one in media),
        media_absent=sum(one.absent for one in media),
        withheld=any(one.withheld for one in scrubs) or any(one.withheld for one in media),
    )


def _state(runs: Iterable[Run]) -> FilesState:
    """Return the state of the worst run: one that was begun with and not ended is partial."""
    states: set[FilesState] = set()
    for run in runs:
        scrubs = [one for one in run.all(Scrubbed) if not one.withheld]
        removals = [one for one in run.all(MediaRemoved) if not one.withheld]
        if run.opened.mode not in {Mode.LIVE, Mode.VERIFY} or not (scrubs or removals):
            states.add("untouched")
        else:
            closed = bool(run.all(RunClosed))
            states.add("scrubbed" if closed and scrubs else "partial")
    if len(states) > 1:
        return "partial"
    return states.pop()
