"""Which server it is: what a session that is resumed must find again.

Source: MySQL reference manual, `server_uuid`; PostgreSQL documentation, `pg_control_system`,
whose identifier a physical replica shares. MariaDB has neither; host, port and data folder serve.
"""

from __future__ import annotations

import hashlib
from typing import Final

from harness.errors import StoreError, StoreUnreachableError
from harness.model import EngineKind
from harness.stores.protocol import StoreSet

_ASKED: Final = {
    EngineKind.MYSQL: (
        "SELECT @@server_uuid",
        "SELECT concat(@@hostname, ':', @@port, ':', @@datadir)",
    ),
    EngineKind.POSTGRES: ("SELECT system_identifier::text FROM pg_control_system()",),
}


def identity_of(store_set: StoreSet) -> str:
    """Return a digest that names the server, whatever address it is reached by.

    Raises:
        StoreUnreachableError: The server went away.
    """
    config = store_set.config
    told = f"{config.hostname}:{config.port}"
    home = min(store_set.databases())
    for sql in _ASKED[config.engine]:
        try:
            ((told,),) = store_set.query(home, sql)
            break
        except StoreUnreachableError:
            raise
        except StoreError:
            continue
    return hashlib.sha256(str(told).encode()).hexdigest()


def label_of(store_set: StoreSet) -> str:
    """Return the engine and its version series, as the disposable ones are named."""
    kind = store_set.config.engine
    numbers = store_set.version.split(".")
    series = ".".join(numbers[:2]) if kind is EngineKind.MYSQL else numbers[0]
    return f"{kind}:{series}"
