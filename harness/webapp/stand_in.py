"""The stand-in itself: its Coreapps over real stores, what they do, and what can go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from harness import manifest
from harness.config import RunConfig
from harness.errors import HarnessError, ServerError
from harness.maintenance import gc_policy
from harness.maintenance.gc_policy import GcPolicy
from harness.model import Garbage, SeedRow
from harness.stores import StoreSet
from harness.webapp import media, messages, notifications, statistics
from harness.webapp.accounts import Accounts
from harness.webapp.answers import BUSY, INTERNAL, NOT_FOUND, Document, RefusedError
from harness.webapp.certificates import Certificate
from harness.webapp.connections import Connections
from harness.webapp.faults import Fault
from harness.webapp.settings import OBJECT_FROM, ApplicationSettings

PASSWORD: Final = "Stand-in-1"  # noqa: S105  # of something that stands for minutes
_MASTERS: Final = ("master1", "master2")
_LOOK_S: Final = 0.02
_NOBODY: Final = "33639989999@s.whatsapp.net"


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInConfig:
    """What stands: a client of a version, with so many Coreapps, over a store set.

    More than one node makes it multiconnect, with two masters. `as_of` is the time that ages are
    counted from, now if None; `settings` is what was changed of the version's defaults.
    `webhook_ca` is trusted where notifications go; `access_log` is a file for lines like
    lighttpd's, which hold message ids. `pause_s` goes by after each batch.
    `stats_inside`: that in multiconnect statistics are a map within ``db``, as collections are
    within ``gc``, is inferred; False puts the map around ``db``.
    """

    run_config: RunConfig
    version: str = "2.45.1"
    nodes: int = 1
    media_dir: Path | None = None
    tls: Certificate | None = None
    username: str = "admin"
    password: str = PASSWORD
    first_login: bool = False
    as_of: datetime | None = None
    policy: GcPolicy = field(default_factory=gc_policy.load)
    settings: Mapping[str, Any] = field(default_factory=dict)
    object_from: str = OBJECT_FROM
    webhook_ca: Path | None = None
    access_log: Path | None = None
    pause_s: float = 0
    stats_inside: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was answered; `status` is 0 where no answer was given."""

    method: str
    path: str
    status: int


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


class StandIn:
    """A client of the stand-in's making; everything public may be used while it runs."""

    def __init__(self, config: StandInConfig) -> None:
        self.config = config
        self.version = config.version.removeprefix("v")
        self.url = ""
        self.ca: Path | None = None
        self.faults: set[Fault] = set()
        self.faults_on = ""
        """Requests whose path has this in it get the faults of answers; all do if empty."""
        self.delay_s = 1.0
        self.elsewhere = "https://elsewhere.invalid/v1/"
        self.settings = ApplicationSettings(
            self.version, config.settings, object_from=config.object_from
        )
        self.accounts = Accounts(config.username, config.password, first_login=config.first_login)
        self.requests: list[Asked] = []
        self.collections: list[Collection] = []
        self.coreapps = tuple(_container(f"wacore{1 + number}") for number in range(config.nodes))
        self.reinsert_on: Literal["", "collection"] = ""
        self._cache: tuple[SeedRow, ...] = ()
        stores = [store.name for store in manifest.load().stores]
        self._connections = Connections(config.run_config, stores)
        self._running: dict[Garbage, list[threading.Thread]] = {what: [] for what in Garbage}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def username(self) -> str:
        """The name to log in with."""
        return self.accounts.username

    @property
    def password(self) -> str:
        """The password to log in with, as it is now."""
        return self.accounts.password

    @property
    def is_multiconnect(self) -> bool:
        """Whether there are several Coreapps, which makes maps of some answers."""
        return self.config.nodes > 1

    @property
    def restart_pending(self) -> bool:
        """Whether a changed setting waits for a restart of the Coreapps."""
        return self.settings.restart_pending

    @property
    def as_of(self) -> datetime:
        """The time that ages are counted from."""
        return self.config.as_of or datetime.now(UTC)

    def restart_coreapps(self) -> None:
        """Restart the Coreapps: settings come into force, and what they remember is gone."""
        self.settings.restart()
        self._cache = ()

    def upgrade(self, version: str) -> None:
        """Go to another version of the client, as the published rule for settings has it."""
        self.version = version.removeprefix("v")
        self.settings.upgrade(self.version)

    def remember(self, rows: Sequence[SeedRow]) -> None:
        """Let the Coreapps have rows in their caches, to be written back by `reinsert`."""
        self._cache = tuple(rows)

    def reinsert(self) -> int:
        """Write back what the caches hold and the stores do not; return how many rows."""
        with self._connections.borrowed() as store_set:
            return messages.write_back(store_set, self._cache)

    def wait_idle(self, timeout_s: float = 30) -> None:
        """Wait until no collection runs.

        Raises:
            ServerError: One still runs after that time.
        """
        end = time.monotonic() + timeout_s
        for thread in [one for threads in self._running.values() for one in threads]:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                raise ServerError(f"The stand-in still collects after {timeout_s:g} s.")

    def stop(self) -> None:
        """End what runs, and close every connection; harmless when called again."""
        self._stopping.set()
        for thread in [one for threads in self._running.values() for one in threads]:
            thread.join()
        self._connections.close()

    def tick(self) -> int:
        """Do once what Coreapps do by themselves, as settings in force have it; return how much.

        With `pass_through`, messages go once they are delivered or read; with the automatic
        collector, whatever is garbage goes. Nothing is notified.
        """
        removed = _Removed()
        with self._connections.borrowed() as store_set:
            if self.settings.passes_through:
                self._pass_through(store_set, removed)
            if self.settings.collects("messages"):
                for batch in self._batches(store_set, None):
                    _add(removed, batch)
            if self.settings.collects("media"):
                removed.files = self._media(store_set)
        return len(removed.messages) + len(removed.files)

    # --- what the API asks for --------------------------------------------------------------

    def start(self, what: Garbage) -> Document:
        """Start a collection; return its state as the API tells it.

        Of a second one while one runs nothing was found: it is refused with 1015.

        Raises:
            RefusedError: There is no Coreapp, or one runs already.
        """
        if Fault.NO_COREAPP in self.faults:
            raise RefusedError(INTERNAL, "Connection to wacore:6252 failed.")
        with self._lock:
            if any(thread.is_alive() for thread in self._running[what]):
                raise RefusedError(BUSY, "A collection is running already.")
            fails = Fault.FAILS_ONCE in self.faults
            self.faults.discard(Fault.FAILS_ONCE)
            # Media is the leader's alone; that it has no name in answers is a choice.
            nodes = self.coreapps if what is Garbage.MESSAGES else self.coreapps[-1:]
            self._running[what] = [
                threading.Thread(
                    target=self._run, args=(what, node, fails), name=f"{what} {node}", daemon=True
                )
                for node in nodes
            ]
            for thread in self._running[what]:
                thread.start()
        state: Document = {"status": "processing"}
        if what is Garbage.MESSAGES and self.is_multiconnect:
            state = {node: {"status": "processing"} for node in nodes}
        return {"services": {notifications.noun(what): {"gc": state}}}

    def mark_read(self, message_id: str) -> None:
        """Mark an inbound message read, which with `pass_through` removes it.

        Raises:
            RefusedError: There is no inbound message with this id.
        """
        with self._connections.borrowed() as store_set:
            at_ms = round(time.time() * 1000)
            if not messages.mark_read(store_set, self.config.policy, message_id, at_ms):
                raise RefusedError(NOT_FOUND, "There is no such message.")
            if self.settings.passes_through:
                self._pass_through(store_set, _Removed())

    def statistics(self) -> Document:
        """Return the counts of the stores; in multiconnect the primary master's alone."""
        with self._connections.borrowed() as store_set:
            counted = statistics.count(store_set)
        if not self.is_multiconnect:
            return {"stats": {"db": counted}}
        primary = _container(_MASTERS[0])
        if self.config.stats_inside:
            return {"stats": {"db": {primary: counted}}}
        return {"stats": {primary: {"db": counted}}}

    def health(self) -> Document:
        """Return how each container does."""
        status = "disconnected" if Fault.NO_COREAPP in self.faults else "connected"
        if not self.is_multiconnect:
            return {"health": {"gateway_status": status}}
        roles = {
            _container(_MASTERS[0]): "primary_master",
            _container(_MASTERS[1]): "secondary_master",
            **dict.fromkeys(self.coreapps, "coreapp"),
        }
        return {
            "health": {
                node: {"gateway_status": status, "role": role} for node, role in roles.items()
            }
        }

    def support(self) -> Document:
        """Return what there is about the stores; that schema versions stand here is published."""
        with self._connections.borrowed() as store_set:
            stores, engine = sorted(store_set.databases()), store_set.config.engine
        told = {
            "db_engine": {"mysql": "MYSQL", "postgres": "PGSQL"}[engine.value],
            "multi_connect": self.is_multiconnect,
            "description": self.version,
            "schema_versions": dict.fromkeys(stores, 1),
        }
        return {"support": told}

    # --- collections ------------------------------------------------------------------------

    def _run(self, what: Garbage, node: str, fails: bool) -> None:  # noqa: FBT001  # a thread's
        is_last = node == self.coreapps[-1]
        if Fault.STALLS in self.faults:
            self._hold(Fault.STALLS)
            return
        if Fault.NEVER_COMPLETES in self.faults:
            if is_last:
                self._wobble()
            self._hold(Fault.NEVER_COMPLETES)
            return
        fails = fails or Fault.FAILS in self.faults
        fails = fails or (is_last and Fault.NODE_FAILS in self.faults)
        removed = _Removed()
        try:
            with self._connections.borrowed() as store_set:
                self._collect(store_set, what, node, removed, fails=fails)
            if self.reinsert_on == "collection" and is_last:
                self.reinsert()
        except (HarnessError, OSError):
            fails = True
        is_silent = is_last and Fault.NODE_SILENT in self.faults
        told = not is_silent and self._tell(what, node, removed, failed=fails)
        self.collections.append(
            Collection(
                what,
                node if self.is_multiconnect else "",
                frozenset(removed.messages),
                removed.receipts,
                removed.files,
                fails,
                told,
            )
        )

    def _collect(
        self, store_set: StoreSet, what: Garbage, node: str, removed: _Removed, *, fails: bool
    ) -> None:
        if what is Garbage.MEDIA:
            removed.files = () if fails else self._media(store_set)
            return
        for batch in self._batches(store_set, node):
            _add(removed, batch)
            if fails or self._stopping.wait(self.config.pause_s):
                return

    def _batches(self, store_set: StoreSet, node: str | None) -> Sequence[messages.Batch] | Any:  # noqa: ANN401
        mine: Callable[[str], bool] = partial(self._is_of, node)
        return messages.collect(store_set, self.config.policy, self.as_of, mine)

    def _is_of(self, node: str | None, jid: str) -> bool:
        return node is None or self.coreapps[messages.node_of(jid, self.config.nodes)] == node

    def _pass_through(self, store_set: StoreSet, removed: _Removed) -> None:
        mine: Callable[[str], bool] = partial(self._is_of, None)
        policy = self.config.policy
        for batch in messages.collect(store_set, policy, self.as_of, mine, by_age=False):
            _add(removed, batch)

    def _media(self, store_set: StoreSet) -> tuple[str, ...]:
        days = self.config.policy.unused_days
        return media.collect(store_set, self.config.media_dir, self.as_of, days)

    def _tell(self, what: Garbage, node: str, removed: _Removed, *, failed: bool) -> bool:
        if not (url := self.settings.webhook):
            return False
        named = node if self.is_multiconnect and what is Garbage.MESSAGES else ""
        deleted = len(removed.messages) if what is Garbage.MESSAGES else len(removed.files)
        document = notifications.completed(what, deleted, named)
        if failed:
            document = notifications.failed(what, named)
        return notifications.post(url, document, self.config.webhook_ca)

    def _hold(self, fault: Fault) -> None:
        while fault in self.faults and not self._stopping.wait(_LOOK_S):
            pass

    def _wobble(self) -> None:
        """Let rows of nobody's come, faster than garbage goes, and take them back at the end."""
        with self._connections.borrowed() as store_set:
            turn = 0
            while Fault.NEVER_COMPLETES in self.faults and not self._stopping.wait(_LOOK_S):
                turn += 1
                values: dict[str, int | float | str | bytes | None] = {
                    "key_remote_jid": _NOBODY,
                    "key_from_me": 1,
                    "key_id": f"stand-in-{turn}",
                    "timestamp": round(time.time() * 1000),
                }
                store_set.insert([SeedRow(messages.STORE, "messages", values)])
            sql = "DELETE FROM messages WHERE key_remote_jid = %s AND key_id LIKE 'stand-in-%%'"
            store_set.execute(messages.STORE, sql, (_NOBODY,))


def _add(removed: _Removed, batch: messages.Batch) -> None:
    removed.messages.update(batch.messages)
    removed.receipts += batch.receipts


def _container(host: str) -> str:
    """Return a node's name as the API has it: host and container id."""
    return f"{host}:{sha256(host.encode()).hexdigest()[:12]}"
