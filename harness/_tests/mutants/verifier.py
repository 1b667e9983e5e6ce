"""Each mutant against the controls: who notices first, cheapest first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from harness._tests.mutants.controls import (
    Control,
    Passed,
    foreseeable,
    forget,
    limited,
    traced,
)
from harness._tests.mutants.equivalents import EQUIVALENTS
from harness._tests.mutants.grounds import grounds
from harness._tests.mutants.pure_controls import pure_controls
from harness._tests.mutants.results import PURE, Result
from harness._tests.mutants.store_controls import store_controls
from harness._tests.mutants.switches import MODULES, ONLY_ON, Switch, files, switches, unmatched
from harness._tests.mutants.syntax import Operator
from harness.model import EngineChoice

Told = Callable[[str], object]
_EVERY: Final = 50
"""After so many mutants progress is told."""


class UnsoundError(Exception):
    """A control fails without any mutant, or a mutant is excused that is not there."""


def verified(
    choices: Sequence[EngineChoice],
    modules: Sequence[str] = MODULES,
    told: Told = bool,
    *,
    excused: bool = True,
) -> list[Result]:
    """Try every mutant of the modules: first without a server, then on each engine.

    Args:
        choices: The engines on which those are tried whom nobody noticed without a server,
            one engine after the other.
        modules: Which of the modules that verify.
        told: Hears one line now and then.
        excused: Whether mutants that are said to be equivalent are left out; else they are
            tried like the others, which shows who is excused wrongly.

    Raises:
        UnsoundError: A control fails without a mutant, or what is excused is not there.
    """
    found = list(switches(modules))
    _refuse_idle_excuses(found, modules)
    reasons = EQUIVALENTS if excused else {}
    results = [
        Result(one.operator, one.where, PURE, equivalent_because=reasons[one.key])
        for one in found
        if one.key in reasons
    ]
    told(f"{len(found)} mutants, {len(results)} of them equivalent")
    tried = _tried([one for one in found if one.key not in reasons], pure_controls(), PURE, told)
    results += [one for _, one in tried if one.killed_by or not choices]
    left = [switch for switch, one in tried if one.survived]
    if choices and left:
        with grounds(choices) as made:
            for choice, ground in made.items():
                here = [one for one in left if one.concerns(choice.kind)]
                on_engine = _tried(here, store_controls(ground), str(choice), told)
                noticed = {id(switch) for switch, one in on_engine if one.killed_by}
                last = choice == choices[-1]
                results += [
                    one
                    for switch, one in on_engine
                    if one.killed_by or last or switch.module in ONLY_ON
                ]
                # What is noticed on one engine is noticed: the code is the same for both.
                tried_here = {id(one) for one in here if one.module in ONLY_ON}
                left = [one for one in left if id(one) not in noticed | tried_here]
    return results


def _tried(
    tried: Sequence[Switch], controls: Sequence[Control], engine: str, told: Told
) -> list[tuple[Switch, Result]]:
    panel = Panel(passed(controls), engine)
    told(f"{engine}: {len(controls)} controls pass")
    judged: list[tuple[Switch, Result]] = []
    for switch in tried:
        judged.append((switch, panel.judge(switch)))
        if len(judged) % _EVERY == 0 or len(judged) == len(tried):
            missed = sum(1 for _, one in judged if one.survived)
            told(f"{engine}: {len(judged)} of {len(tried)} mutants, {missed} unnoticed")
    return judged


def _refuse_idle_excuses(
    found: Sequence[Switch],
    modules: Sequence[str],
    excuses: Mapping[tuple[Operator, str], str] = EQUIVALENTS,
) -> None:
    """Refuse what is excused and does not exist: it may hide another.

    Raises:
        UnsoundError: Names it.
    """
    keys = {one.key for one in found}
    idle = [
        f"{operator}: {where}"
        for operator, where in excuses
        if where.partition(":")[0] in modules and (operator, where) not in keys
    ]
    idle += [f"{module}:{place}" for module, place in unmatched()]
    if idle:
        raise UnsoundError(f"Excused, and not there any more: {'; '.join(idle)}")


def passed(controls: Iterable[Control]) -> list[Passed]:
    """Run every control without a mutant, and return them with what they ran, cheapest first.

    Raises:
        UnsoundError: One of them fails.
    """
    found = []
    for control in controls:
        try:
            found.append(traced(control, files()))
        except Exception as error:
            raise UnsoundError(
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
            hurt = switch.is_shelter and one.hurt(switch.spans)
            # Of an engine's own code, those of the engine know most.
            near = switch.module in ONLY_ON and name.startswith(("engine: ", "test_"))
            noticed = -self._noticed[name]
            return (
                not near,
                not hurt,
                name not in beside,
                one.control.rank,
                noticed,
                one.duration_s,
            )

        return sorted((one for one in self._controls if one.ran(switch.spans)), key=rank)


def _notices(switch: Switch, one: Passed) -> bool:
    """Ask one control about a mutant; any way to fail is a way to notice."""
    asked = False
    if switch.module in ONLY_ON:
        # A mutant of a connection may leave it in a transaction, and the control may not see it.
        one.control.renew()
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
