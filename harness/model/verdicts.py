"""Verdicts, and the findings that lead to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """What a judge says; the later one in this list wins when verdicts are combined."""

    CLEAR = "CLEAR"
    TRACE = "TRACE"
    UNKNOWN = "UNKNOWN"

    @property
    def exit_code(self) -> int:
        """The session's exit status for this verdict."""
        return {"CLEAR": 0, "TRACE": 1, "UNKNOWN": 10}[self.value]

    @classmethod
    def worst(cls, *verdicts: Verdict) -> Verdict:
        """Return the worst of the verdicts; CLEAR when there are none."""
        order = list(cls)
        return max(verdicts, key=order.index, default=cls.CLEAR)


class FindingKind(StrEnum):
    """What a finding is about."""

    TRACE = "trace"
    COLLATERAL = "collateral"
    COVERAGE = "coverage"
    ROUTINE = "routine"
    DRIFT = "drift"
    SURFACE = "surface"
    SETTINGS = "settings"
    CAPACITY = "capacity"

    @property
    def verdict(self) -> Verdict:
        """The verdict that one unexpected finding of this kind leads to."""
        unknown = {FindingKind.COVERAGE, FindingKind.SURFACE}
        return Verdict.UNKNOWN if self in unknown else Verdict.TRACE


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A judged fact: where and why, never content. `count` is a number of cells or rows."""

    kind: FindingKind
    engine: str
    store: str
    table: str
    column: str
    surface: str
    count: int
    why: str

    @property
    def place(self) -> str:
        """`store.table.column` as far as it is known, else the surface."""
        return ".".join(part for part in (self.store, self.table, self.column) if part) or (
            self.surface
        )

    @property
    def fact(self) -> tuple[FindingKind, str, str, str, str, str, int]:
        """All but the wording: what two findings must share to be the same fact."""
        return (
            self.kind,
            self.engine,
            self.store,
            self.table,
            self.column,
            self.surface,
            self.count,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's answer: the verdict, what decides it, and what was predicted and seen."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    expected: tuple[Finding, ...] = ()
    subjects: tuple[str, ...] = field(default=())
    held: bool = True
