"""Whether the host's schedule runs the clean-up script: daily, off-peak, everywhere, by name.

`python -m harness.maintenance.schedule waweb=webapp wacore=coreapp` looks at this host, and
only reads. What could not be read is a finding too: it is not known to be well.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from harness.errors import MaintenanceError
from harness.maintenance import policy as policies
from harness.maintenance import starts
from harness.maintenance.cleaning_calls import Cleaning, Reader, cleanings
from harness.maintenance.crontabs import Crontab, crontabs
from harness.maintenance.policy import CleanupPolicy, Role, inside
from harness.maintenance.starts import ALL_DAYS, NEVER, Starts, UnreadableTimeError
from harness.maintenance.timers import Timer, timers

_ID: Final = re.compile(r"[0-9a-f]{12}|[0-9a-f]{64}")
_LARGEST_BYTES: Final = 64 * 1024
_DAY: Final = datetime(2027, 1, 1)  # noqa: DTZ001 - any day, in the host's local time


class Fault(StrEnum):
    """What can be wrong with a schedule."""

    NO_JOB = "no job"
    NOT_DAILY = "not daily"
    AT_PEAK = "at peak"
    BY_ID = "by id"
    NOT_CLEANED = "not cleaned"
    NO_SUCH_CONTAINER = "no such container"
    DISABLED = "disabled"
    NO_SERVICE = "no service"
    NEEDS_TERMINAL = "needs a terminal"
    UNCLEAR = "could not tell"


@dataclass(frozen=True, slots=True)
class ScheduleFinding:
    """A judged fact about the schedule: where, which container if it is about one, and why."""

    fault: Fault
    place: str
    container: str
    why: str


@dataclass(frozen=True, slots=True)
class Job:
    """One scheduled command that cleans, or of which we cannot tell whether it does.

    `starts` is None where its time could not be read. `lacks_service` names the service that
    a timer would start.
    """

    place: str
    starts: Starts | None
    cleanings: tuple[Cleaning, ...] = ()
    dormant: str = ""
    doubts: tuple[str, ...] = ()
    lacks_service: str = ""

    @property
    def containers(self) -> tuple[str, ...]:
        """The containers that it cleans whenever it runs, by name or id."""
        return tuple(dict.fromkeys(one.container for one in self.cleanings if one.container))

    @property
    def active(self) -> bool:
        """Whether it runs at all."""
        return not self.dormant and not self.lacks_service


def find(root: Path = Path("/"), policy: CleanupPolicy | None = None) -> tuple[Job, ...]:
    """Return the jobs of the host whose file system begins at `root`, in the order of places."""
    known = policy or policies.load().cleanup
    of_cron = (job for crontab in crontabs(root) for job in _of_crontab(crontab, root, known))
    of_timers = (job for timer in timers(root) for job in _of_timer(timer, root, known))
    return (*of_cron, *of_timers)


def check(
    jobs: Sequence[Job],
    containers: Mapping[str, Role | str],
    policy: CleanupPolicy | None = None,
) -> tuple[ScheduleFinding, ...]:
    """Return what is missing or wrong; nothing if every container is cleaned as it must be.

    Args:
        jobs: What `find` found.
        containers: The installation's containers with their roles; empty if not known.
        policy: Whose containers must be cleaned, and when; None takes the fixture's.
    """
    known = policy or policies.load().cleanup
    cleaned = _cleaned(jobs)
    found = [one for job in jobs for one in _of_job(job, containers, cleaned, known)]
    if not any(job.active and job.cleanings for job in jobs):
        why = f"no crontab and no timer runs {known.script}: schedule it daily and off-peak"
        found.append(ScheduleFinding(Fault.NO_JOB, "the host", "", why))
    if not containers:
        why = "which containers there are was not given: name them, each with its role"
        found.append(ScheduleFinding(Fault.UNCLEAR, "the host", "", why))
    found += [
        ScheduleFinding(
            Fault.NOT_CLEANED,
            "the host",
            name,
            f"nothing runs {known.script} in it: add `docker exec {name} {known.script}`",
        )
        for name, role in containers.items()
        if Role(role) in known.roles and name not in cleaned
    ]
    return tuple(found)


def _cleaned(jobs: Sequence[Job]) -> dict[str, Starts]:
    """Return when each container is cleaned, by whatever jobs there are."""
    cleaned: dict[str, Starts] = {}
    for job in jobs:
        if job.active:
            for name in job.containers:
                # A time that cannot be read is a finding of its own.
                when = job.starts or Starts(ALL_DAYS, frozenset())
                cleaned[name] = cleaned.get(name, NEVER).also(when)
    return cleaned


def _of_job(
    job: Job,
    containers: Mapping[str, Role | str],
    cleaned: Mapping[str, Starts],
    policy: CleanupPolicy,
) -> Iterator[ScheduleFinding]:
    """Yield what is wrong with one job."""
    blank = ScheduleFinding(Fault.UNCLEAR, job.place, "", "")
    for doubt in job.doubts:
        yield replace(blank, why=doubt)
    if job.dormant:
        yield replace(blank, fault=Fault.DISABLED, why=f"it never runs: {job.dormant}")
        return
    if job.lacks_service:
        why = f"there is no {job.lacks_service} for it to start: write one, or remove the timer"
        yield replace(blank, fault=Fault.NO_SERVICE, why=why)
        return
    yield from _of_calls(job, containers, blank)
    if job.starts and job.cleanings:
        rare = [name for name in job.containers if cleaned[name].days != ALL_DAYS]
        if rare or (not job.containers and job.starts.days != ALL_DAYS):
            why = "there are days on which it does not run: give it a time for every day"
            yield replace(blank, fault=Fault.NOT_DAILY, container=", ".join(rare), why=why)
        if at_peak := _at_peak(job.starts, policy):
            begin, end = (f"{hour:%H:%M}" for hour in policy.off_peak)
            why = f"it may start at {at_peak:%H:%M}: choose a time between {begin} and {end}"
            yield replace(blank, fault=Fault.AT_PEAK, why=why)


def _of_calls(
    job: Job, containers: Mapping[str, Role | str], blank: ScheduleFinding
) -> Iterator[ScheduleFinding]:
    """Yield what is wrong with how a job calls the script."""
    for call in job.cleanings:
        name = call.container
        if call.doubt:
            why = f"{call.doubt}: write docker exec with the containers' names"
            yield replace(blank, why=why)
        elif name not in containers and _ID.fullmatch(name):
            why = "an id changes with the next upgrade: write the container's name"
            yield replace(blank, fault=Fault.BY_ID, container=name, why=why)
        elif containers and name not in containers:
            why = "there is no such container: mend its name, or take the line away"
            yield replace(blank, fault=Fault.NO_SUCH_CONTAINER, container=name, why=why)
        if call.terminal:
            why = "docker exec -it fails where there is no terminal: leave -t away"
            yield replace(blank, fault=Fault.NEEDS_TERMINAL, container=name, why=why)


def _at_peak(when: Starts, policy: CleanupPolicy) -> time | None:
    """Return the first time that is not off-peak, with the delay that may be added."""
    for begin in sorted(when.times):
        last = (datetime.combine(_DAY, begin) + timedelta(seconds=when.delay_s)).time()
        for moment in (begin, last):
            if not policy.is_off_peak(moment):
                return moment
    return None


def _of_crontab(crontab: Crontab, root: Path, policy: CleanupPolicy) -> Iterator[Job]:
    """Yield the jobs of one crontab."""
    for entry in crontab.entries:
        if entry.doubt:
            yield Job(entry.place, None, dormant=entry.dormant, doubts=(entry.doubt,))
            continue
        calls = cleanings(entry.command, policy.script, _reader(root), crontab.settings)
        if not calls:
            continue
        doubts, when = [], None
        try:
            when = starts.of_cron(entry.when)
        except UnreadableTimeError as error:
            doubts.append(f"{error}: mend it")
        if "CRON_TZ" in crontab.settings:
            doubts.append("some crons follow CRON_TZ and some do not: write local times without it")
        yield Job(entry.place, when, calls, entry.dormant, tuple(doubts))


def _of_timer(timer: Timer, root: Path, policy: CleanupPolicy) -> Iterator[Job]:
    """Yield the job of one timer, if it cleans or has no service."""
    if not timer.service:
        if not timer.dormant:
            yield Job(timer.place, None, lacks_service=timer.wanted_service)
        return
    reader = _reader(root)
    calls = [one for command in timer.commands for one in cleanings(command, policy.script, reader)]
    if not calls:
        return
    doubts, when = [], []
    for calendar in timer.calendars:
        try:
            when.append(starts.of_calendar(calendar))
        except UnreadableTimeError as error:
            doubts.append(f"{error}: write it as *-*-* 03:00:00")
    if timer.elapsing or not timer.calendars:
        doubts.append("it starts by elapsed time, at no certain hour: use OnCalendar")
    if timer.delay_s is None:
        doubts.append("its RandomizedDelaySec is not read here: write it in seconds")
    whole = replace(starts.merged(when), delay_s=timer.delay_s or 0.0) if when else None
    yield Job(timer.place, whole, tuple(calls), timer.dormant, tuple(doubts))


def _reader(root: Path) -> Reader:
    """Return what finds scripts that are called: a file, or all of a folder (run-parts)."""

    def read(path: str, folder: bool) -> str:  # noqa: FBT001 - a Reader
        there = inside(root, Path(path))
        try:
            files = sorted(there.iterdir()) if folder and there.is_dir() else [there]
            texts = [
                file.read_bytes()[:_LARGEST_BYTES].decode("utf-8", "replace")
                for file in files
                if file.is_file() and file.stat().st_size <= _LARGEST_BYTES
            ]
        except (OSError, ValueError):
            return ""
        return "\n".join(text for text in texts if "\0" not in text)

    return read


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong with a host's schedule; 0 if nothing, 1 if anything is."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.maintenance.schedule",
        description="Checks that the clean-up script is scheduled as it must be.",
    )
    parser.add_argument("containers", nargs="*", metavar="NAME=ROLE")
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="FOLDER")
    parser.add_argument("--policy", type=Path, default=policies.FILE, metavar="FILE")
    asked = parser.parse_args(arguments)
    pairs = [text.partition("=") for text in asked.containers]
    if any(role not in list(Role) for _, _, role in pairs):
        parser.error("give each container as NAME=ROLE; a role is webapp, coreapp or master")
    try:
        policy = policies.load(asked.policy).cleanup
    except MaintenanceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = check(find(asked.root, policy), {name: role for name, _, role in pairs}, policy)
    for one in found:
        about = f" {one.container}" if one.container else ""
        sys.stdout.write(f"{one.fault}{about} ({one.place}): {one.why}\n")
    if not found:
        sys.stdout.write("every container is cleaned daily, off-peak and by name\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
