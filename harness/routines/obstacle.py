"""An obstacle: a table whose rows cannot be changed, so that a routine fails at it half way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from harness.model import EngineKind
from harness.stores import StoreSet
from harness.stores.mysql_changes import quoted as mysql_quoted
from harness.stores.postgres_quoting import quoted as postgres_quoted

_NAME: Final = "erasure_obstacle"
_CHANGES: Final = ("DELETE", "UPDATE")
# Raised where the rows are; another store's routine sees whatever its own server makes of it.
_MYSQL_RAISE: Final = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'an obstacle of the harness'"
_POSTGRES_RAISE: Final = (
    f"CREATE FUNCTION public.{_NAME}() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'an obstacle of the harness'; END $$"
)


@contextmanager
def obstacle(store_set: StoreSet, store: str, table: str) -> Iterator[None]:
    """Make every change of a table's rows fail, on disposable servers only.

    Raises:
        StoreError: The server refused the trigger.
    """
    mysql = store_set.config.engine is EngineKind.MYSQL
    make, take_away = (_mysql if mysql else _postgres)(table)
    for statement in make:
        store_set.execute(store, statement)
    try:
        yield
    finally:
        for statement in take_away:
            store_set.execute(store, statement)


def _mysql(table: str) -> tuple[list[str], list[str]]:
    names = {change: mysql_quoted(f"{_NAME}_{change}") for change in _CHANGES}
    rows = f"ON {mysql_quoted(table)} FOR EACH ROW {_MYSQL_RAISE}"
    make = [f"CREATE TRIGGER {name} BEFORE {change} {rows}" for change, name in names.items()]
    return make, [f"DROP TRIGGER {name}" for name in names.values()]


def _postgres(table: str) -> tuple[list[str], list[str]]:
    make = (
        f"{_POSTGRES_RAISE}; CREATE TRIGGER {_NAME} BEFORE {' OR '.join(_CHANGES)} "
        f"ON public.{postgres_quoted(table)} FOR EACH ROW EXECUTE PROCEDURE public.{_NAME}()"
    )
    return [make], [f"DROP FUNCTION public.{_NAME}() CASCADE"]
