"""The last screen: what a tired person must know, in reading order, and nothing else."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.evidence.comparison import Comparison, Entry
from harness.evidence.verdict import Grade, Scope
from harness.judge import judge_run, runs_of
from harness.model import Finding, FindingKind, Judgement, Planted, Verdict
from harness.plugin.figures import COUNTS, rounded
from harness.plugin.outcome import Concluded
from harness.run import DOCUMENTED
from harness.surfaces import FileKind, FileSet

if TYPE_CHECKING:
    from harness.plugin.staging import Stage

SCOPE: Final = Scope(
    searched=(
        "every column of every table of every database of the set, for each form in the README",
    ),
    not_searched=(
        "national and compressed forms",
        "large objects and schema definitions",
        "logs",
        "media",
        "engine files",
        "backups",
    ),
)
IN_FILES: Final = {FileKind.LOG: "logs", FileKind.MEDIA: "media"}


def scope_of(files: FileSet, stores: Sequence[str] = (), logs: Sequence[str] = ()) -> Scope:
    """Return what a verdict speaks about.

    Args:
        files: The log folders and media volumes that were searched.
        stores: Stores that are not on the server.
        logs: Logs of the server's own that are not clean.
    """
    searched = list(SCOPE.searched)
    for kind, name in IN_FILES.items():
        if roots := files.of_kind(kind):
            labels = ", ".join(root.label for root in roots)
            searched.append(f"every file, archive and name of the {name} in {labels}")
    have = {name for kind, name in IN_FILES.items() if files.of_kind(kind)}
    lacking = (one for one in SCOPE.not_searched if one not in have)
    grade: Grade = "+files" if len(have) == len(IN_FILES) else "rows"
    return Scope(tuple(searched), (*stores, *lacking, *logs), grade)


STYLES: Final = {
    Verdict.CLEAR: "bold green",
    Verdict.TRACE: "bold red",
    Verdict.UNKNOWN: "bold yellow",
}
MEANINGS: Final = {
    Verdict.CLEAR: "nothing unexpected was found",
    Verdict.TRACE: "something remains, or someone else was changed",
    Verdict.UNKNOWN: "we could not tell",
}
_NEXT: Final = {
    Verdict.CLEAR: "keep the evidence with the release's papers",
    Verdict.TRACE: "do not rely on this routine; every finding is in verdict.json",
    Verdict.UNKNOWN: "mend the cause named above and run again; nothing was proven",
}
_SHOWN_REASONS: Final = 12
_SHOWN_DIFFERENCES: Final = 12
_NARROWEST: Final = 80
_LARGEST_LEGIBLE: Final = 100_000


def render(line: Concluded, stage: Stage, *, width: int, colour: bool) -> list[str]:
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
    console.print(_headline(line, stage.scope))
    if line.judgement.findings:
        console.print(reasons(line.judgement.findings))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    if line.comparison:
        facts.add_row(Text("baseline", style="bold"), _against(line.comparison))
    for name, fact in _facts(line.judgement, stage):
        facts.add_row(Text(name, style="bold"), fact)
    console.print(facts)
    return text.getvalue().splitlines()


def _headline(line: Concluded, scope: Scope) -> Text:
    verdict = line.judgement.verdict
    narrowed = f"; partial: {line.partial}" if line.partial else ""
    text = Text(verdict.value, style=STYLES[verdict])
    text.append(f" ({scope}{narrowed})", style="default not bold")
    text.append(f"\n{MEANINGS[verdict]}; exit {line.exit_status}", style="default not bold")
    if not line.judgement.held:
        text.append("; no run held anything of its subject, so nothing is said about erasure")
    return text


def reasons(findings: Iterable[Finding], *, ones: bool = True) -> Table:
    """Return the findings that decide, by reason: the rarest reason of each engine first.

    Args:
        findings: What was found.
        ones: Whether a count of one is shown too; where places are told, it says nothing.
    """
    places: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for finding in findings:
        # Of drift the column is what is to be looked at.
        column = finding.column if finding.kind is FindingKind.DRIFT else ""
        table = ".".join(part for part in (finding.store, finding.table, column) if part)
        # In which forms something is still there is told column by column in verdict.json.
        why = finding.why.partition(", as ")[0]
        reason = f"{finding.surface}: {why}" if finding.surface else why
        places[finding.engine, finding.kind.value, reason][table] += finding.count
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    ordered = sorted(places.items(), key=lambda entry: (entry[0][0], len(entry[1]), entry[0][1:]))
    for (engine, kind, reason), counts in ordered[:_SHOWN_REASONS]:
        listed = ", ".join(
            f"{place} {_shown(count)}" if ones or count != 1 else place
            for place, count in sorted(counts.items())
            if place
        )
        told = f"{reason}:\n{listed}" if listed else reason
        grid.add_row(Text(engine or "-", style="bold"), kind, Text(told))
    if len(ordered) > _SHOWN_REASONS:
        grid.add_row("", "", f"and {len(ordered) - _SHOWN_REASONS} more reasons in verdict.json")
    return grid


def _shown(count: int) -> str:
    """Return a count as it stays legible: seven digits in a row would be redacted."""
    return str(count) if count < _LARGEST_LEGIBLE else rounded(count, COUNTS)


def _facts(judgement: Judgement, stage: Stage) -> Iterator[tuple[str, str]]:
    runs = [run.opened for run in runs_of(stage.records())]
    versions = sorted({(run.engine, run.engine_version) for run in runs})
    yield "engines", ", ".join(f"{engine} ({version})" for engine, version in versions) or "none"
    if judgement.verdict is not Verdict.UNKNOWN:
        yield from (("expected", one) for one in _expected(stage))
    if file := stage.request.file:
        yield "routine", f"{file.label}, SHA-256 {file.sha256[:32]}…{_left_out(file.left_out)}"
    routines = sorted({f"{run.routine}{' as a control' if run.control else ''}" for run in runs})
    yield "runs", f"{len(runs)} of {', '.join(routines) or 'no routine'}"
    yield "seeded", _seeded(stage)
    yield "time", _times(stage)
    yield "evidence", os.path.relpath(stage.session.folder)
    yield "next", _NEXT[judgement.verdict]


def _left_out(left_out: Sequence[str]) -> str:
    return f"; not carried out: {', '.join(left_out)}" if left_out else ""


def _seeded(stage: Stage) -> str:
    planted = [record for record in stage.records() if isinstance(record, Planted)]
    cells = sum(trace.cells for record in planted for trace in record.traces)
    absent = sum(not record.traces for record in planted)
    rows = sum(record.bystander_rows for record in planted)
    return (
        f"{len(planted)} worlds: {cells} cells of subjects, {rows} rows of others; "
        f"in {absent} the subject is absent"
    )


def _expected(stage: Stage) -> Iterator[str]:
    """Say where the controls left the subject, by the kind of control."""
    places: dict[bool, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for run in runs_of(stage.records()):
        for finding in judge_run(run).expected if run.opened.control else ():
            if finding.kind is FindingKind.TRACE:
                documented = run.opened.routine == DOCUMENTED
                places[documented][finding.engine].add(finding.place)
    for documented, by_engine in sorted(places.items(), reverse=True):
        left = ", ".join(
            f"{len(columns)} columns on {engine}" for engine, columns in sorted(by_engine.items())
        )
        yield (
            f"the vendor's documented routine leaves the subject in {left}, exactly as the "
            "manifest predicts: never rely on it alone"
            if documented
            else f"what a Coreapp wrote back after an erasure was found, in {left}"
        )


def _times(stage: Stage) -> str:
    parts = [f"{name} {seconds:.1f} s" for name, seconds in stage.durations_s.items()]
    return f"{', '.join(parts)}; in all {sum(stage.durations_s.values()):.1f} s"


def _against(comparison: Comparison) -> Text:
    """Return how the session differs from its baseline: in one line, then by place."""
    listed = [
        *((entry.expected, f"new: {_located(entry)}") for entry in comparison.new),
        *((one.expected, f"changed: {_located(one)}, was {one.was}") for one in comparison.changed),
        *((entry.expected, f"gone: {_located(entry)}") for entry in comparison.gone),
    ]
    # What decides stands first, or the expected ones could crowd it out.
    places = [text for _, text in sorted(listed, key=itemgetter(0))]
    more = len(places) - _SHOWN_DIFFERENCES
    rest = [f"and {more} more in verdict.json"] if more > 0 else []
    lines = [_compared(comparison), *places[:_SHOWN_DIFFERENCES], *rest, *comparison.remarks]
    # These names come from a file: what is no character could steer the terminal.
    return Text("\n".join("".join(c if c.isprintable() else "?" for c in one) for one in lines))


def _compared(comparison: Comparison) -> str:
    if not comparison.compared:
        return f"not comparable with {comparison.session}"
    if not comparison.differs:
        noun = "finding" if comparison.unchanged == 1 else "findings"
        same = f"{comparison.unchanged} {noun} unchanged" if comparison.unchanged else f"no {noun}"
        return f"the same as {comparison.session}: {same}"
    counts = (
        f"{len(comparison.new)} new, {len(comparison.gone)} gone, "
        f"{len(comparison.changed)} changed, {comparison.unchanged} unchanged"
    )
    return f"against {comparison.session}, which was {comparison.verdict.value}: {counts}"


def _located(entry: Entry) -> str:
    """Name a finding's place and count; expected ones decide nothing, and are marked."""
    finding = entry.finding
    place = " ".join(dict.fromkeys(part for part in (finding.place, finding.surface) if part))
    marked = " (expected)" if entry.expected else ""
    return f"{finding.engine or '-'} {finding.kind.value} {place} {finding.count}{marked}"
