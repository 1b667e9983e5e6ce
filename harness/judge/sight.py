"""Rules about what an upgrade gate could not see, where that could change its verdict.

What decides nothing, such as the disk of a server on another machine, is named in the scope of
the verdict and gives no finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.judge.capacity import MESSAGES, QUEUE, figure, whose
from harness.judge.runs import Run
from harness.model import ClientSeen, Finding, FindingKind, GateOpened, TableWeight, Weighed

_AGAIN: Final = (
    "its statistics cannot be trusted: weigh again in a quiet hour, with statistics renewed by "
    "ANALYZE"
)


def uncounted(run: Run) -> Iterator[Finding]:
    """Rows that decide something must be known to be above their limit, or not above it."""
    gate, weighed = _newest(run)
    if gate is None or weighed is None:
        return
    decisive = [(MESSAGES, "large_rows", gate.large_rows)]
    clients = run.all(ClientSeen)
    if not clients or clients[-1].pending_callbacks is None:
        decisive.append((QUEUE, "pending_callbacks_most", gate.pending_callbacks_most))
    for place, name, limit in decisive:
        for table in weighed.tables:
            if (table.store, table.table) == place and _is_between(table, limit):
                why = (
                    f"whether it has more rows than {whose(name, limit)} {figure(limit)} is not "
                    f"known, since {table.uncounted or _AGAIN}"
                )
                yield run.finding(FindingKind.COVERAGE, why, place=(*place, ""), surface="rows")


def _is_between(table: TableWeight, limit: int) -> bool:
    """Tell whether the truth may be above a limit as well as not above it."""
    least = table.rows if table.least < 0 else table.least
    most = table.rows if table.most < 0 else table.most
    return table.rows >= 0 and least <= limit < most


def hidden(run: Run) -> Iterator[Finding]:
    """Every store and table must be open to the account that weighs."""
    _, weighed = _newest(run)
    for sentence in weighed.hidden if weighed else ():
        place, _, way_out = sentence.partition(": ")
        why = f"the account may not look at it: {way_out}"
        yield run.finding(FindingKind.COVERAGE, why, surface=f"rights to {place}")


def _newest(run: Run) -> tuple[GateOpened | None, Weighed | None]:
    gates, weighed = run.all(GateOpened), run.all(Weighed)
    return (gates[-1] if gates else None), (weighed[-1] if weighed else None)
