"""What must notice a mutant: controls, each returning where its claim holds and raising where not."""

from __future__ import annotations

import inspect
import itertools
import random
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final
from unittest import mock

_SEED: Final = 7
_LEAST_LIMIT_S: Final = 4.0
_TIMES_AS_LONG: Final = 10
Lines = dict[str, set[int]]
"""By file, which lines were run."""


@dataclass(frozen=True, slots=True)
class Span:
    """Lines of a file: only who has run one of them can notice what is done to them."""

    file: str
    first: int
    last: int

    def meets(self, lines: Lines) -> bool:
        """Tell whether any of its lines is among these."""
        return not lines.get(self.file, set()).isdisjoint(range(self.first, self.last + 1))


@dataclass(frozen=True, slots=True)
class Control:
    """One claim about the verifier; `arranged` prepares what it needs and cleans up after it.

    Only `check` meets mutants. `renew` gives up what a mutant may have spoiled. Where nobody
    knows better, those of a low `rank` are asked first.
    """

    name: str
    check: Callable[[], object]
    arranged: Callable[[], AbstractContextManager[object]] = nullcontext
    renew: Callable[[], object] = bool
    rank: int = 1


def named(claim: Callable[..., object]) -> str:
    """Return what a claim's function is called, as words."""
    return claim.__name__.strip("_").replace("_", " ")


@dataclass(frozen=True, slots=True)
class Passed:
    """A control that passes without a mutant: how long it took, and what it ran."""

    control: Control
    duration_s: float
    lines: Lines
    errors: Lines

    @property
    def limit_s(self) -> float:
        """How long it may take with a mutant: what goes on for ever was noticed too."""
        return max(_LEAST_LIMIT_S, _TIMES_AS_LONG * self.duration_s)

    def ran(self, spans: Iterable[Span]) -> bool:
        """Tell whether it ran any of these lines."""
        return any(span.meets(self.lines) for span in spans)

    def hurt(self, spans: Iterable[Span]) -> bool:
        """Tell whether an error came through any of these lines."""
        return any(span.meets(self.errors) for span in spans)


class OutOfTimeError(BaseException):
    """A control took too long; nothing that is checked may catch it."""


@contextmanager
def limited(limit_s: float) -> Iterator[None]:
    """End a block that takes too long with an error."""

    def late(_: int, __: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def foreseeable() -> Iterator[None]:
    """Draw masks, keys and canaries from a sequence that is the same each time."""
    chance = random.Random(_SEED)
    drawn = {
        "choice": chance.choice,
        "randbelow": chance.randrange,
        "token_bytes": chance.randbytes,
    }
    masks = sys.modules["harness.masks"].Masks
    with ExitStack() as stack:
        for name, draw in drawn.items():
            stack.enter_context(mock.patch.object(secrets, name, draw))
        stack.enter_context(mock.patch.object(masks.__init__, "__defaults__", (chance.choice,)))
        yield


def forget(module: str, place: str) -> None:
    """Empty the caches that may hold a mutant's answers: its module's, and its importers'."""
    imported = place.partition(".")[0]
    for name, loaded in list(sys.modules.items()):
        own = name == f"harness.{module}"
        if own or (name.startswith("harness.identity.") and imported in vars(loaded)):
            for value in vars(loaded).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def traced(control: Control, files: Collection[str]) -> Passed:
    """Run a control that must pass, and note which lines of some files it runs."""
    lines: Lines = {file: set() for file in files}
    errors: Lines = {file: set() for file in files}
    unseen: dict[CodeType, bool] = {}

    def local(frame: FrameType, event: str, _: object) -> Any:
        lines[frame.f_code.co_filename].add(frame.f_lineno)
        if event == "exception":
            errors[frame.f_code.co_filename].add(frame.f_lineno)
        return local

    def trace(frame: FrameType, _: str, __: object) -> Any:
        code = frame.f_code
        if code.co_filename not in lines:
            return None
        # A function all of whose lines were run needs no more watching, which is slow.
        if unseen.get(code, True):
            unseen[code] = not _lines_of(code) <= lines[code.co_filename]
        return local if unseen[code] else None

    with control.arranged(), foreseeable():
        started_s = time.monotonic()
        before = sys.gettrace()
        threading.settrace(trace)
        sys.settrace(trace)
        try:
            control.check()
        finally:
            sys.settrace(before)
            threading.settrace(None)
        return Passed(control, time.monotonic() - started_s, lines, errors)


@cache
def _lines_of(code: CodeType) -> frozenset[int]:
    return frozenset(line for _, _, line in code.co_lines() if line) - {code.co_firstlineno}


# --- tests as controls ----------------------------------------------------------------------


def adopted(
    module: ModuleType, fixtures: Mapping[str, Callable[[], object]], leave_out: Collection[str]
) -> Iterator[tuple[str, FunctionType, dict[str, Any]]]:
    """Yield the tests of a module that need no more than these fixtures, and their arguments.

    By name, with each set of parameters of its own. Tests by Hypothesis are left out, which
    ask one question very often.
    """
    short = module.__name__.rpartition(".")[2]
    for name, test in vars(module).items():
        is_test = name.startswith("test_") and isinstance(test, FunctionType)
        if not is_test or name in leave_out or hasattr(test, "hypothesis"):
            continue
        for label, arguments in _parameters(test):
            needed = set(inspect.signature(test).parameters) - arguments.keys()
            if needed <= fixtures.keys():
                yield f"{short}: {name}{label}", test, arguments


def _parameters(test: FunctionType) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each set of a test's parameters, with its label."""
    marks = [one for one in getattr(test, "pytestmark", ()) if one.name == "parametrize"]
    choices = [list(_choices(mark.args, mark.kwargs.get("ids"))) for mark in marks]
    for chosen in itertools.product(*choices):
        label = ", ".join(one for one, _ in chosen)
        arguments = {name: value for _, one in chosen for name, value in one.items()}
        yield (f"[{label}]" if marks else ""), arguments


def _choices(given: tuple[Any, ...], ids: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    names, values = given
    split = [one.strip() for one in names.split(",")] if isinstance(names, str) else list(names)
    labels = itertools.count(1) if ids is None or callable(ids) else iter(ids)
    for value in values:
        those = value if len(split) > 1 else (value,)
        label = next(labels)
        called = [str(ids(one)) for one in those] if callable(ids) else []
        yield "-".join(called) or str(label), dict(zip(split, those, strict=True))
