"""Print the scores: how many mutants of routines, and of the verifier, somebody notices.

`python -m harness._tests.mutants` tries them all and exits 1 if one survives. Routines are tried
on each engine side by side, then the verifier.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from harness._tests.mutants import report, results
from harness._tests.mutants.routines import Trial, trials
from harness._tests.mutants.switches import MODULES
from harness._tests.mutants.trials import benches
from harness._tests.mutants.verifier import verified
from harness.model import EngineKind
from harness.servers import parse_choice

PARTS: Final = ("routines", "verifier")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants that are asked for; return the exit status."""
    asked = _asked(arguments)
    if asked.records:
        _record(asked.engine[0], asked.operator, asked.records)
        return 0
    started_s = time.monotonic()
    survived = 0
    lines = ["# Mutants", ""]
    for part in asked.part or PARTS:
        found = _routines(asked) if part == "routines" else _verifier(asked)
        lines += [
            f"## Of {'routines' if part == 'routines' else 'the verifier'}",
            "",
            *found[0],
            "",
        ]
        survived += found[1]
    minutes = (time.monotonic() - started_s) / 60
    lines.append(f"{survived} survived; {minutes:.1f} minutes.")
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if asked.output:
        asked.output.write_text(text, encoding="utf-8")
    return int(survived > 0)


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness._tests.mutants", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; both")
    parser.add_argument("--engine", action="append", help="such as mysql; repeatable; both")
    parser.add_argument("--operator", default="", help="of routines: only operators with this text")
    parser.add_argument("--module", action="append", choices=MODULES, help="of the verifier; all")
    parser.add_argument("--excused", action="store_true", help="try the equivalent ones too")
    parser.add_argument("--output", type=Path, help="a Markdown file for the scores")
    parser.add_argument("--records", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    asked.engine = asked.engine or [kind.value for kind in EngineKind]
    return asked


def _routines(asked: argparse.Namespace) -> tuple[list[str], int]:
    """Try the mutants of routines, each engine in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        files = {engine: Path(folder, engine.replace(":", "-")) for engine in asked.engine}
        own = [sys.executable, "-m", "harness._tests.mutants", f"--operator={asked.operator}"]
        running = [
            subprocess.Popen([*own, f"--engine={engine}", f"--records={path}"])
            for engine, path in files.items()
        ]
        if any(list(map(subprocess.Popen.wait, running))):
            raise SystemExit("The mutants of routines could not be tried on every engine.")
        tried = [one for path in files.values() for one in _read(path)]
    return list(report.lines(tried)), sum(one.survived for one in tried)


def _record(engine: str, operator: str, path: Path) -> None:
    """Try the mutants of routines on one engine; write what became of them, one JSON a line."""
    choice = parse_choice(engine)
    with benches([choice]) as made, path.open("w", encoding="utf-8") as stream:
        for trial in trials(made[choice], operator):
            stream.write(json.dumps(asdict(trial)) + "\n")


def _read(path: Path) -> Iterator[Trial]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield Trial(**json.loads(line))


def _verifier(asked: argparse.Namespace) -> tuple[list[str], int]:
    """Try the mutants of the verifier."""
    started_s = time.monotonic()

    def told(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started_s:6.1f} s  {line}\n")

    choices = [parse_choice(engine) for engine in asked.engine]
    found = verified(choices, asked.module or MODULES, told, excused=not asked.excused)
    lines = ["```", *results.table(found), "```"]
    return lines, sum(one.survived for one in found)


if __name__ == "__main__":
    sys.exit(main())
