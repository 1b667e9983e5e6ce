"""The last screen of an upgrade gate: may it be upgraded, what to do first, and the table."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import TYPE_CHECKING, Final, TypeVar

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from harness.judge import REMARK
from harness.maintenance.settings import RESTART
from harness.model import (
    Collected,
    Finding,
    GateOpened,
    LogsWeighed,
    Moment,
    Record,
    TableWeight,
    Verdict,
    Weighed,
)
from harness.plugin import screen
from harness.plugin.client_facts import client_facts
from harness.plugin.figures import BYTES, COUNTS, rounded
from harness.plugin.outcome import Concluded

if TYPE_CHECKING:
    from harness.plugin.gate_stage import GateStage

_NARROWEST: Final = 60
_SHOWN_TABLES: Final = 10
_SHOWN_REMARKS: Final = 12
_SHOWN_PLACES: Final = 6
_ALWAYS: Final = f"setting {RESTART}"
_WORDS: Final = {
    Verdict.CLEAR: ("READY", "nothing stands in the way of an upgrade, in what was looked at"),
    Verdict.TRACE: ("NOT READY", "this is to be mended before an upgrade"),
    Verdict.UNKNOWN: ("UNKNOWN", "we could not tell"),
}
R = TypeVar("R", bound=Record)


def render(line: Concluded, stage: GateStage, *, width: int, colour: bool) -> list[str]:
    """Return the lines of the last screen, for a terminal `width` columns wide."""
    text = StringIO()
    console = Console(
        file=text,
        width=max(width, _NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    console.rule()
    console.print(_headline(line, stage))
    if line.judgement.findings and not line.refusal:
        console.print(screen.reasons(line.judgement.findings, ones=False))
    if weighed := _all(stage, Weighed):
        console.print(_tables(weighed))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    sentence, command = _next(line, stage)
    to_know = [("to know", one) for one in _to_know(line.judgement.expected)]
    for name, fact in (*to_know, *_facts(stage), ("next", sentence)):
        facts.add_row(Text(name, style="bold"), Text(fact))
    console.print(facts)
    if command:
        console.print(Text(f"  {command}"), soft_wrap=True)
    return [one.rstrip() for one in text.getvalue().splitlines()]


def _all(stage: GateStage, kind: type[R]) -> list[R]:
    return [one for one in stage.records() if isinstance(one, kind)]


def _headline(line: Concluded, stage: GateStage) -> Text:
    word, said = _WORDS[line.judgement.verdict]
    style = screen.STYLES[line.judgement.verdict]
    done = "the client was asked to collect garbage" if stage.asked else "nothing was changed"
    if line.refusal:
        word, style, said = "REFUSED", "bold yellow", line.refusal
    text = Text(word, style=style)
    text.append(f" (upgrade gate); {done}; exit {line.exit_status}\n{said}", "default not bold")
    return text


def _tables(weighed: list[Weighed]) -> Group:
    """Return the messages and the largest tables, now and, after a collection, before it.

    A column in which no table has anything is left away.
    """
    first, last = weighed[0], weighed[-1]
    largest = sorted(last.tables, key=_by_weight)
    shown, more = largest[:_SHOWN_TABLES], largest[_SHOWN_TABLES:]
    then = {(one.store, one.table): one for one in first.tables if first is not last}
    before = [then.get((one.store, one.table)) for one in shown]
    columns = {
        "before": [_rows(one) for one in before],
        "rows": [_rows(one) for one in shown],
        "dead": ["" if one.dead_rows is None else rounded(one.dead_rows, COUNTS) for one in shown],
        "size": [rounded(one.size_bytes, BYTES) for one in shown],
        "free": ["" if one.free_bytes is None else rounded(one.free_bytes, BYTES) for one in shown],
    }
    told = {name: cells for name, cells in columns.items() if any(cells)}
    grid = Table(box=None, padding=(0, 2), pad_edge=False)
    grid.add_column("table", overflow="fold")
    for name in told:
        grid.add_column(name, justify="right", no_wrap=True)
    for one, *cells in zip(shown, *told.values(), strict=True):
        grid.add_row(f"{one.store}.{one.table}", *(cell or "-" for cell in cells))
    notes = [f"and {len(more)} more in gate.json"] * bool(more)
    notes += ["~ is the server's estimate"] * any(not one.exact for one in shown)
    return Group(grid, *(["; ".join(notes)] if notes else []))


def _by_weight(one: TableWeight) -> tuple[bool, int, str, str]:
    # The messages decide, however small they are.
    return (one.table != "messages", -one.size_bytes, one.store, one.table)


def _rows(one: TableWeight | None) -> str:
    if one is None or one.rows < 0:
        return ""  # it was not there, or could not be told
    return f"{'' if one.exact else '~'}{rounded(one.rows, COUNTS)}"


def _facts(stage: GateStage) -> Iterator[tuple[str, str]]:
    if stage.request.limits:
        yield "limits", f"the site's own, of {stage.request.limits}"
    for opened in _all(stage, GateOpened):
        at = opened.last_collection_at
        known = f"last at {at}" if at else "never before"
        yield "collected", f"{known}, as far as this harness knows"
    for one in _all(stage, Weighed)[-1:]:
        yield "traffic", _traffic(one)
        if one.disk_free_bytes is not None and one.disk_size_bytes:
            free, size = rounded(one.disk_free_bytes, BYTES), rounded(one.disk_size_bytes, BYTES)
            yield "disk", f"{free} free of {size}"
    for logs in _all(stage, LogsWeighed):
        for folder in logs.folders:
            logs_, archives = _counted(folder.logs, "log"), _counted(folder.archives, "archive")
            counts = f"{logs_}, {archives}"
            yield "logs", f"{folder.label}: {counts}, {rounded(folder.size_bytes, BYTES)}"
    yield from client_facts(stage.records())
    if unseen := stage.scope.not_searched:
        yield "not seen", "; ".join(unseen)
    times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stage.durations_s.items())
    yield "time", times
    yield "evidence", os.path.relpath(stage.session.folder)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _to_know(expected: Iterable[Finding]) -> Iterator[str]:
    """Yield what is good to know and decides nothing, each reason with its places.

    What stands in every gate's verdict.json is not repeated here.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for one in expected:
        if one.why.startswith(REMARK) and one.surface != _ALWAYS:
            places[one.why.removeprefix(REMARK)].append(one.place)
    reasons = [(", ".join(_cut(where)), why) for why, where in places.items()]
    yield from (f"{where}: {why}" for where, why in reasons[:_SHOWN_REMARKS])
    if len(reasons) > _SHOWN_REMARKS:
        yield f"and {len(reasons) - _SHOWN_REMARKS} more in verdict.json"


def _cut(places: list[str]) -> list[str]:
    more = len(places) - _SHOWN_PLACES
    return [*places[:_SHOWN_PLACES], *([f"{more} more in verdict.json"] if more > 0 else [])]


def _traffic(weighed: Weighed) -> str:
    if weighed.sent_per_s is None:
        return "not seen"
    minutes = weighed.rate_window_s / 60
    most = " at the most" if weighed.rate_note else ""
    return f"{weighed.sent_per_s:.1f} messages sent a second{most}, over {minutes:g} minutes"


def _next(line: Concluded, stage: GateStage) -> tuple[str, str]:
    command = shlex.join(("pytest", "--upgrade-gate", *stage.request.lasting))
    if line.refusal:
        return "do what the sentence above says, then run the same command again", ""
    verdict = line.judgement.verdict
    if verdict is Verdict.UNKNOWN:
        return "mend the cause named above and run again:", f"{command}{_unended(stage)}"
    if verdict is Verdict.CLEAR:
        return "keep the evidence with the release's papers; back up, and upgrade", ""
    weighed = [one for one in _all(stage, Weighed) if one.moment is Moment.BEFORE]
    asked = stage.request.webapp
    if weighed and asked and not asked.garbage and _is_large(stage, weighed[-1]):
        return "in a quiet hour, have garbage collected and look again:", f"{command} --run-gc"
    return "do what the sentences above say, and look again:", command


def _unended(stage: GateStage) -> str:
    """Return the options about garbage, where it was to be collected and was not, to the end."""
    asked = stage.request.webapp
    done = {one.garbage for one in _all(stage, Collected) if one.complete}
    if not asked or done >= {*asked.garbage}:
        return ""
    return "".join(f" {one}" for one in stage.request.flags)


def _is_large(stage: GateStage, weighed: Weighed) -> bool:
    limit = stage.request.policy.large_rows
    return any(one.table == "messages" and one.rows > limit for one in weighed.tables)
