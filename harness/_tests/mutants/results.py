"""What became of each mutant, and the score."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

PURE: Final = "-"
"""The engine of a mutant that no server is needed for."""


@dataclass(frozen=True, slots=True)
class Result:
    """One mutant: what was done to it, where, and who noticed.

    `killed_by` is empty if nobody did; `equivalent_because` says why nobody can.
    """

    operator: str
    where: str
    engine: str
    killed_by: str = ""
    equivalent_because: str = ""

    @property
    def survived(self) -> bool:
        """Whether nobody noticed a mutant that somebody should have noticed."""
        return not (self.killed_by or self.equivalent_because)

    @property
    def module(self) -> str:
        """The part of `where` that the score is counted by."""
        return self.where.partition(":")[0]


def score(results: Iterable[Result]) -> float:
    """Return the share of mutants that were killed, of those that are not equivalent."""
    told = [one for one in results if not one.equivalent_because]
    return sum(1 for one in told if one.killed_by) / len(told) if told else 0.0


def table(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of the score by module, then every survivor by name."""
    grouped: dict[str, list[Result]] = defaultdict(list)
    for one in results:
        grouped[one.module].append(one)
    yield f"{'module':24}{'mutants':>9}{'killed':>9}{'equivalent':>12}{'survived':>10}{'score':>9}"
    for name, those in (*sorted(grouped.items()), ("all", list(results))):
        killed = sum(1 for one in those if one.killed_by)
        equivalent = sum(1 for one in those if one.equivalent_because)
        survived = sum(1 for one in those if one.survived)
        yield (f"{name:24}{len(those):9}{killed:9}{equivalent:12}{survived:10}{score(those):9.1%}")
    for operator, count in sorted(Counter(one.operator for one in results).items()):
        yield f"{operator:28}{count:5}"
    for one in results:
        if one.survived:
            yield f"survived on {one.engine}: {one.operator}: {one.where}"
