"""Each mutant against the controls: who notices first, cheapest first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from harness._tests.mutants.controls import (
    Control,
    Passed,
    foreseeable,
    forget,
    limited,
    traced,
)
from harness._tests.mutants.results import Result
from harness._tests.mutants.switches import Switch, files


class UnsoundControlError(Exception):
    """A control fails without any mutant, and so says nothing about one."""


def passed(controls: Iterable[Control]) -> list[Passed]:
    """Run every control without a mutant, and return them with what they ran, cheapest first.

    Raises:
        UnsoundControlError: One of them fails.
    """
    found = []
    for control in controls:
        try:
            found.append(traced(control, files()))
        except Exception as error:
            raise UnsoundControlError(
                f"The control '{control.name}' fails without a mutant: {error!r}"
            ) from error
    return sorted(found, key=lambda one: one.duration_s)


class Panel:
    """The controls of one engine, who are asked about one mutant after the other.

    Whoever noticed a mutant beside this one is asked first, then whoever noticed most, then
    the quickest: a mutant costs little more than the control that notices it.
    """

    def __init__(self, controls: Sequence[Passed], engine: str) -> None:
        self._controls = controls
        self._engine = engine
        self._noticed: Counter[str] = Counter()
        self._beside: dict[tuple[str, str], list[str]] = defaultdict(list)

    def judge(self, switch: Switch) -> Result:
        """Throw a switch and ask the controls that can notice, until one does."""
        for one in self._in_order(switch):
            if _notices(switch, one):
                name = one.control.name
                self._noticed[name] += 1
                self._beside[switch.module, switch.place].append(name)
                return Result(switch.operator, switch.where, self._engine, name)
        return Result(switch.operator, switch.where, self._engine)

    def _in_order(self, switch: Switch) -> list[Passed]:
        beside = self._beside[switch.module, switch.place]

        def rank(one: Passed) -> tuple[object, ...]:
            name = one.control.name
            hurt = switch.is_shelter and one.hurt(switch.lines)
            return name.startswith('test_'), not hurt, name not in beside, -self._noticed[name], one.duration_s

        return sorted((one for one in self._controls if one.ran(switch.lines)), key=rank)


def _notices(switch: Switch, one: Passed) -> bool:
    """Ask one control about a mutant; any way to fail is a way to notice."""
    asked = False
    try:
        with one.control.arranged(), foreseeable(), _forgotten(switch):
            asked = True
            with switch.thrown(), limited(one.limit_s):
                one.control.check()
    except KeyboardInterrupt:
        raise
    except BaseException:  # pytest and our own clock fail in ways of their own
        if not asked:
            raise
        return True
    return False


@contextmanager
def _forgotten(switch: Switch) -> Iterator[None]:
    """Keep what caches hold from a mutant, and what a mutant leaves in them from others."""
    forget(switch.module, switch.place)
    try:
        yield
    finally:
        forget(switch.module, switch.place)
