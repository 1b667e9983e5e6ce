"""One run's records, with the questions that rules ask of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from harness.model import (
    Committing,
    Erased,
    Failed,
    Finding,
    FindingKind,
    History,
    Mode,
    Moment,
    Observed,
    Part,
    Record,
    Resumed,
    RolledBack,
    RunOpened,
)

R = TypeVar("R", bound=Record)
REMARK: Final = "remark: "
"""How a reason begins that is good to know, and never decisive."""


@dataclass(frozen=True, slots=True)
class Run:
    """The records of one run, with the questions that rules ask of them."""

    opened: RunOpened
    records: tuple[Record, ...]

    def all(self, kind: type[R]) -> list[R]:
        """Return the run's records of one kind, in order."""
        return [cast("R", record) for record in self.records if isinstance(record, kind)]

    def judged(self, *moments: Moment) -> list[Observed]:
        """Return the observations of the judged store set at some moments, in order."""
        return [
            observed
            for observed in self.all(Observed)
            if observed.part is Part.JUDGED and observed.moment in moments
        ]

    @property
    def first(self) -> Observed | None:
        """The judged store set as it was before anything was done."""
        return next(iter(self.judged(Moment.BEFORE)), None)

    @property
    def last(self) -> Observed | None:
        """The judged store set as the final sweep saw it.

        A rehearsal's is inside its transaction, and so is that of a run on real stores which
        was rolled back: after it, everything is there that was there before. Where garbage was
        collected after the erasure, it is the newest of both.
        """
        undone = self.opened.mode == Mode.LIVE and self.all(RolledBack) and not self.all(Erased)
        inside = self.opened.mode == Mode.REHEARSE or undone
        wanted = (Moment.INSIDE,) if inside else (Moment.AFTER, Moment.COLLECTED)
        return next(reversed(self.judged(*wanted)), None)

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
        # A later round that is over has looked at everything anew.
        return [one for one in self.all(Committing) if one.round > max(done, default=0)]

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


def runs_of(history: History) -> Iterator[Run]:
    """Group a history's records by run, in the order in which runs were opened."""
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in history:
        grouped[record.run].append(record)
    for records in grouped.values():
        opened = next((record for record in records if isinstance(record, RunOpened)), None)
        # A crash may cut a history anywhere; what has no beginning is judged as unfinished.
        yield Run(opened or _headless(records[0].run), tuple(records))


def _headless(name: str) -> RunOpened:
    return RunOpened(name, "", "", "", "", "", control=False, prefix="", subject="", at="")
