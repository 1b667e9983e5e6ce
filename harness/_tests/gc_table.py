"""Print a Markdown table: each fault of a client that is to collect garbage, and what is said.

`python -m harness._tests.gc_table` does each case of `gc_cases` for real, on both engines, with
one Coreapp and with three; fixtures/gc/faults.md is what it prints. It fails if one of them has
another verdict or sentence than it should.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness import config
from harness.model import EngineKind
from harness.servers import parse_choice, running

from .gc_bed import Acted, act_all

FILE: Final = Path(__file__).resolve().parents[2] / "fixtures" / "gc" / "faults.md"
PREFIX: Final = "table_"
_HEAD: Final = """\
# A client that is to collect garbage, and what is said of it

What `python -m harness._tests.gc_table` prints. Each row was done for real: an upgrade gate that
has garbage collected, over real stores and a stand-in for the client, with one Coreapp and with
three (multiconnect). "Both" engines: each was run, and said the same. The stand-in answers as the
client's API is published; the faults are ours.

Where the end is seen in the client's statistics, nothing tells a collection that failed, or
never began, from one that went through: counts at rest are no confirmation, which the screen
says, and what is still large is measured again behind it. The notification does tell.

| fault | end seen by | Coreapps | engine | verdict | exit | what is said |
|---|---|---|---|---|---|---|
"""


def main() -> int:
    """Print the table; return how many cases were not said rightly."""
    choices = [parse_choice(kind.value) for kind in EngineKind]
    with running(choices) as servers:
        done = act_all(
            {
                choice.kind: replace(
                    config.from_variables(server.environment, source="table"), prefix=PREFIX
                )
                for choice, server in servers.items()
            }
        )
    sys.stdout.write(page(done))
    wrong = [why for acted in done if (why := complaint(acted))]
    sys.stderr.writelines(f"{why}\n" for why in wrong)
    return len(wrong)


def complaint(acted: Acted) -> str:
    """Return what is wrong with what was said of a case, or nothing."""
    case, verdict, said = acted.case, acted.judgement.verdict, acted.sentences
    wanted = case.wanted(acted.nodes)
    if verdict is case.verdict and len(said) == 1 and wanted in said[0]:
        return ""
    where = f"{case}, {case.seen}, {acted.nodes} Coreapps, {acted.engine}"
    return f"{where}: {verdict}, {' / '.join(said)}; wanted {case.verdict}, {wanted}"


def page(done: Iterable[Acted]) -> str:
    """Return the whole page."""
    return _HEAD + "".join(f"{line}\n" for line in lines(done))


def lines(done: Iterable[Acted]) -> Iterator[str]:
    """Yield a line for each case; engines, and numbers of Coreapps, that agree share one."""
    engines: dict[tuple[str, ...], list[str]] = {}
    for acted in done:
        engines.setdefault(_cells(acted), []).append(str(acted.engine))
    coreapps: dict[tuple[str, ...], list[str]] = {}
    for (nodes, *rest), named in engines.items():
        both = "both" if len(named) == len(EngineKind) else ", ".join(named)
        coreapps.setdefault((both, *rest), []).append(nodes)
    for (both, fault, seen, *rest), counts in coreapps.items():
        yield f"| {' | '.join((fault, seen, ' and '.join(counts), both, *rest))} |"


def _cells(acted: Acted) -> tuple[str, ...]:
    verdict = acted.judgement.verdict
    seen = str(acted.case.seen) if acted.collected else "-"
    said = " / ".join(acted.sentences).replace("|", "\\|")
    return str(acted.nodes), str(acted.case), seen, str(verdict), str(verdict.exit_code), said


if __name__ == "__main__":
    sys.exit(main())
