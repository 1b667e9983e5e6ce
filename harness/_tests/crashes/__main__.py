"""The complete matrix: both engines, both victims, every phase, and random moments."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from harness.model import EngineKind
from harness.servers import parse_choice

from . import bed as beds
from .bed import NO_JOURNAL, ONLY_HEADER, Bed
from .dumps import AFTER, BEFORE, MIXED
from .starter import REPOSITORY
from .trials import Aim, Trial, Victim, aimed, at_random, carry_out, phases

ORDERED: Final = "no room to prepare"
"""The label of trials in which PostgreSQL commits store by store."""
_TRIES: Final = 8
_HEAD: Final = (
    *("engine", "victim", "phase", "trials", "at random", "wholly before", "wholly after"),
    *("mixed", "bystanders harmed", "left half way", "resume killed too"),
    *("exit codes of --resume", "faults"),
)
_ORDER: Final = (NO_JOURNAL, ONLY_HEADER, "begun", "located", "erasing", "preparing")
_LATER: Final = ("committing", "committed", "swept", "closed", "attested")


def main() -> None:
    """Carry the trials out and print the table."""
    parser = argparse.ArgumentParser(prog="python -m harness._tests.crashes", description=__doc__)
    engines, victims = [one.value for one in EngineKind], [one.value for one in Victim]
    parser.add_argument("--engine", action="append", choices=engines)
    parser.add_argument("--victim", action="append", choices=victims)
    parser.add_argument("--per-phase", type=int, default=5, metavar="N")
    parser.add_argument("--random", type=int, default=100, metavar="N", help="for each engine")
    parser.add_argument("--messages", type=int, default=500, metavar="N", help="of bystanders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, metavar="FILE")
    parser.add_argument("--lines", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.engine, asked.victim = asked.engine or engines, asked.victim or victims
    if asked.lines:
        (engine,) = asked.engine
        for trial in _of_engine(engine, asked):
            sys.stdout.write(json.dumps(asdict(trial)) + "\n")
            sys.stdout.flush()
        return
    began_s = time.monotonic()
    trials = list(_side_by_side(asked))
    minutes = (time.monotonic() - began_s) / 60
    text = _report(trials, asked, minutes)
    if asked.output:
        asked.output.write_text(text, "utf-8")
    sys.stdout.write(text)
    sys.exit(any(trial.faults or trial.state == MIXED for trial in trials))


def _side_by_side(asked: argparse.Namespace) -> Iterator[Trial]:
    """Have one process for each engine, since a server dies with the thread that launched it."""
    options = [f"--per-phase={asked.per_phase}", f"--random={asked.random}"]
    options += [f"--messages={asked.messages}", f"--seed={asked.seed}", "--lines"]
    options += [f"--victim={victim}" for victim in asked.victim]
    command = [sys.executable, "-m", __package__ or "", *options]
    processes = [
        subprocess.Popen([*command, f"--engine={engine}"], cwd=REPOSITORY, stdout=subprocess.PIPE)
        for engine in asked.engine
    ]
    for process in processes:
        output, _ = process.communicate()
        if process.returncode:
            sys.exit(f"A process of trials ended with {process.returncode}.")
        for line in output.splitlines():
            yield Trial(**json.loads(line))


def _of_engine(engine: str, asked: argparse.Namespace) -> Iterator[Trial]:
    draw = random.Random(asked.seed)
    counted: Counter[tuple[str, str]] = Counter()
    with beds.made(parse_choice(engine), asked.messages) as bed:
        for number in range(asked.random):
            victim = Victim(asked.victim[number % len(asked.victim)])
            again_s = draw.uniform(0, 1.5) if number % 5 == 0 else None
            trial = carry_out(
                bed, victim, at_random(bed, draw), twice=number % 4 == 0, kill_again_s=again_s
            )
            counted[trial.victim, trial.phase] += 1
            yield _told(trial)
        for victim in map(Victim, asked.victim):
            for phase in phases(bed.kind):
                for attempt in range(_TRIES * asked.per_phase):
                    if counted[victim.value, phase] >= asked.per_phase:
                        break
                    trial = carry_out(bed, victim, aimed(bed, phase, draw, attempt))
                    counted[trial.victim, trial.phase] += 1
                    yield _told(trial)
        if bed.kind is EngineKind.POSTGRES:
            yield from _in_order(bed, asked, draw)


def _in_order(bed: Bed, asked: argparse.Namespace, draw: random.Random) -> Iterator[Trial]:
    """Kill while PostgreSQL commits store by store, between the commits of two stores."""
    changed = list(bed.yardstick.see(bed.yardstick.after).stores)
    with bed.no_room():
        for victim in map(Victim, asked.victim):
            for number in range(asked.per_phase):
                # Not in the last one: after that there is no other.
                store = draw.choice([one for one in changed if one != "contactStore"])
                aim = Aim("committing", 0.3)
                trial = carry_out(
                    bed, victim, aim, hanging=store, kill_again_s=1.0 if number % 2 else None
                )
                yield _told(replace(trial, phase=f"{trial.phase}, {ORDERED}"))


def _told(trial: Trial) -> Trial:
    """Tell what came of a trial that has faults, while others go on."""
    sys.stderr.write(
        f"{trial.engine} {trial.victim} {trial.phase}: {trial.state}, {trial.statuses} "
        f"{'; '.join(trial.faults)}\n"
    )
    for screen in trial.screens:
        sys.stderr.write(screen[-3000:])
    return trial


def _report(trials: Sequence[Trial], asked: argparse.Namespace, minutes: float) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *_rows(trials)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    faults = Counter(fault for trial in trials for fault in trial.faults)
    said = "".join(f"- {count} x {fault}\n" for fault, count in faults.most_common())
    return (
        "# Killed, taken up again, and looked at\n\n"
        "Made by `python -m harness._tests.crashes` "
        f"(`--per-phase={asked.per_phase} --random={asked.random} --seed={asked.seed}`), "
        f"{len(trials)} trials in {minutes:.0f} minutes.\n\n"
        "Each trial starts `pytest --live`, sends SIGKILL to it or to the server, reads from the "
        "journal how far it had come, resumes (or, where nothing had begun, runs again), and "
        "compares a dump of every table by a plain client with those before and after an "
        "undisturbed erasure. *Left half way*: before the resume, some stores were erased and "
        "others not, or transactions stood prepared. *No room to prepare*: "
        "others had taken all of max_prepared_transactions, so that PostgreSQL commits store by "
        "store, and a commit in one of them was held up.\n\n"
        f"{table}\n{said or 'No faults.'}\n"
    )


def _rows(trials: Sequence[Trial]) -> Iterator[tuple[str, ...]]:
    order = {phase: n for n, phase in enumerate((*_ORDER, *_LATER))}
    groups = {(trial.engine, trial.victim, trial.phase) for trial in trials}
    for group in sorted(groups, key=lambda one: (*one[:2], order.get(one[2], len(order)), one[2])):
        same = [one for one in trials if (one.engine, one.victim, one.phase) == group]
        states = Counter(one.state for one in same)
        statuses = Counter(status for one in same for status in one.statuses)
        yield (
            *group,
            str(len(same)),
            str(sum(one.aim == "random" for one in same)),
            str(states[BEFORE]),
            str(states[AFTER]),
            str(states[MIXED]),
            str(sum(one.harmed_rows > 0 for one in same)),
            str(sum(one.half_way for one in same)),
            str(sum(one.killed_again for one in same)),
            ", ".join(f"{status} ({count})" for status, count in sorted(statuses.items())),
            str(sum(bool(one.faults) for one in same)),
        )


if __name__ == "__main__":
    main()
