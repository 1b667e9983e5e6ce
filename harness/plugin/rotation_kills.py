"""Rotations of a Coreapp's log, killed at any moment while its writers go on, and looked at.

`python -m harness.plugin.rotation_kills` prints where the kills fell, as a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.maintenance.coreapp_rotation import Step
from harness.maintenance.policy import Role
from harness.plugin.rotation_bed import RotationBed, bed

KILLED_AT: Final = tuple(step for step in Step if step is not Step.DONE)
_LIMIT_BYTES: Final = 256 * 1024
_LONGEST_S: Final = 0.06
_REPOSITORY: Final = Path(__file__).resolve().parents[2]
# Rotates without end, tells each step, and kills itself at one if it is asked to.
_VICTIM: Final = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from harness.maintenance import coreapp_rotation, policy
root, limit, keep, at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
ours = policy.load().coreapp.below(root)
ours = replace(ours, larger_than_bytes=limit, keep=keep, deletes_old=True)
def tell(step):
    os.write(1, f"{step}\\n".encode())
    if step == at:
        os.kill(os.getpid(), signal.SIGKILL)
while True:
    coreapp_rotation.rotate(ours, tell)
"""


@dataclass(frozen=True, slots=True)
class KillTrials:
    """How often a kill fell into which step, how many lines were written, and what was wrong."""

    steps: Mapping[str, int]
    halves: int
    plain: int
    lines: int
    archives: int
    faults: tuple[str, ...]

    @property
    def table(self) -> str:
        """A Markdown table of where the kills fell."""
        head = ("killed while", *KILLED_AT, "half archives", "plain files left", "lines", "faults")
        fell = [str(self.steps.get(step, 0)) for step in KILLED_AT]
        counts = (self.halves, self.plain, self.lines, len(self.faults))
        body = (f"{sum(self.steps.values())} rotations", *fell, *map(str, counts))
        rows = (head, ("---",) * len(head), body)
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def kill_rotations(root: Path, *, at_random: int, per_step: int, seed: int = 0) -> KillTrials:
    """Kill rotations at work beside two writers, run each once more, and look at every line."""
    ours = bed(root, Role.COREAPP).limited_to(_LIMIT_BYTES, keep=1_000_000, deletes_old=True)
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    plan: list[Step | None] = [*(KILLED_AT * per_step), *([None] * at_random)]
    chance.shuffle(plan)
    fell, faults, halves, plain = Counter[str](), [], 0, 0
    with ours.writers("a", "b") as counts:
        for wanted in plan:
            fell[_killed(root, wanted, chance.uniform(0, _LONGEST_S))] += 1
            left = _left(ours)
            halves += sum(path.suffix == ".part" for path in left)
            plain += sum(path.suffix != ".part" for path in left)
            ours.rotate()
            faults += [f"{path.name} was left by the second run" for path in _left(ours)]
    ours.rotate()
    faults += ours.faults(a=counts[0], b=counts[1])
    return KillTrials(fell, halves, plain, sum(counts), len(ours.archives), tuple(faults))


def _killed(root: Path, wanted: Step | None, after_s: float) -> str:
    """Start rotations, kill them, and return the step that they had come to."""
    arguments = [str(root), str(_LIMIT_BYTES), "1000000", wanted or ""]
    with subprocess.Popen(  # noqa: S603 - our own text
        [sys.executable, "-c", _VICTIM, *arguments], stdout=subprocess.PIPE, cwd=_REPOSITORY
    ) as victim:
        if victim.stdout is None:
            raise AssertionError
        told = victim.stdout.readline()
        if wanted is None:
            # What it tells meanwhile fits into the pipe: else it would wait there.
            time.sleep(after_s)
            os.kill(victim.pid, signal.SIGKILL)
        told += victim.stdout.read()
    return [step for step in told.decode().splitlines() if step != Step.DONE][-1]


def _left(ours: RotationBed) -> list[Path]:
    """Return what only a rotation that is at work may have: half archives and plain files."""
    beside = [path for path in ours.log.parent.iterdir() if path != ours.log]
    return [*ours.policy.archive.glob("*.part"), *beside]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out trials in a temporary folder, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m harness.plugin.rotation_kills")
    parser.add_argument("--random", type=int, default=50, metavar="N")
    parser.add_argument("--per-step", type=int, default=5, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        done = kill_rotations(
            Path(folder), at_random=asked.random, per_step=asked.per_step, seed=asked.seed
        )
    sys.stdout.write(done.table)
    for fault in done.faults:
        sys.stdout.write(f"{fault}\n")
    return bool(done.faults)


if __name__ == "__main__":
    sys.exit(main())
