"""Mutants of routines: does the judge tell each from its original, and in which population?"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness._tests.mutants.body import Body
from harness._tests.mutants.edits import Edit, edits
from harness._tests.mutants.trials import Bench, Facts
from harness.model import EngineKind
from harness.routines import read

FOLDER: Final = Path(__file__).resolve().parent.parent / "routines"
ORIGINALS: Final = ("vendor", "reference")


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one mutant: the first population that told it from its original.

    `equivalent`: none did, and none can: both leave the same bytes in the largest stores.
    """

    operator: str
    where: str
    engine: str
    killed_by: str
    equivalent: bool = False

    @property
    def survived(self) -> bool:
        """Whether nobody told a mutant apart that leaves something else behind."""
        return not self.killed_by and not self.equivalent


def body_of(original: str, engine: EngineKind, stores: Sequence[str]) -> Body:
    """Return the body of one of the tests' own routines."""
    return Body(read(FOLDER / f"{original}_{engine.value}.sql", stores))


def trials(bench: Bench, only: str = "") -> Iterator[Trial]:
    """Put every mutant of every original to the populations, and yield what became of it."""
    stores = [store.name for store in bench.described.stores]
    for original in ORIGINALS:
        body = body_of(original, bench.choice.kind, stores)
        court = _Court(bench, body.text)
        every = [edit for edit in edits(body) if only in edit.operator]
        for number, edit in enumerate(every, start=1):
            yield court.trial(edit, f"{original}, {edit.where}")
            if number % 50 == 0:
                _progress(f"{bench.choice}: {number} of {len(every)} mutants of {original}")


class _Court:
    """One original, with what was found of it and what it leaves, worked out when needed."""

    def __init__(self, bench: Bench, text: str) -> None:
        self._bench = bench
        self._text = text
        self._known: dict[str, Facts] = {}
        self._left = ""

    def trial(self, edit: Edit, where: str) -> Trial:
        engine = str(self._bench.choice)
        told = (name for name in self._bench.populations if self._differs(edit, name))
        killed_by = next(told, "")
        equivalent = not killed_by and self._same(edit)
        return Trial(edit.operator, where, engine, killed_by, equivalent)

    def _differs(self, edit: Edit, population: str) -> bool:
        if population not in self._known:
            self._known[population] = self._bench.facts(self._text, population)
        return self._bench.facts(edit.text, population, edit) != self._known[population]

    def _same(self, edit: Edit) -> bool:
        self._left = self._left or self._bench.dump(self._text)
        return self._bench.dump(edit.text, edit) == self._left


def _progress(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
