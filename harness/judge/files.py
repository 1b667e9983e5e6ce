"""Rules about files: every file was searched, nothing of the subject stayed, the search sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from harness.judge.runs import Run
from harness.model import (
    FileGap,
    FilesObserved,
    FilesPlanted,
    FilesProven,
    Finding,
    FindingKind,
    MediaRemoved,
    Mode,
    Moment,
    RolledBack,
    Scrubbed,
)

_LOOKED: Final[Mapping[str, tuple[Moment, ...]]] = {
    Mode.VERIFY: (Moment.BEFORE, Moment.AFTER),
    Mode.REHEARSE: (Moment.BEFORE, Moment.INSIDE),
    Mode.AUDIT: (Moment.AFTER,),
    Mode.LIVE: (Moment.BEFORE, Moment.AFTER),
}
_WHEN: Final = {
    Moment.BEFORE: "there, and not masked: no row was committed",
    Moment.INSIDE: "would still be there: nothing of ours masks it",
    Moment.AFTER: "still there after the scrub",
}


def whole(run: Run) -> Iterator[Finding]:
    """Where files are in scope, the run must have looked at them, and scrubbed them."""
    if not run.opened.files or run.failures:
        return
    rolled_back = bool(run.all(RolledBack))
    mode = run.opened.mode if run.opened.mode in _LOOKED else Mode.VERIFY
    wanted = (Moment.BEFORE,) if rolled_back else _LOOKED[mode]
    looked = {one.moment for one in run.all(FilesObserved)}
    lacking = [f"a search of the files {moment} the erasure" for moment in wanted]
    lacking = [name for name, moment in zip(lacking, wanted, strict=True) if moment not in looked]
    if not run.all(FilesProven):
        lacking.append("the proof that its search of files sees")
    if mode != Mode.AUDIT and not rolled_back and not run.all(Scrubbed):
        lacking.append("the scrub of its files")
    for name in lacking:
        yield run.finding(
            FindingKind.COVERAGE, f"the run is not whole: it lacks {name}", surface="files"
        )


def blind(run: Run) -> Iterator[Finding]:
    """What was planted in files must be seen before the erasure, and media led to must go."""
    before = next((one for one in run.all(FilesObserved) if one.moment is Moment.BEFORE), None)
    if before is None:
        return
    for planted in run.all(FilesPlanted):
        seen = {trace.file: trace for trace in before.traces}
        for trace in planted.traces:
            found = seen.get(trace.file)
            if found is None or (found.hits, found.forms) != (trace.hits, trace.forms):
                why = f"{trace.hits} planted, {found.hits if found else 0} seen before the erasure"
                yield run.finding(FindingKind.COVERAGE, why, surface=trace.file, count=trace.hits)
        removed = sum(one.removed for one in run.all(MediaRemoved))
        if run.all(MediaRemoved) and removed != planted.media:
            why = f"{planted.media} media files were the subject's alone, {removed} were removed"
            yield run.finding(FindingKind.TRACE, why, surface="media", count=planted.media)


def proven(run: Run) -> Iterator[Finding]:
    """The canary must have been found in files of every format, and be gone after the scrub."""
    for one in run.all(FilesProven):
        if not one.planted or one.seen != one.planted or one.left:
            why = (
                f"of {one.planted} planted in files of {one.formats} formats {one.seen} were seen, "
                f"and {one.left} left after the scrub"
            )
            yield run.finding(FindingKind.COVERAGE, why, surface="files, canary")


def traces(run: Run) -> Iterator[Finding]:
    """Anything of the subject that the last search of the files saw remains."""
    if not (last := _last(run)):
        return
    when = "there" if run.opened.mode == Mode.AUDIT else _WHEN[last.moment]
    for trace in last.traces:
        why = f"{when}, as {', '.join(form for form, _ in trace.forms)}"
        yield run.finding(FindingKind.TRACE, why, surface=trace.file, count=trace.hits)


def gaps(run: Run) -> Iterator[Finding]:
    """A file that was not searched or masked in full leaves the verdict open."""
    last = _last(run)
    found: list[FileGap] = list(last.gaps) if last else []
    for left in (
        [one.left for one in run.all(Scrubbed)],
        [one.left for one in run.all(MediaRemoved)],
    ):
        # A later round looked at the same again, but for what no look can see any more.
        found += [gap for gaps in left[:-1] for gap in gaps if gap.lasting]
        found += [gap for gaps in left[-1:] for gap in gaps]
    for gap in dict.fromkeys(found):
        yield run.finding(FindingKind.SURFACE, gap.why, surface=gap.file)


def shared(run: Run) -> Iterator[Finding]:
    """Yield the media files that stay, since rows of others lead to them: shown, never decisive."""
    for removed in run.all(MediaRemoved)[-1:]:
        for file in removed.shared:
            why = "the subject's rows lead to it, and rows of others too: it stays"
            yield run.finding(FindingKind.SURFACE, why, surface=file)


def _last(run: Run) -> FilesObserved | None:
    """Return the last look at the files: a rehearsal's is at the copies that it withheld."""
    seen = run.all(FilesObserved)
    if run.opened.mode == Mode.LIVE and run.all(RolledBack) and not run.all(Scrubbed):
        return seen[-1] if seen else None
    wanted = Moment.INSIDE if run.opened.mode == Mode.REHEARSE else Moment.AFTER
    return next((one for one in reversed(seen) if one.moment is wanted), None)
