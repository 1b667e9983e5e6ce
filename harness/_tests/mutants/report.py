"""The score of routines' mutants as Markdown: by operator and engine, and every exception by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness._tests.mutants.routines import Trial


def score(trials: Sequence[Trial]) -> float:
    """Return the share of mutants that were told apart, of those that are not equivalent."""
    told = [one for one in trials if not one.equivalent]
    return sum(1 for one in told if one.killed_by) / len(told) if told else 0.0


def lines(trials: Sequence[Trial]) -> Iterator[str]:
    """Yield the tables, then every survivor and every equivalent mutant by name."""
    engines = sorted({one.engine for one in trials})
    yield from _by_operator(trials, engines)
    yield ""
    yield from _by_population(trials, engines)
    for title, those in (
        ("Survivors", [one for one in trials if one.survived]),
        ("Equivalent: both leave the same bytes", [one for one in trials if one.equivalent]),
    ):
        yield ""
        yield f"{title}: {len(those)}"
        if those:
            yield ""
        yield from (f"- {one.engine}: {one.operator}: {one.where}" for one in those)


def _by_operator(trials: Sequence[Trial], engines: Sequence[str]) -> Iterator[str]:
    yield f"| operator | {' | '.join(engines)} |"
    yield f"|---|{'---|' * len(engines)}"
    operators = list(dict.fromkeys(one.operator for one in trials))
    for operator in (*operators, ""):
        of_it = [one for one in trials if operator in {"", one.operator}]
        cells = [_cell([one for one in of_it if one.engine == engine]) for engine in engines]
        yield f"| {operator or '**all**'} | {' | '.join(cells)} |"


def _cell(trials: Sequence[Trial]) -> str:
    """Say how many of how many were killed, and how many are equivalent."""
    if not trials:
        return "none"
    killed = sum(1 for one in trials if one.killed_by)
    equivalent = sum(1 for one in trials if one.equivalent)
    same = f", {equivalent} equivalent" if equivalent else ""
    return f"{killed} of {len(trials) - equivalent} ({score(trials):.0%}){same}"


def _by_population(trials: Sequence[Trial], engines: Sequence[str]) -> Iterator[str]:
    yield f"| first told apart in | {' | '.join(engines)} |"
    yield f"|---|{'---|' * len(engines)}"
    counts = Counter((one.killed_by, one.engine) for one in trials if one.killed_by)
    for population in dict.fromkeys(one.killed_by for one in trials if one.killed_by):
        cells = (str(counts[population, engine]) for engine in engines)
        yield f"| {population} | {' | '.join(cells)} |"
