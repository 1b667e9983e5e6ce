"""When a job starts, as cron and systemd write it: on which days, and at which times of a day.

Days are those of two years, one of them a leap year, so that "daily" means every day there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Final

from cronsim import CronSim, CronSimError

_FIRST: Final = date(2027, 1, 1)
_COUNT: Final = 731
ALL_DAYS: Final = frozenset(_FIRST + timedelta(days=number) for number in range(_COUNT))
"""Every day that is looked at: 2027 and the leap year 2028."""

_CRON_FIELDS: Final = 5
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SHORTHANDS: Final = {
    "minutely": "*-*-* *:*",
    "hourly": "*-*-* *:00",
    "daily": "*-*-* 00:00",
    "weekly": "Mon *-*-* 00:00",
    "monthly": "*-*-01 00:00",
    "quarterly": "*-01,04,07,10-01 00:00",
    "semiannually": "*-01,07-01 00:00",
    "yearly": "*-01-01 00:00",
    "annually": "*-01-01 00:00",
}
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ABBREVIATED: Final = 3
_NOT_CRON: Final = re.compile(r"#|\d?L\b|[WC?~]")
"""What cronsim reads beyond what Debian's cron does, and what neither reads."""


class UnreadableTimeError(ValueError):
    """A time of starting is written in a form that we do not read; the text says which."""


@dataclass(frozen=True, slots=True)
class Starts:
    """On which of `ALL_DAYS` a job starts, at which times, and how much later it may be."""

    days: frozenset[date]
    times: frozenset[time]
    delay_s: float = 0.0

    def also(self, other: Starts) -> Starts:
        """Return when either of two starts."""
        return Starts(
            self.days | other.days, self.times | other.times, max(self.delay_s, other.delay_s)
        )


NEVER: Final = Starts(frozenset(), frozenset())


@cache
def of_cron(expression: str) -> Starts:
    """Return when cron starts what has this expression, as Debian's cron reads it.

    Raises:
        UnreadableTimeError: It is not five fields or a nickname; or cron could not read it.
    """
    if expression == "@reboot":
        return NEVER
    fields = _NICKNAMES.get(expression, expression).split()
    if len(fields) != _CRON_FIELDS or _NOT_CRON.search(re.sub(r"[A-Za-z]{3}", "", expression)):
        raise UnreadableTimeError(f"cron reads five fields, or a nickname, and not {expression!r}")
    plain, days, times = " ".join(fields), set[date](), set[time]()
    moment = datetime.combine(_FIRST, time())
    end = moment + timedelta(days=_COUNT)
    try:
        while True:
            start = next(CronSim(plain, moment - timedelta(minutes=1)))
            if start >= end:
                break
            if not days:
                times = _times_of(plain, start.date())
            days.add(start.date())
            moment = datetime.combine(start.date() + timedelta(days=1), time())
    except (CronSimError, StopIteration) as error:
        raise UnreadableTimeError(f"cron cannot read {expression!r} ({error})") from None
    return Starts(frozenset(days), frozenset(times))


def _times_of(plain: str, day: date) -> set[time]:
    """Return the times of one day, which are those of each day that has any."""
    midnight = datetime.combine(day, time())
    times = set()
    for start in CronSim(plain, midnight - timedelta(minutes=1)):
        if start.date() != day:
            break
        times.add(start.time())
    return times


@cache
def of_calendar(expression: str) -> Starts:
    """Return when systemd starts what has this OnCalendar.

    Source: systemd.time(7), "Calendar events"; of it `~`, time zones and dates counted from a
    month's end are not read.

    Raises:
        UnreadableTimeError: It is written in a form that is not read here.
    """
    words = _SHORTHANDS.get(expression.strip().lower(), expression).split()
    weekdays, dates, clock = frozenset(range(7)), "*-*-*", "00:00"
    try:
        if words and re.fullmatch(r"[A-Za-z,.\-]+", words[0]):
            weekdays = _weekdays(words.pop(0))
        if words and "-" in words[0] and ":" not in words[0]:
            dates = words.pop(0)
        if words and ":" in words[0]:
            clock = words.pop(0)
        found = Starts(_days(weekdays, dates), _clock(clock))
    except ValueError:
        words = ["unread"]
    if words or not expression.strip():
        raise UnreadableTimeError(
            f"OnCalendar={expression} is written in a form that is not read here"
        )
    return found


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.lower().strip(",").split(","):
        first, _, last = part.replace("-", "..").partition("..")
        begin, end = _weekday(first), _weekday(last or first)
        if begin > end:
            raise ValueError  # systemd takes no range across the end of a week
        found.update(range(begin, end + 1))
    return frozenset(found)


def _weekday(name: str) -> int:
    for number, weekday in enumerate(_WEEKDAYS):
        if name in (weekday, weekday[:_ABBREVIATED]):
            return number
    raise ValueError


def _days(weekdays: frozenset[int], dates: str) -> frozenset[date]:
    *year, month, day = dates.split("-")
    if len(year) > 1:
        raise ValueError
    years = _field(year[0] if year else "*", 1970, 2199)
    months, numbers = _field(month, 1, 12), _field(day, 1, 31)
    return frozenset(
        one
        for one in ALL_DAYS
        if one.weekday() in weekdays
        and (one.year in years and one.month in months and one.day in numbers)
    )


def _clock(text: str) -> frozenset[time]:
    hour, minute, *second = text.split(":")
    if len(second) > 1 or (second and not re.fullmatch(r"[\d.,*/]+", second[0])):
        raise ValueError
    minutes = _field(minute, 0, 59)
    return frozenset(time(one, other) for one in _field(hour, 0, 23) for other in minutes)


def _field(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("..")
        begin = low if first == "*" else int(first)
        end = int(last) if last else (high if first == "*" or step else begin)
        # Like systemd, which takes no step from a star, nor an open one that leads nowhere.
        leads = int(step or 1) > 0 and (bool(last) or int(step or 1) <= end - begin)
        if not low <= begin <= end <= high or (step and (first == "*" or not leads)):
            raise ValueError
        found.update(range(begin, end + 1, int(step or 1)))
    return frozenset(found)


def merged(starts: Iterable[Starts]) -> Starts:
    """Return when any of several starts."""
    whole = NEVER
    for one in starts:
        whole = whole.also(one)
    return whole
