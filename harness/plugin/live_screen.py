"""The last screen of a live session: what an operator must know at three in the morning.

First whether anything was committed; then what was done to whom, by table; what was
searched and what was not; and the next command.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.evidence.verdict import FileAccount
from harness.judge import Run, runs_of
from harness.model import (
    ClosureFrozen,
    Erased,
    Mode,
    PlanMade,
    TableChange,
    Verdict,
    Withheld,
)
from harness.plugin import preflight_screen, screen
from harness.plugin.client_facts import client_facts
from harness.plugin.file_account import account_of
from harness.plugin.next_step import next_step
from harness.plugin.outcome import Concluded, changes_of

if TYPE_CHECKING:
    from harness.plugin.live_stage import LiveStage

_NARROWEST: Final = 80
_SHOWN_TABLES: Final = 40
_PSEUDONYM_DIGITS: Final = 32  # shorter ones may look like a number, and be redacted
_ROWS: Final = {
    "untouched": "no row was changed",
    "committed": "rows were COMMITTED",
    "partial": "a commit was sent and is NOT KNOWN to be carried out everywhere",
}
_CLEAR: Final = {
    (Mode.LIVE, True): "erased: nothing of the subject remains in what was searched",
    (Mode.LIVE, False): "nothing held: nothing of the subject was there, so nothing was erased",
    (Mode.REHEARSE, True): "rehearsed: it would be clear; everything was rolled back",
    (Mode.REHEARSE, False): "nothing held: nothing of the subject is there, so nothing to erase",
    (Mode.AUDIT, True): "no trace of the subject in what was searched",
    (Mode.AUDIT, False): "no trace of the subject in what was searched",
}
_TRACE: Final = {
    Mode.LIVE: "something remains, or someone else was changed",
    Mode.REHEARSE: "something would remain, or someone else would be changed",
    Mode.AUDIT: "the subject is there",
}


def render(line: Concluded, stage: LiveStage, *, width: int, colour: bool) -> list[str]:
    """Return the lines of the last screen, for a terminal `width` columns wide."""
    text = StringIO()
    lines: list[str] = []
    console = Console(
        file=text,
        width=max(width, _NARROWEST),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
    )
    for seen in stage.preflights:
        if stage.mode is Mode.PREFLIGHT or not seen.ready:
            lines += preflight_screen.render(seen, width=width, colour=colour)
    console.rule()
    headline, said = _headline(line, stage)
    # What cannot be taken back stands on one line, however much there is to say.
    console.print(headline, soft_wrap=True)
    console.print(said)
    if line.judgement.findings and not line.refusal:
        console.print(screen.reasons(line.judgement.findings))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    step = next_step(line, stage)
    for name, fact in (*_facts(stage), ("next", step.sentence)):
        facts.add_row(Text(name, style="bold"), fact)
    console.print(facts)
    if step.command:
        # In one piece, however long: it is to be copied.
        console.print(Text(f"  {step.command}"), soft_wrap=True)
    return lines + [one.rstrip() for one in text.getvalue().splitlines()]


def _headline(line: Concluded, stage: LiveStage) -> tuple[Text, str]:
    """Say first what became of the rows: that is what cannot be taken back."""
    # The client's own collection takes rows away too, and nobody erased those.
    untouched = "no row was erased" if stage.asked else _ROWS["untouched"]
    known = untouched if stage.rows == "untouched" else _ROWS[stage.rows]
    rows = f"{known}{_files(stage)}{_garbage(stage)}"
    verdict = line.judgement.verdict
    word, style, said = verdict.value, screen.STYLES[verdict], _said(line, stage)
    if line.refusal and stage.idle:
        word, style, said = "REFUSED", "bold yellow", line.refusal
        rows = "nothing was done, and the session is as it was"
    elif line.refusal and stage.rows == "untouched":
        word, style, said = "REFUSED", "bold yellow", line.refusal
    elif stage.mode is Mode.PREFLIGHT:
        ready = verdict is Verdict.CLEAR
        word = "READY" if ready else word
        said = "no row was searched, so this says nothing about anybody" if ready else said
    else:
        word += f" ({stage.scope.grade})"
    text = Text(word, style=style)
    return text.append(f"; {rows}; exit {line.exit_status}", "default not bold"), said


def _files(stage: LiveStage) -> str:
    """Say what became of the files, where the rows alone would say too much."""
    account = account_of(stage.records())
    if account is None or stage.rows == "untouched":
        return ""
    return {
        "scrubbed": " and files scrubbed",
        "partial": ", files only IN PART",
        "untouched": ", files NOT",
    }[account.state]


def _garbage(stage: LiveStage) -> str:
    """Say what became of the client's garbage, whose rows are not the subject's alone."""
    asked = stage.request.webapp
    if stage.mode is not Mode.LIVE or not asked or not asked.garbage:
        return ""
    if stage.rows == "untouched" and not stage.asked:
        return ""
    return ", garbage NOT collected" if stage.uncollected else ", garbage collected"


def _said(line: Concluded, stage: LiveStage) -> str:
    verdict = line.judgement.verdict
    if verdict is Verdict.CLEAR and stage.mode is not Mode.PREFLIGHT:
        return _CLEAR[stage.mode, line.judgement.held]
    said = screen.MEANINGS[verdict]
    if verdict is Verdict.TRACE:
        said = _TRACE[stage.mode]
    return f"{said}, AFTER the commit: what is gone stays gone" if _gone(stage) else said


def _gone(stage: LiveStage) -> bool:
    return stage.rows == "committed"


def _facts(stage: LiveStage) -> Iterator[tuple[str, str]]:
    runs = list(runs_of(stage.records()))
    yield from _engines(runs)
    changes = changes_of(stage.records())
    for run in runs:
        told = changes.get(run.opened.run, ())
        yield "subject", f"{run.opened.subject[:_PSEUDONYM_DIGITS]}…{_in_all(run, told)}"
        yield from _known_as(run)
        for change in told[:_SHOWN_TABLES]:
            counts = f"{change.deleted_rows} deleted, {change.masked_rows} masked"
            yield "", f"{change.store}.{change.table}: {counts}"
        if len(told) > _SHOWN_TABLES:
            yield "", f"and {len(told) - _SHOWN_TABLES} more tables in verdict.json"
        for plan in run.all(PlanMade) if stage.mode is Mode.REHEARSE else ():
            yield "plan", plan.digest
    if account := account_of(stage.records()):
        yield "files", _in_files(account)
    yield from client_facts(stage.records())
    yield from _not_as_given(stage)
    # Before an erasure there is time to read them; preflight.json has them always.
    for seen in stage.preflights if stage.mode is Mode.REHEARSE else ():
        yield from (("warning", one) for one in seen.warnings)
    if stage.mode is not Mode.PREFLIGHT:
        yield "not searched", ", ".join(stage.scope.not_searched)
    if stage.durations_s:
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stage.durations_s.items())
        yield "time", times
    if stage.request.key_made:
        yield (
            "key",
            "made for this site: keep it, pseudonyms mean nothing without it",
        )
    yield "evidence", os.path.relpath(stage.session.folder)


def _engines(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    versions = sorted({(run.opened.engine, run.opened.engine_version) for run in runs})
    if versions:
        yield "engine", ", ".join(f"{engine} ({version})" for engine, version in versions)


def _in_files(account: FileAccount) -> str:
    """Say what was searched in files, and what was done there or would be."""
    would = "would be " if account.withheld else ""
    volume = f"{account.content_bytes / 1e6:,.1f} MB"
    parts = [f"{account.searched:,} files searched, {volume} unpacked"]
    masked = account.identifiers_masked + account.names_masked
    if masked or account.state != "untouched" or account.withheld:
        parts.append(f"{masked:,} identifiers {would}masked")
        parts.append(f"{account.media_removed:,} media {would}removed")
    if account.media_shared:
        parts.append(f"{account.media_shared:,} media stay, others' rows lead there too")
    if account.media_absent:
        parts.append(f"{account.media_absent:,} media were not there any more")
    return "; ".join(parts)


def _known_as(run: Run) -> Iterator[tuple[str, str]]:
    """Say by how many numbers of each kind the subject was looked for."""
    for frozen in run.all(ClosureFrozen)[-1:]:
        yield (
            "known as",
            ", ".join(f"{count} {kind}" for kind, count in frozen.identifiers if count),
        )


def _in_all(run: Run, changes: Sequence[TableChange]) -> str:
    """Say how much of a subject was deleted and masked, and by what."""
    withheld = run.all(Withheld)
    if not withheld and not run.all(Erased):
        return ""
    deleted = sum(one.deleted_rows for one in changes)
    masked = sum(one.masked_rows for one in changes)
    would = "would be " if withheld else ""
    counts = f"{deleted} rows {would}deleted, {masked} masked" if changes else "nothing held"
    return f", {run.opened.routine}: {counts}"


def _not_as_given(stage: LiveStage) -> Iterator[tuple[str, str]]:
    """Say where subjects that were given have no run of their own."""
    if stage.same:
        yield "same", f"{stage.same} of the numbers given are a person's who was given already"
    begun = [stage.began(one) for one in stage.request.subjects]
    if any(begun) and not all(begun):
        yield "not begun", f"{begun.count(False)} of {len(begun)} subjects, for the cause above"
