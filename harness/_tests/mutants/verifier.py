"""Each mutant against the controls: who notices first, cheapest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

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


def outcome(switch: Switch, controls: Sequence[Passed], engine: str) -> Result:
    """Throw a switch and ask the controls that can notice, until one does."""
    for one in able(switch, controls):
        if _notices(switch, one):
            return Result(switch.operator, switch.where, engine, one.control.name)
    return Result(switch.operator, switch.where, engine)


def able(switch: Switch, controls: Sequence[Passed]) -> Iterator[Passed]:
    """Yield the controls that run what a switch is about; any may read a constant."""
    lines = switch.lines
    for one in controls:
        if lines is None or one.ran(lines.file, lines.first, lines.last):
            yield one


def _notices(switch: Switch, one: Passed) -> bool:
    with one.control.arranged(), foreseeable():
        forget(switch.module, switch.place)
        try:
            with switch.thrown(), limited(one.limit_s):
                one.control.check()
        except KeyboardInterrupt:
            raise
        except BaseException:  # pytest and our own clock fail in ways of their own
            return True
        finally:
            forget(switch.module, switch.place)
    return False
