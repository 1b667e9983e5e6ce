"""Connections to the real stores: a store set serves one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.config import RunConfig
from harness.stores import StoreSet, connect


class Connections:
    """Store sets to borrow, as many as there are borrowers at once."""

    def __init__(self, config: RunConfig, stores: Sequence[str]) -> None:
        self.config = config
        self._stores = tuple(stores)
        self._idle: list[StoreSet] = []
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self) -> Iterator[StoreSet]:
        """Lend a store set; one that was in use when something failed is not used again.

        Raises:
            StoreUnreachableError: The server does not answer.
        """
        with self._lock:
            store_set = self._idle.pop() if self._idle else None
        store_set = store_set or connect(self.config, self._stores)
        try:
            yield store_set
        except BaseException:
            store_set.close()
            raise
        with self._lock:
            self._idle.append(store_set)

    def close(self) -> None:
        """Close those that nobody has borrowed."""
        with self._lock:
            idle, self._idle = self._idle, []
        for store_set in idle:
            store_set.close()
