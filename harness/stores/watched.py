"""A store set that tells how many rows it has read: nothing else about it is different."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from harness.model import TableSchema
from harness.stores.protocol import Consumer, StoreSet


def watched(store_set: StoreSet, told: Callable[[int], object]) -> StoreSet:
    """Return the store set, telling `told` how many rows it hands out, a batch at a time."""
    return cast("StoreSet", _WatchedStoreSet(store_set, told))


class _WatchedStoreSet:
    """Hands everything on but the scans, which are counted."""

    def __init__(self, store_set: StoreSet, told: Callable[[int], object]) -> None:
        self._store_set = store_set
        self._told = told

    def __getattr__(self, name: str) -> object:
        return getattr(self._store_set, name)

    def scan(
        self, table: TableSchema, consume: Consumer, *, located: bool = False, part: str = ""
    ) -> int:
        """Scan and count; see `harness.stores.protocol.StoreSet.scan`."""
        told = self._told

        def counting(rows: Sequence[bytes]) -> None:
            consume(rows)
            told(len(rows))

        return self._store_set.scan(table, counting, located=located, part=part)

    @contextmanager
    def beside(self, store: str) -> Iterator[StoreSet]:
        """Open another connection, counted like this one."""
        with self._store_set.beside(store) as other:
            yield watched(other, self._told)
