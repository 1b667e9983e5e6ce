"""Controls of the lock that keeps other operators out, on a server that is played."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast
from unittest import mock

import pytest

from harness._tests.mutants.controls import Control, named
from harness.config import RunConfig
from harness.errors import BusyError, StoreError, StoreUnreachableError
from harness.model import EngineKind
from harness.stores import exclusion
from harness.stores.exclusion import Exclusion, exclusive

KEYS: Final = {
    EngineKind.MYSQL: "waba_erase_own_contactStore",
    EngineKind.POSTGRES: 0x7761626165726173,
}


def exclusion_controls() -> Iterator[Control]:
    """Yield the controls of the lock."""
    for claim in CLAIMS:
        yield Control(f"alone: {named(claim)}", claim)


@dataclass(slots=True)
class Locks:
    """A server's locks as one operator meets them; `taken` is how often another has it yet."""

    engine: EngineKind = EngineKind.MYSQL
    stores: tuple[str, ...] = ("axolotlStore", "contactStore", "waweb")
    taken: int = 0
    held: bool = False
    holder: int | None = 71
    lost: StoreError | None = None
    asked: list[tuple[str, object]] = field(default_factory=list)
    closed: int = 0
    slept: int = 0

    @property
    def config(self) -> Any:
        """Of which engine it is."""
        return SimpleNamespace(engine=self.engine)

    def databases(self) -> dict[str, str]:
        """Return a database for each store."""
        return {store: f"own_{store}" for store in self.stores}

    def query(self, store: str, sql: str, parameters: Sequence[object]) -> list[tuple[object]]:
        """Take the lock, or tell whether it is held, or by whom."""
        self.asked.append((store, *parameters))  # type: ignore[arg-type]  # there is one
        if self.lost:
            raise self.lost
        if "get_lock" in sql or "try_advisory" in sql:
            self.taken -= 1
            self.held = self.taken < 0
        if sql == exclusion._HOLDER[self.engine]:
            return [(self.holder,)]
        return [(self.held,)]

    def close(self) -> None:
        """Note that the connection was closed."""
        self.closed += 1
        self.held = False

    def _sleep(self, _: float) -> None:
        self.slept += 1

    @contextmanager
    def locked(self, wait_s: float = 60) -> Iterator[Exclusion]:
        """Run the block with the lock, whose seconds pass with each time that it is asked for."""
        passing = iter(range(1_000))
        clock = mock.Mock(spec=time, monotonic=lambda: next(passing), sleep=self._sleep)
        with (
            mock.patch.object(exclusion, "connect", return_value=self),
            mock.patch.object(exclusion, "time", clock),
            exclusive(cast("RunConfig", None), self.stores, wait_s=wait_s) as lock,
        ):
            yield lock


def _the_lock_is_held_as_long_as_the_block() -> None:
    """A lock that is free is taken, in the store that all agree on, and given back at the end."""
    for engine in EngineKind:
        locks = Locks(engine)
        with locks.locked() as lock:
            lock.require_held()
            assert locks.closed == 0
        assert locks.asked == [("contactStore", KEYS[engine])] * 2
        assert (locks.closed, locks.slept) == (1, 0)
        locks = Locks(engine)
        with pytest.raises(ZeroDivisionError), locks.locked():
            _ = 1 // 0
        assert locks.closed == 1
    locks = Locks(stores=("waweb", "axolotlStore"))
    with locks.locked():
        assert locks.asked == [("axolotlStore", "waba_erase_own_axolotlStore")]


def _another_operator_is_waited_for() -> None:
    """A lock that is another's is asked for again, until it is free or the time is over."""
    locks = Locks(taken=3)
    with locks.locked():
        assert len(locks.asked) == 4
        assert locks.slept == 3
    for wait_s, asked in ((0, 2), (4, 5)):
        locks = Locks(taken=100)
        with pytest.raises(BusyError), locks.locked(wait_s):
            raise AssertionError
        assert len(locks.asked) == asked
        assert locks.closed == 1


def _the_way_past_a_dead_operator_is_told() -> None:
    """Whoever is kept out is told which connection to end, where the server tells."""
    for engine, ending in (
        (EngineKind.MYSQL, "KILL 71"),
        (EngineKind.POSTGRES, "SELECT pg_terminate_backend(71)"),
    ):
        locks = Locks(engine, taken=100)
        with pytest.raises(BusyError) as caught, locks.locked(0):
            raise AssertionError
        assert f"on the server (as an administrator: {ending})." in str(caught.value)
        locks = Locks(engine, taken=100, holder=None)
        with pytest.raises(BusyError, match=r"on the server\.$"), locks.locked(0):
            raise AssertionError


def _a_lost_lock_is_noticed() -> None:
    """A lock that is not held, or that cannot be asked about, was lost."""
    for lost, why in (
        (None, "was lost: run again"),
        (StoreUnreachableError("gone"), r"lost \(gone\)"),
    ):
        locks = Locks()
        with locks.locked() as lock:
            locks.held, locks.lost = False, lost
            with pytest.raises(StoreError, match=why) as caught:
                lock.require_held()
            assert type(caught.value) is StoreError


def _without_stores_there_is_no_lock() -> None:
    """Where none of the stores is, nothing is locked."""
    locks = Locks(stores=())
    with pytest.raises(StoreError, match="None of the stores"), locks.locked():
        raise AssertionError
    assert locks.closed == 1


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _the_lock_is_held_as_long_as_the_block,
    _another_operator_is_waited_for,
    _the_way_past_a_dead_operator_is_told,
    _a_lost_lock_is_noticed,
    _without_stores_there_is_no_lock,
)
