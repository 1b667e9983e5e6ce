"""The last screen of a live session: what an operator must know at three in the morning.

First whether anything was committed; then what was done to whom, by table; what was
searched and what was not; and the next command.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.judge import runs_of
from harness.model import Mode, PlanMade, Verdict
from harness.plugin import preflight_screen, screen
from harness.plugin.outcome import Concluded, changes_of

if TYPE_CHECKING:
    from harness.plugin.live_stage import LiveStage

_NARROWEST: Final = 80
_SHOWN_TABLES: Final = 40
_PSEUDONYM_DIGITS: Final = 16
_ROWS: Final = {
    "untouched": "no row was changed",
    "committed": "rows were COMMITTED",
    "partial": "a commit was sent and is NOT KNOWN to be carried out everywhere",
}
_HELD: Final = {
    (Mode.LIVE, True): "erased: nothing of the subject remains in what was searched",
    (Mode.LIVE, False): "nothing held: nothing of the subject was there, so nothing was erased",
    (Mode.REHEARSE, True): "rehearsed: clear, and rolled back",
    (Mode.REHEARSE, False): "rehearsed: nothing of the subject was there",
    (Mode.AUDIT, True): "no trace of the subject in what was searched",
    (Mode.AUDIT, False): "no trace of the subject in what was searched",
}


def render(line: Concluded, stage: LiveStage, *, width: int, colour: bool) -> list[str]:
    """Return the lines of the last screen, for a terminal `width` columns wide."""
    text = StringIO()
    console = Console(
        file=text,
        width=max(width, _NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    lines: list[str] = []
    if stage.preflights and (stage.mode is Mode.PREFLIGHT or line.refusal):
        for seen in stage.preflights:
            lines += preflight_screen.render(seen, width=width, colour=colour)
    console.rule()
    console.print(_headline(line, stage))
    if line.judgement.findings and not line.refusal:
        console.print(screen.reasons(line.judgement.findings))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, fact in _facts(line, stage):
        facts.add_row(Text(name, style="bold"), fact)
    console.print(facts)
    return lines + text.getvalue().splitlines()


def _headline(line: Concluded, stage: LiveStage) -> Text:
    """Say first what became of the rows: that is what cannot be taken back."""
    rows = _ROWS[stage.rows]
    if line.refusal and stage.rows == "untouched":
        text = Text("REFUSED", style="bold yellow")
        return text.append(f"; {rows}; exit {line.exit_status}\n{line.refusal}", "default not bold")
    if stage.mode is Mode.PREFLIGHT:
        ready = line.judgement.verdict is Verdict.CLEAR
        text = Text("READY" if ready else "UNKNOWN", style="bold green" if ready else "bold yellow")
        return text.append(
            f"; {rows}; no row was searched, so this says nothing about anybody; "
            f"exit {line.exit_status}",
            "default not bold",
        )
    verdict = line.judgement.verdict
    text = Text(verdict.value, style=screen.STYLES[verdict])
    text.append(f"; {rows} ({stage.scope})", "default not bold")
    if verdict is Verdict.CLEAR:
        said = _HELD[stage.mode, line.judgement.held]
    elif stage.rows == "committed":
        said = f"{screen.MEANINGS[verdict]}, AFTER the commit: what is gone stays gone"
    else:
        said = screen.MEANINGS[verdict]
    return text.append(f"\n{said}; exit {line.exit_status}", "default not bold")


def _facts(line: Concluded, stage: LiveStage) -> Iterator[tuple[str, str]]:
    runs = list(runs_of(stage.records()))
    versions = sorted({(run.opened.engine, run.opened.engine_version) for run in runs})
    if versions:
        yield "engine", ", ".join(f"{engine} ({version})" for engine, version in versions)
    changes = changes_of(stage.records())
    for run in runs:
        yield "subject", f"{run.opened.subject[:_PSEUDONYM_DIGITS]}… by {run.opened.routine}"
        told = changes.get(run.opened.run, ())
        verb = "would be " if stage.mode is Mode.REHEARSE else ""
        for change in told[:_SHOWN_TABLES]:
            counts = f"{verb}deleted {change.deleted_rows}, masked {change.masked_rows}"
            yield "", f"{change.store}.{change.table}: {counts}"
        if len(told) > _SHOWN_TABLES:
            yield "", f"and {len(told) - _SHOWN_TABLES} more tables in verdict.json"
        for plan in run.all(PlanMade) if stage.mode is Mode.REHEARSE else ():
            yield "plan", plan.digest
    if stage.mode is not Mode.PREFLIGHT:
        yield "grade", stage.scope.grade
    if stage.durations_s:
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stage.durations_s.items())
        yield "time", times
    if stage.request.key_made:
        yield (
            "key",
            "made for this site: keep it, pseudonyms mean nothing without it",
        )
    yield "evidence", os.path.relpath(stage.session.folder)
    yield "next", _next(line, stage)


def _next(line: Concluded, stage: LiveStage) -> str:
    """Return the next command, or what to do before any."""
    if stage.unfinished():
        return f"pytest --live --resume={os.path.relpath(stage.session.folder)}"
    if line.refusal:
        return "do what the sentence above says, then run the same command again"
    verdict = line.judgement.verdict
    if verdict is Verdict.UNKNOWN and stage.mode is not Mode.PREFLIGHT:
        return "mend the cause named above and run the same command again"
    if verdict is Verdict.TRACE:
        return "something remains: see verdict.json, stop the Coreapps, and erase again"
    return {
        Mode.PREFLIGHT: "pytest --live --rehearse with the same --db-env and --wa-id-file",
        Mode.REHEARSE: "pytest --live --plan=<the digest above>, with the same subject",
        Mode.AUDIT: "keep the evidence; it is no statement that anything was erased",
        Mode.LIVE: "keep the evidence; pytest --live --audit looks again at any time",
    }[stage.mode]
