"""The preflight's screen: ready or refused, what to run, and then what was seen.

In reading order: what decides and the way out, the statements to hand to an administrator,
each on a line of its own so that it can be copied, and only then the facts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.plugin.figures import BYTES, COUNTS, rounded
from harness.preflight import PASSES, RATE_BYTES_S, Preflight, Purpose
from harness.stores.condition import Lack, OtherSession, Setting, TableSize
from harness.stores.undeclared import Undeclared

_NARROWEST: Final = 80
_SHOWN: Final = 20
_SHOWN_SIZES: Final = 10
_MINUTE_S: Final = 60
_NAMES: Final = {Purpose.ERASE: "for an erasure", Purpose.AUDIT: "for an audit"}
_MEANS: Final = {
    Purpose.ERASE: "an erasure can be rehearsed",
    Purpose.AUDIT: "an audit can be run",
}


def render(preflight: Preflight, *, width: int, colour: bool) -> list[str]:
    """Return the lines of the preflight's screen, for a terminal `width` columns wide."""
    text = StringIO()
    console = Console(
        file=text,
        width=max(width, _NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    console.rule()
    console.print(_headline(preflight))
    console.print(_sentences(preflight))
    for line in _statements(preflight):
        console.print(Text(line), soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in _facts(preflight):
        facts.add_row(Text(name, style="bold"), Text(_printable(fact)))
    console.print(facts)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _headline(preflight: Preflight) -> Text:
    purpose = preflight.purpose
    if preflight.ready:
        text = Text("READY", style="bold green")
        said = f"{_MEANS[purpose]}; nothing was changed"
    else:
        text = Text("REFUSED", style="bold red")
        said = (
            f"{len(preflight.refusals)} to mend before an {purpose.value} run; nothing was changed"
        )
    text.append(f" ({_NAMES[purpose]})\n{said}", style="default not bold")
    return text


def _sentences(preflight: Preflight) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for kind, style, sentences in (
        ("refused", "bold red", preflight.refusals),
        ("warning", "bold yellow", preflight.warnings),
    ):
        for sentence in sentences[:_SHOWN]:
            grid.add_row(Text(kind, style=style), Text(_printable(sentence)))
        if len(sentences) > _SHOWN:
            grid.add_row(Text(kind, style=style), f"and {_more(sentences, _SHOWN)}")
    return grid


def _statements(preflight: Preflight) -> Iterator[str]:
    """Yield the statements to run, as psql and mysql take them."""
    facts = preflight.facts
    for title, lacks in (
        ("to run as an administrator:", facts.lacks),
        ("to run too where the stores that were not seen are there:", facts.hidden),
    ):
        if lacks:
            yield f"-- {title}"
            yield from map(_printable, _grouped(lacks))


def _grouped(lacks: Sequence[Lack]) -> Iterator[str]:
    """Yield statements by the database that they are to be run in; each only once."""
    by_database: dict[str, list[str]] = defaultdict(list)
    for lack in lacks:
        by_database[lack.database].append(lack.statement)
    for database, statements in by_database.items():
        if database:
            escaped = database.replace('"', '""')
            yield f'\\connect "{escaped}"'
        yield from dict.fromkeys(statements)


def _facts(preflight: Preflight) -> Iterator[tuple[str, str]]:
    facts, condition = preflight.facts, preflight.facts.condition
    yield "engine", f"{condition.product} {preflight.version}"
    yield "account", condition.account or "not asked"
    yield "stores", ", ".join(database for _, database in facts.databases) or "none"
    if facts.missing:
        yield "missing", ", ".join(facts.missing)
    if facts.undeclared:
        yield "drift", "\n".join(_cut([_described(one) for one in facts.undeclared]))
    if facts.absent:
        places = [".".join(filter(None, (d.store, d.table, d.column))) for d in facts.absent]
        yield "absent", "in the manifest only:\n" + "\n".join(_cut(places))
    yield "logging", _settings(condition.logging)
    yield "durability", _settings(condition.durability)
    yield "replication", _settings(condition.replication)
    yield "locks", "\n".join(_cut([_session(one) for one in condition.sessions])) or "none seen"
    yield "sizes", _sizes(condition.sizes)
    yield "expected", _expected(preflight)


def _described(one: Undeclared) -> str:
    marked = " may identify a person" if one.identity else ""
    named = f": {', '.join(one.columns)}" if one.columns else ""
    return f"{one.place} {one.type_name or '(table)'}{marked}{named}"


def _settings(settings: Iterable[Setting]) -> str:
    listed = (
        f"{one.name} {one.value or '(empty)'}{f' in {one.store}' if one.store else ''}"
        for one in settings
    )
    return ", ".join(listed) or "not asked"


def _session(one: OtherSession) -> str:
    place = f"{one.store}.{one.table}: " if one.table else ""
    age = f" for {_duration(one.age_s)}" if one.age_s is not None else ""
    return f"{place}{one.session} {one.what}{age}"


def _sizes(sizes: Sequence[TableSize]) -> str:
    largest = sorted(sizes, key=lambda one: (-one.size_bytes, one.store, one.table))
    lines = [
        f"{one.store}.{one.table} about {rounded(one.rows, COUNTS)} rows, "
        f"{rounded(one.size_bytes, BYTES)}"
        for one in largest[:_SHOWN_SIZES]
    ]
    if len(largest) > _SHOWN_SIZES:
        rest = sum(one.size_bytes for one in largest[_SHOWN_SIZES:])
        lines.append(f"and {_more(largest, _SHOWN_SIZES)}: {rounded(rest, BYTES)}")
    return "\n".join(lines) or "no tables"


def _expected(preflight: Preflight) -> str:
    return (
        f"about {_duration(preflight.expected_s)}: an estimate, {PASSES} passes over "
        f"{rounded(preflight.size_bytes, BYTES)} at {rounded(RATE_BYTES_S, BYTES)} a second"
    )


def _duration(duration_s: float) -> str:
    if duration_s < _MINUTE_S:
        return f"{max(1, round(duration_s))} s"
    return f"{duration_s / _MINUTE_S:.0f} min"


def _cut(lines: Sequence[str]) -> list[str]:
    more = [f"and {_more(lines, _SHOWN)}"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]


def _more(things: Sequence[object], shown: int) -> str:
    return f"{len(things) - shown} more in preflight.json"


def _printable(text: str) -> str:
    """Names come from the server: what is no character could steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
