"""Reaching a store set, whichever its engine."""

from __future__ import annotations

from collections.abc import Sequence

from harness.config import RunConfig
from harness.model import EngineKind
from harness.stores.mysql import MySqlStoreSet
from harness.stores.postgres import PostgresStoreSet
from harness.stores.protocol import StoreSet


def connect(
    config: RunConfig, stores: Sequence[str], *, one_at_a_time: bool = False, quiet: bool = False
) -> StoreSet:
    """Reach the store set that a configuration names.

    Args:
        config: Server, credentials and prefix.
        stores: Logical names of the stores to look for, without the prefix.
        one_at_a_time: Whether the server is to refuse several statements at once, as it
            should where the text is somebody else's; PostgreSQL cannot.
        quiet: Whether the server is asked not to log these sessions' statements, as far as
            privileges allow; `StoreSet.statement_logs` tells what it still logs.

    Raises:
        StoreUnreachableError: The server does not answer, or refuses the credentials.
    """
    if config.engine is EngineKind.MYSQL:
        return MySqlStoreSet(config, stores, one_at_a_time=one_at_a_time, quiet=quiet)
    return PostgresStoreSet(config, stores, quiet=quiet)
