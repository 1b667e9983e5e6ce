"""Print a Markdown table: each kind of file and fault, what was planted, what a search said.

`python -m harness._tests.file_table` looks at each case of `file_cases` with the search that
live runs use; it fails if one of them is not said rightly.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from harness._tests.file_cases import CASES, FileCase
from harness._tests.powerless import powerless
from harness.identity import Closure, WaId
from harness.population.people import person
from harness.surfaces import FileSearch, FileSet, FileSighting, sweep_files

_NUMBER = person(7).number


def main() -> int:
    """Print the table; return how many cases were not said rightly."""
    wrong = 0
    lines = ["| file or fault | planted | found | UNKNOWN, in these words |", "|---|---|---|---|"]
    for case in CASES:
        seen = _looked(case)
        found = sum(trace.hits for trace in seen.traces)
        wrong += bool(case.complaint(found, len(seen.gaps)))
        why = "; ".join(dict.fromkeys(gap.why for gap in seen.gaps))
        lines.append(f"| {case.name} | {case.found} | {found} | {why} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return wrong


def _looked(case: FileCase) -> FileSighting:
    with tempfile.TemporaryDirectory() as folder, case.planted(Path(folder), _NUMBER):

        def look() -> FileSighting:
            return sweep_files(FileSet.of([Path(folder)], []), FileSearch(Closure(WaId(_NUMBER))))

        return powerless(look) if case.powerless else look()


if __name__ == "__main__":
    sys.exit(main())
