"""Controls of calls: what a server says to one, when it is stopped, and what it misses."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from harness._tests.mutants.controls import Control
from harness._tests.mutants.grounds import Ground
from harness.errors import HarnessError, StoreError
from harness.model import STOPPED, EngineKind

HOME: Final = "contactStore"
LONG_S: Final = 30.0
SAYS: Final = (
    "CREATE PROCEDURE says(x TEXT) BEGIN SELECT x, x'ff01'; SELECT 2; "
    "SELECT CAST('9x' AS UNSIGNED); END"
)
MISSING: Final = {
    EngineKind.MYSQL: {
        "USE nowhere": ("1049", "nowhere"),
        "SELECT nothing FROM wa_phones": ("1054", "nothing"),
        "DELETE nowhere FROM wa_phones": ("1109", "nowhere"),
        "SELECT 1 FROM nowhere": ("1146", "mutants_contactStore.nowhere"),
        "SELECT 1 FROM t1234567": ("1146", "mutants_contactStore.t#"),
        "CALL nowhere()": ("1305", "mutants_contactStore.nowhere"),
        "CALL theirs()": ("1449", "nobody"),
        "CREATE TABLE wa_phones (a INT)": ("1050", ""),
        "SELECT (SELECT 1 UNION SELECT 2)": ("1242", ""),
    },
    EngineKind.POSTGRES: {
        "SELECT 1 FROM nowhere": ("42P01", "nowhere"),
        "SELECT 1 FROM t1234567": ("42P01", "t#"),
        "SELECT nothing FROM wa_phones": ("42703", "nothing"),
        "SELECT nowhere(1)": ("42883", "nowhere"),
        "CREATE TABLE nowhere.t ()": ("3F000", "nowhere"),
        "DROP TYPE nowhere": ("42704", "nowhere"),
        "DROP DATABASE nowhere": ("3D000", "nowhere"),
        "CREATE TABLE wa_phones ()": ("42P07", ""),
        "SELECT 1 / 0": ("22012", ""),
        "SELECT 1 + true": ("42883", ""),
    },
}


def call_controls(ground: Ground) -> list[Control]:
    """Return the controls on one engine."""
    return [
        Control(
            f"call: {claim.__name__.strip('_').replace('_', ' ')}",
            partial(claim, ground),
            ground.fresh,
            ground.renew,
        )
        for claim in CLAIMS
    ]


def _all_that_is_said_is_heard(ground: Ground) -> None:
    """Every row of every result, every warning and every notice of a call is heard."""
    store_set = ground.store_set
    if ground.run_config.engine is EngineKind.MYSQL:
        ground.change(HOME, [SAYS], ["DROP PROCEDURE says"])
        store_set.execute("waweb", "SET SESSION sql_mode = ''")
        answer = store_set.call(HOME, "CALL says('100%')", limit_s=LONG_S)
        assert answer.said[:3] == (b"100%", b"\xff\x01", b"2")
        assert answer.said[3] == b"9"
        assert b"Truncated" in answer.said[4]
        assert store_set.call(HOME, "CALL says(%s)", ("a",), limit_s=LONG_S).said[0] == b"a"
        return
    answer = store_set.call(HOME, "SELECT 2, '100%' UNION ALL SELECT 3, 'x'", limit_s=LONG_S)
    assert answer.said == (b"2", b"100%", b"3", b"x")
    assert answer.affected_rows == 2
    assert store_set.call(HOME, "SELECT %s", ("a",), limit_s=LONG_S).said == (b"a",)
    notice = "DO $$ BEGIN RAISE NOTICE 'heard'; END $$"
    for _ in range(2):
        (said,) = store_set.call(HOME, notice, limit_s=LONG_S).said
        assert b"heard" in said


def _a_call_without_end_is_stopped(ground: Ground) -> None:
    """A call is ended when its time is over, and the store set can be used again."""
    mysql = ground.run_config.engine is EngineKind.MYSQL
    error = _error(
        lambda: ground.store_set.call(
            HOME, f"SELECT {'sleep' if mysql else 'pg_sleep'}(20)", limit_s=0.2
        )
    )
    assert error.code == STOPPED
    assert ground.store_set.query(HOME, "SELECT 1") == [(1,)]


def _a_call_that_ends_is_left_alone(ground: Ground) -> None:
    """A call that ends in time leaves its connection as it was, also when the time is over."""
    mysql = ground.run_config.engine is EngineKind.MYSQL
    whose = f"SELECT {'connection_id' if mysql else 'pg_backend_pid'}()"
    before = ground.store_set.query(HOME, whose)
    ground.store_set.call(HOME, "SELECT 1", limit_s=0.2)
    time.sleep(0.6)
    assert ground.store_set.query(HOME, whose) == before
    refused = "SELECT nothing FROM wa_phones"
    error = _error(lambda: ground.store_set.call(HOME, refused, limit_s=LONG_S))
    assert error.code in {"1054", "42703"}


def _what_is_missing_is_named(ground: Ground) -> None:
    """An object that the server does not have is named, but for what may be a number."""
    kind = ground.run_config.engine
    if kind is EngineKind.MYSQL:
        theirs = "CREATE DEFINER = nobody@nowhere PROCEDURE theirs() SELECT 1"
        ground.change(HOME, [theirs], ["DROP PROCEDURE theirs"])
    for sql, (code, lacks) in MISSING[kind].items():
        error = _error(partial(ground.store_set.execute, HOME, sql))
        assert (error.code, error.lacks) == (code, lacks), sql
        assert error.said()
    if kind is EngineKind.POSTGRES:
        error = _error(partial(ground.store_set.execute, HOME, "SELECT 1 FROM nowhere"))
        assert error.said() == 'relation "nowhere" does not exist'


def _error(call: Callable[[], object]) -> StoreError:
    """Return the error that a call ends in."""
    try:
        call()
    except StoreError as error:
        return error
    raise HarnessError("the server did not refuse")


CLAIMS: Final[Sequence[Callable[[Ground], None]]] = (
    _all_that_is_said_is_heard,
    _a_call_that_ends_is_left_alone,
    _what_is_missing_is_named,
    _a_call_without_end_is_stopped,
)
