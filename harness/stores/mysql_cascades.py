"""Foreign keys of databases that the account may not see, as InnoDB's own catalog has them.

information_schema.referential_constraints hides a constraint whose table one has no right on,
and a deletion is carried on to that table all the same. The catalog wants PROCESS.

Source: MySQL reference manual, "The INFORMATION_SCHEMA INNODB_FOREIGN Table" (before 8.0 and on
MariaDB INNODB_SYS_FOREIGN) and "Mapping of Identifiers to File Names".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from harness.errors import StoreError
from harness.model import Hazard
from harness.stores.mysql_changes import CARRIES_ON

# ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_UNKNOWN_TABLE.
_DENIED, _NO_CATALOG = "1227", "1109"
# The four lowest bits: on a deletion or an update, cascade or set null.
_CARRYING: Final = "SELECT ref_name FROM information_schema.{} WHERE type & 15 <> 0"
_OLDER, _NEWER = "innodb_sys_foreign", "innodb_foreign"
_ENCODED: Final = re.compile(r"@([0-9a-f]{4})")

Rows = Callable[[str], list[tuple[Any, ...]]]


def cascades(rows: Rows, databases: Mapping[str, str]) -> Iterator[Hazard]:
    """Yield each table that a foreign key of any database carries changes on from.

    Nothing is known, and nothing yielded, without the privilege PROCESS.

    Args:
        rows: Runs a query.
        databases: The stores' names on the server, by logical name.

    Raises:
        StoreError: The server has no such catalog.
    """
    # Where the case of names does not count, InnoDB has them in lower case.
    stores = {name.lower(): store for store, name in databases.items()}
    stores |= {name: store for store, name in databases.items()}
    for name in dict.fromkeys(_referenced(rows)):
        database, _, table = name.partition("/")
        for decoded in dict.fromkeys((_plain(database), database)):
            if decoded in stores:
                yield Hazard(stores[decoded], _plain(table), CARRIES_ON)


def _referenced(rows: Rows) -> list[str]:
    try:
        try:
            found = rows(_CARRYING.format(_OLDER))
        except StoreError as error:
            if error.code != _NO_CATALOG:
                raise
            found = rows(_CARRYING.format(_NEWER))
    except StoreError as error:
        if error.code != _DENIED:
            raise
        return []
    return [str(name) for (name,) in found]


def _plain(name: str) -> str:
    """Return a name as it was given; letters beyond ASCII may stay as InnoDB writes them."""
    return _ENCODED.sub(lambda match: chr(int(match[1], 16)), name)
