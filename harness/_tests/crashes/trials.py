"""One trial: start, kill at some point, take up again, and judge what stands in the stores."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from harness.journal import State
from harness.model import EngineKind

from .bed import NO_JOURNAL, ONLY_HEADER, SUBJECT, Bed, Session
from .dumps import AFTER, BEFORE, MIXED

_HEADLINE: Final = re.compile(
    r"^(CLEAR|TRACE|UNKNOWN|REFUSED)(?: \([^)]*\))?; (.*?); exit ([0-9]+)$", re.MULTILINE
)
_SAID: Final = {BEFORE: "no row was changed", AFTER: "rows were COMMITTED"}
_NOT_KNOWN: Final = "a commit was sent and is NOT KNOWN to be carried out everywhere"
_STATUS: Final = {BEFORE: 10, AFTER: 0}
_DIGITS: Final = re.compile(rb"[0-9]{7,15}")
_KILLED: Final = -9


class Victim(StrEnum):
    """Who is killed."""

    HARNESS = "harness"
    SERVER = "server"


def phases(kind: EngineKind) -> tuple[str, ...]:
    """Return what a trial can be aimed at on an engine, in order."""
    states = [State.BEGUN, State.LOCATED, State.ERASING, State.PREPARING, State.COMMITTING]
    states += [State.COMMITTED, State.SWEPT, State.CLOSED]
    if kind is EngineKind.MYSQL:
        states.remove(State.PREPARING)  # one commit reaches every database
    return (NO_JOURNAL, *(state.value for state in states))


@dataclass(frozen=True)
class Trial:
    """What came of one kill; `faults` are sentences, and a good trial has none."""

    engine: str
    victim: str
    phase: str
    aim: str
    state: str
    harmed_rows: int
    half_way: bool
    statuses: tuple[int, ...]
    killed_status: int
    killed_again: bool
    faults: tuple[str, ...] = ()
    screens: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Aim:
    """When to kill: when the journal reaches `phase` and `delay_s` after, or at a random moment."""

    phase: str = ""
    delay_s: float = 0.0

    @property
    def label(self) -> str:
        """The aim's name in tables."""
        return self.phase or "random"


def aimed(bed: Bed, phase: str, draw: random.Random, attempt: int) -> Aim:
    """Aim at a phase: anywhere within it at first, at its very beginning if that misses."""
    if phase == NO_JOURNAL:
        return Aim("", draw.uniform(0, bed.durations_s.get(NO_JOURNAL, 0.5)))
    lasts_s = bed.durations_s.get(phase, 0.0)
    return Aim(phase, draw.uniform(0, lasts_s) if attempt % 2 == 0 else 0.0)


def at_random(bed: Bed, draw: random.Random) -> Aim:
    """Aim at any moment from the session's start to a little after its end."""
    return Aim("", draw.uniform(0, 1.02 * sum(bed.durations_s.values())))


def carry_out(  # noqa: PLR0913 - each by name, and most trials give none
    bed: Bed,
    victim: Victim,
    aim: Aim,
    *,
    twice: bool = True,
    kill_again_s: float | None = None,
    hanging: str = "",
    resume: Callable[[Bed, Session], Session] | None = None,
) -> Trial:
    """Carry out one trial; the stores are as they were at first, before and after.

    Args:
        bed: The server and its store set.
        victim: Who is killed.
        aim: When.
        twice: Whether to resume once more, to see that this changes nothing.
        kill_again_s: After how many seconds to kill the first resume as well.
        hanging: A store in which commits do not come to their end while the session runs.
        resume: What to do in place of `--resume`.
    """
    yardstick = bed.yardstick
    with bed.commit_hangs_in(hanging) if hanging else nullcontext():
        session = bed.start()
        phase = _stop_at(session, aim)
        killed_status = _kill(bed, session, victim)
    left = yardstick.see(bed.client.dump()).state
    half_way = bed.client.prepared() > 0 or left == MIXED
    faults = [] if killed_status == _KILLED else _untruths(left, session)
    trial = Trial(
        engine=bed.kind.value,
        victim=victim.value,
        phase=phase,
        aim=aim.label,
        state="",
        harmed_rows=0,
        half_way=half_way,
        statuses=(),
        killed_status=killed_status,
        killed_again=kill_again_s is not None and bool(session.journal()),
    )
    if kill_again_s is not None and session.journal():
        first = bed.resume(session)
        time.sleep(kill_again_s)
        first.kill()
    again = _take_up(bed, session, phase, resume)
    statuses = [again.wait()]
    seen = yardstick.see(bed.client.dump())
    faults += _disagreements(seen.state, statuses[0], again.printed())
    if twice and again.folder:
        once_more = bed.resume(again)
        statuses.append(once_more.wait())
        if yardstick.see(bed.client.dump()) != seen:
            faults.append("a second resume changed rows")
        faults += _disagreements(seen.state, statuses[1], once_more.printed())
    if bed.client.prepared():
        faults.append("a prepared transaction still stands")
    if seen.harmed_rows:
        faults.append(f"{seen.harmed_rows} rows of others are not as they were")
    faults += _left_over(session.reports)
    bed.restore()
    screens = (session.printed(), again.printed()) if faults or seen.state == MIXED else ()
    return replace(
        trial,
        state=seen.state,
        harmed_rows=seen.harmed_rows,
        statuses=tuple(statuses),
        faults=tuple(faults),
        screens=screens,
    )


def _stop_at(session: Session, aim: Aim) -> str:
    """Have the session stand still at a moment, and return how far its journal had come."""
    if aim.phase:
        session.until(frozenset({aim.phase}))
    until_s = (time.monotonic() if aim.phase else session.began_s) + aim.delay_s
    while time.monotonic() < until_s - 0.002:
        time.sleep(0.001)
    while time.monotonic() < until_s:
        pass
    session.stop()
    return session.state()


def _kill(bed: Bed, session: Session, victim: Victim) -> int:
    """Kill, and return how the session ended."""
    if victim is Victim.HARNESS:
        session.kill()
        return _KILLED
    bed.server.crash()
    if session.pid % 2:
        # Half of the sessions find a server that is not back yet, and half one that is.
        bed.settle_down()
    session.go_on()
    status = session.wait()
    bed.settle_down()
    return status


def _take_up(
    bed: Bed, session: Session, phase: str, resume: Callable[[Bed, Session], Session] | None
) -> Session:
    """Do what an operator would: resume, or run again where nothing had begun."""
    if resume:
        return resume(bed, session)
    if not session.journal():
        return bed.start()
    if phase == ONLY_HEADER:
        bed.resume(session).wait()
        return bed.start()
    return bed.resume(session)


def _disagreements(state: str, status: int, screen: str) -> list[str]:
    """Compare what is in the stores with what the session says."""
    if state == MIXED:
        return ["the stores are neither wholly before nor wholly after"]
    faults = []
    if status != _STATUS[state]:
        faults.append(f"exit {status} with all stores wholly {state}")
    headline = _HEADLINE.search(screen)
    if not headline or headline[2] != _SAID[state]:
        said = headline[0] if headline else "nothing"
        faults.append(f"the screen says {said!r} with all stores wholly {state}")
    return faults


def _untruths(state: str, session: Session) -> list[str]:
    """Compare what a session whose server died says with what it left."""
    headline = _HEADLINE.search(session.printed())
    said = headline[2] if headline else "nothing"
    if said == _SAID.get(state) or said == _NOT_KNOWN:
        return []
    return [f"the screen of the session said {said!r} with the stores {state}"]


def _left_over(reports: Path) -> list[str]:
    """Return what stands in the folders of finished sessions and must not."""
    faults = []
    if [*reports.rglob("*.sealed"), *reports.rglob("*.new")]:
        faults.append("what was sealed is still there")
    numbers = {number.encode() for number in SUBJECT.numbers}
    for path in reports.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if numbers & {*_DIGITS.findall(content), *_DIGITS.findall(str(path).encode())}:
            faults.append(f"{path.name} holds a number of the subject")
    return faults
