"""The stand-in's Coreapps: collections that really remove, and caches that write back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Final, Literal

from harness.errors import HarnessError, ServerError
from harness.model import Garbage, SeedRow
from harness.stores import StoreSet
from harness.webapp import media, messages, notifications
from harness.webapp.answers import BUSY, INTERNAL, RefusedError
from harness.webapp.configured import StandInConfig
from harness.webapp.connections import Connections
from harness.webapp.faults import Fault
from harness.webapp.messages import Batch
from harness.webapp.settings import ApplicationSettings

_LOOK_S: Final = 0.02
_NOBODY: Final = "33639989999@s.whatsapp.net"
_NOBODYS: Final = "stand-in-"


@dataclass(frozen=True, slots=True)
class Collection:
    """What one Coreapp really removed in one collection: the oracle for tests.

    `messages` are keys of rows, `files` paths below the media folder. `node` is empty in a
    single one; `told` is whether a notification was taken.
    """

    garbage: Garbage
    node: str
    messages: frozenset[int] = frozenset()
    receipts: int = 0
    files: tuple[str, ...] = ()
    failed: bool = False
    told: bool = False


@dataclass(slots=True)
class _Removed:
    """What a collection that still runs has removed so far."""

    messages: set[int] = field(default_factory=set)
    receipts: int = 0
    files: tuple[str, ...] = ()

    def add(self, batches: Iterator[Batch]) -> None:
        """Let batches be deleted, and note what they were."""
        for batch in batches:
            self.messages.update(batch.messages)
            self.receipts += batch.receipts

    @property
    def count(self) -> int:
        """How much it tells that it was: receipts are not counted."""
        return len(self.messages) + len(self.files)


class Coreapps:
    """All Coreapps of one client; the last one is their leader."""

    def __init__(
        self,
        config: StandInConfig,
        connections: Connections,
        settings: ApplicationSettings,
        faults: set[Fault],
    ) -> None:
        self.names = tuple(container(f"wacore{1 + number}") for number in range(config.nodes))
        self.collections: list[Collection] = []
        self.cache: tuple[SeedRow, ...] = ()
        self.reinsert_on: Literal["", "collection"] = ""
        self._config = config
        self._connections = connections
        self._settings = settings
        self._faults = faults
        self._busy: dict[Garbage, set[str]] = {what: set() for what in Garbage}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def are_several(self) -> bool:
        """Whether it is multiconnect, which makes maps of some answers."""
        return len(self.names) > 1

    def start(self, what: Garbage) -> tuple[str, ...]:
        """Start a collection in threads of its own; return who collects.

        Of a second one while one runs nothing was found: it is refused with 1015.

        Raises:
            RefusedError: There is no Coreapp, or one runs already.
        """
        if Fault.NO_COREAPP in self._faults:
            raise RefusedError(INTERNAL, "Connection to wacore:6252 failed.")
        with self._lock:
            if self._busy[what]:
                raise RefusedError(BUSY, "A collection is running already.")
            fails = {Fault.FAILS, Fault.FAILS_ONCE} & self._faults
            self._faults.discard(Fault.FAILS_ONCE)
            nodes = self.names if what is Garbage.MESSAGES else self.names[-1:]
            self._busy[what].update(nodes)
            for node in nodes:
                work = partial(self._run, what, node, fails=bool(fails))
                thread = threading.Thread(target=work, name=f"stand-in {node}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return nodes

    def tick(self) -> int:
        """Do once what Coreapps do by themselves, as settings in force have it; return how much."""
        removed = _Removed()
        with self._connections.borrowed() as store_set:
            if self._settings.passes_through:
                removed.add(self._batches(store_set, None, by_age=False))
            if self._settings.collects("messages"):
                removed.add(self._batches(store_set, None))
            if self._settings.collects("media"):
                removed.files = self._media(store_set)
        return removed.count

    def mark_read(self, message_id: str) -> bool:
        """Mark inbound messages read, which removes them with `pass_through`; tell if there are."""
        with self._connections.borrowed() as store_set:
            at_ms = round(time.time() * 1000)
            found = messages.mark_read(store_set, self._config.policy, message_id, at_ms)
            if found and self._settings.passes_through:
                _Removed().add(self._batches(store_set, None, by_age=False))
        return bool(found)

    def reinsert(self) -> int:
        """Write back what the caches hold and the stores do not; return how many rows."""
        with self._connections.borrowed() as store_set:
            return messages.write_back(store_set, self.cache)

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until no collection runs.

        Raises:
            ServerError: One still runs after that time.
        """
        end = time.monotonic() + timeout_s
        for thread in list(self._threads):
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                raise ServerError(f"The stand-in still collects after {timeout_s:g} s.")

    def stop(self) -> None:
        """End what runs; what is removed stays removed, and nobody is told."""
        self._stopping.set()
        for thread in list(self._threads):
            thread.join()

    def _run(self, what: Garbage, node: str, *, fails: bool) -> None:
        is_last = node == self.names[-1]
        removed = _Removed()
        try:
            if self._is_held(is_last=is_last):
                return
            with self._connections.borrowed() as store_set:
                fails = fails or (is_last and Fault.NODE_FAILS in self._faults)
                self._collect(store_set, what, node, removed, fails=fails)
            if self._is_through(what, node) and self.reinsert_on == "collection":
                self.reinsert()
        except (HarnessError, OSError):
            fails = True
        finally:
            # Before anybody is told: who is told may ask for the next one at once.
            with self._lock:
                self._busy[what].discard(node)
        is_silent = self._stopping.is_set() or (is_last and Fault.NODE_SILENT in self._faults)
        told = not is_silent and self._tell(what, node, removed, failed=fails)
        self.collections.append(
            Collection(
                what,
                node if self.are_several else "",
                frozenset(removed.messages),
                removed.receipts,
                removed.files,
                fails,
                told,
            )
        )

    def _is_through(self, what: Garbage, node: str) -> bool:
        """Tell whether a collection is through but for this Coreapp, which then counts as busy."""
        with self._lock:
            if self._busy[what] == {node}:
                return True
            self._busy[what].discard(node)
        return False

    def _collect(
        self, store_set: StoreSet, what: Garbage, node: str, removed: _Removed, *, fails: bool
    ) -> None:
        if what is Garbage.MEDIA:
            removed.files = () if fails else self._media(store_set)
            return
        for batch in self._batches(store_set, node):
            removed.add(iter([batch]))
            if fails or self._stopping.wait(self._config.pause_s):
                return

    def _batches(
        self, store_set: StoreSet, node: str | None, *, by_age: bool = True
    ) -> Iterator[Batch]:
        policy = self._config.policy
        mine = partial(self._is_of, node)
        return messages.collect(store_set, policy, self._as_of(), mine, by_age=by_age)

    def _is_of(self, node: str | None, jid: str) -> bool:
        return node is None or self.names[messages.node_of(jid, len(self.names))] == node

    def _media(self, store_set: StoreSet) -> tuple[str, ...]:
        folder, days = self._config.media_dir, self._config.policy.unused_days
        return media.collect(store_set, folder, self._as_of(), days)

    def _as_of(self) -> datetime:
        return self._config.as_of or datetime.now(UTC)

    def _tell(self, what: Garbage, node: str, removed: _Removed, *, failed: bool) -> bool:
        if not (url := self._settings.webhook):
            return False
        # Media is the leader's alone; that it has no name in notifications is a choice.
        named = node if self.are_several and what is Garbage.MESSAGES else ""
        document = notifications.completed(what, removed.count, named)
        if failed:
            document = notifications.failed(what, named)
        return notifications.post(url, document, self._config.webhook_ca)

    def _is_held(self, *, is_last: bool) -> bool:
        """Hold a collection for as long as a fault wants it; tell whether one did."""
        if Fault.NEVER_COMPLETES in self._faults and is_last:
            with self._connections.borrowed() as store_set:
                self._wobble(store_set)
            return True
        held = {Fault.STALLS, Fault.NEVER_COMPLETES} & self._faults
        while held & self._faults and not self._stopping.wait(_LOOK_S):
            pass
        return bool(held)

    def _wobble(self, store_set: StoreSet) -> None:
        """Let rows of nobody's come, one after another, and take them back at the end."""
        turn = 0
        while Fault.NEVER_COMPLETES in self._faults and not self._stopping.wait(_LOOK_S):
            turn += 1
            values: dict[str, int | float | str | bytes | None] = {
                "key_remote_jid": _NOBODY,
                "key_from_me": 1,
                "key_id": f"{_NOBODYS}{turn}",
                "timestamp": round(time.time() * 1000),
            }
            store_set.insert([SeedRow(messages.STORE, "messages", values)])
        sql = "DELETE FROM messages WHERE key_remote_jid = %s AND key_id LIKE %s"
        store_set.execute(messages.STORE, sql, (_NOBODY, f"{_NOBODYS}%"))


def container(host: str) -> str:
    """Return a node's name as the API has it: host and container id."""
    return f"{host}:{sha256(host.encode()).hexdigest()[:12]}"
