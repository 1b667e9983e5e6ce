"""Print the mutation score of the verifier: `python -m harness._tests.mutants`.

Exits 1 if a mutant survives. With `--excused` the mutants that are said to be equivalent are
tried as well: one that is killed is excused wrongly.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from harness._tests.mutants.grounds import choice_of
from harness._tests.mutants.results import table
from harness._tests.mutants.switches import MODULES
from harness._tests.mutants.verifier import verified
from harness.model import EngineKind


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m harness._tests.mutants", description=__doc__)
    parser.add_argument("--engine", action="append", help="such as mysql; repeatable; both")
    parser.add_argument("--module", action="append", choices=MODULES, help="repeatable; all")
    parser.add_argument("--excused", action="store_true", help="try the equivalent ones too")
    asked = parser.parse_args(arguments)
    choices = [choice_of(name) for name in asked.engine or [kind.value for kind in EngineKind]]
    started_s = time.monotonic()

    def told(line: str) -> None:
        print(f"{time.monotonic() - started_s:6.1f} s  {line}", file=sys.stderr)  # noqa: T201

    results = verified(choices, asked.module or MODULES, told, excused=not asked.excused)
    print(*table(results), sep="\n")  # noqa: T201  # the score is asked for
    return int(any(one.survived for one in results))


if __name__ == "__main__":
    sys.exit(main())
