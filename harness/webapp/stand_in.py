"""The stand-in itself: what may be asked of it through the API, and done with it beside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from harness import manifest
from harness.model import Garbage, SeedRow
from harness.webapp import notifications, statistics
from harness.webapp.accounts import Accounts
from harness.webapp.answers import NOT_FOUND, Document, RefusedError
from harness.webapp.configured import StandInConfig
from harness.webapp.connections import Connections
from harness.webapp.coreapps import Collection, Coreapps, container
from harness.webapp.faults import Fault
from harness.webapp.settings import ApplicationSettings

_PRIMARY: Final = container("master1")
_SECONDARY: Final = container("master2")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was answered; `status` is 0 where no answer was given."""

    method: str
    path: str
    status: int


class StandIn:
    """A client that stands in; everything public may be used while it runs."""

    def __init__(self, config: StandInConfig) -> None:
        self.config = config
        self.version = config.version.removeprefix("v")
        self.url = ""
        self.ca: Path | None = None
        self._faults: set[Fault] = set()
        self.faults_on = ""
        """Requests whose path has this in it get the faults of answers; all do if empty."""
        self.delay_s = 1.0
        self.elsewhere = "https://elsewhere.invalid/v1/"
        self.settings = ApplicationSettings(
            self.version, config.settings, object_from=config.object_from
        )
        self.accounts = Accounts(config.username, config.password, first_login=config.first_login)
        self.requests: list[Asked] = []
        stores = [store.name for store in manifest.load().stores]
        self._connections = Connections(config.run_config, stores)
        self._coreapps = Coreapps(config, self._connections, self.settings, self._faults)

    @property
    def faults(self) -> set[Fault]:
        """What goes wrong now; add to it and take from it while it runs."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        wanted = set(faults)
        self._faults.intersection_update(wanted)
        self._faults.update(wanted)

    @property
    def username(self) -> str:
        """The name to log in with."""
        return self.accounts.username

    @property
    def password(self) -> str:
        """The password to log in with, as it is now."""
        return self.accounts.password

    @property
    def nodes(self) -> tuple[str, ...]:
        """The Coreapps' names, ``host:containerid``; a single one's is in no answer."""
        return self._coreapps.names

    @property
    def collections(self) -> Sequence[Collection]:
        """What was really removed, one entry per Coreapp that is through; see `wait_idle`."""
        return self._coreapps.collections

    @property
    def restart_pending(self) -> bool:
        """Whether a changed setting waits for a restart of the Coreapps."""
        return self.settings.restart_pending

    def restart_coreapps(self) -> None:
        """Restart the Coreapps: settings come into force, and what they remember is gone."""
        self.settings.restart()
        self._coreapps.cache = ()

    def upgrade(self, version: str) -> None:
        """Go to another version of the client, as the published rule for settings has it."""
        self.version = version.removeprefix("v")
        self.settings.upgrade(self.version)

    def remember(
        self, rows: Sequence[SeedRow], *, reinsert_on: Literal["", "collection"] = ""
    ) -> None:
        """Let the Coreapps have rows in their caches.

        They are written back by `reinsert`, or at the end of each collection, before that is
        notified: those of them that the stores do not hold then.
        """
        self._coreapps.cache = tuple(rows)
        self._coreapps.reinsert_on = reinsert_on

    def reinsert(self) -> int:
        """Write back what the caches hold and the stores do not; return how many rows."""
        return self._coreapps.reinsert()

    def tick(self) -> int:
        """Do once what Coreapps do by themselves, as settings in force have it; return how much.

        With `pass_through`, messages go once they are delivered or read; with the automatic
        collector, whatever is garbage goes. Nothing is notified.
        """
        return self._coreapps.tick()

    def wait_idle(self, timeout_s: float = 30) -> None:
        """Wait until no collection runs, and each is among `collections`.

        Raises:
            ServerError: One still runs after that time.
        """
        self._coreapps.wait_idle(timeout_s)

    def stop(self) -> None:
        """End what runs, and close every connection; harmless when called again."""
        self._coreapps.stop()
        self._connections.close()

    # --- what the API asks for --------------------------------------------------------------

    def start(self, what: Garbage) -> Document:
        """Start a collection; return its state as the API tells it.

        Raises:
            RefusedError: There is no Coreapp, or one runs already.
        """
        nodes = self._coreapps.start(what)
        state: Document = {"status": "processing"}
        # Media is the leader's alone; that it has no name in answers is a choice.
        if what is Garbage.MESSAGES and self._coreapps.are_several:
            state = {node: {"status": "processing"} for node in nodes}
        return {"services": {notifications.noun(what): {"gc": state}}}

    def mark_read(self, message_id: str) -> None:
        """Mark an inbound message read, which with `pass_through` removes it.

        Raises:
            RefusedError: There is no inbound message with this id.
        """
        if not self._coreapps.mark_read(message_id):
            raise RefusedError(NOT_FOUND, "There is no such message.")

    def statistics(self) -> Document:
        """Return the counts of the stores; in multiconnect the primary master's alone."""
        with self._connections.borrowed() as store_set:
            counted = statistics.count(store_set)
        if not self._coreapps.are_several:
            return {"stats": {"db": counted}}
        return {"stats": {"db": {_PRIMARY: counted}}}

    def health(self) -> Document:
        """Return how each container does."""
        status = "disconnected" if Fault.NO_COREAPP in self.faults else "connected"
        if not self._coreapps.are_several:
            return {"health": {"gateway_status": status}}
        roles = {_PRIMARY: "primary_master", _SECONDARY: "secondary_master"}
        roles |= dict.fromkeys(self.nodes, "coreapp")
        return {
            "health": {
                node: {"gateway_status": status, "role": role} for node, role in roles.items()
            }
        }

    def support(self) -> Document:
        """Return what each container tells for support, as far as the harness asks for it."""
        with self._connections.borrowed() as store_set:
            stores, engine = sorted(store_set.databases()), store_set.config.engine
        told: Document = {
            "db_engine": {"mysql": "MYSQL", "postgres": "PGSQL"}[engine.value],
            "multi_connect": self._coreapps.are_several,
            "description": self.version,
            # Schemas go by their stores' short names; the Webapp's own is not among them.
            "schema": {
                store.removesuffix("Store"): 1 for store in stores if store.endswith("Store")
            },
        }
        if not self._coreapps.are_several:
            return {"support": told}
        return {"support": dict.fromkeys((_PRIMARY, _SECONDARY, *self.nodes), told)}
