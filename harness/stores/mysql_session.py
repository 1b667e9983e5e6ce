"""What a session of ours asks of MySQL: not to be ended by idle timeouts, and not to be logged.

A transaction that waits, as one does while a person decides, is lost when a timeout ends its
session. A statement that is logged stays in the log longer than the row it deleted.

Source: MySQL and MariaDB reference manuals, "Server System Variables".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import pymysql

Rows = Callable[[str, Sequence[object]], Sequence[tuple[Any, ...]]]

_SCHEMA_LOCK_TIMEOUT_S: Final = 30
_EVERY_ROW: Final = (1 << 64) - 1
_IDLE_TIMEOUT_S: Final = 28800
_A_YEAR_S: Final = 31_536_000
"""The most that long_query_time takes."""
_MORE_ROWS_THAN_ARE: Final = (1 << 32) - 1
# Equal values must be equal bytes in every session, and long passes must not run into
# the client's idle timeout.
_ALWAYS: Final = (
    f"SET SESSION time_zone = '+00:00', wait_timeout = {_IDLE_TIMEOUT_S}, net_write_timeout = 600, "
    f"lock_wait_timeout = {_SCHEMA_LOCK_TIMEOUT_S}, sql_select_limit = {_EVERY_ROW}"
)
# MySQL 5.7 has the first, MariaDB the others; 0 switches each off.
_ENDING: Final = (
    "max_execution_time",
    "max_statement_time",
    "idle_transaction_timeout",
    "idle_write_transaction_timeout",
    "idle_readonly_transaction_timeout",
)
# Each by itself: some need a privilege, some exist on one of MySQL and MariaDB only. The binary
# log itself stays on, since replicas must erase too; only the text beside its rows goes.
_QUIET: Final = (
    "SET SESSION sql_log_off = 1",
    f"SET SESSION long_query_time = {_A_YEAR_S}",
    f"SET SESSION min_examined_row_limit = {_EVERY_ROW}",
    "SET SESSION slow_query_log = 0",
    "SET SESSION binlog_rows_query_log_events = 0",
    "SET SESSION binlog_annotate_row_events = 0",
)
_OF_LOGS: Final = (
    *("general_log", "sql_log_off", "log_output"),
    *("slow_query_log", "long_query_time", "min_examined_row_limit"),
    *("log_bin", "sql_log_bin", "binlog_format"),
    *("binlog_rows_query_log_events", "binlog_annotate_row_events"),
    *("log_warnings", "log_error_verbosity", "innodb_print_all_deadlocks"),
)
_AUDIT: Final = """
    SELECT plugin_name FROM information_schema.plugins
    WHERE plugin_status = 'ACTIVE' AND plugin_type = 'AUDIT' AND plugin_name LIKE '%audit%'"""
_WARNINGS_VERBOSITY: Final = 2


def begin(connection: pymysql.Connection[Any], *, quiet: bool) -> None:
    """Ask a new session for what ours need; with `quiet`, not to be logged where that is allowed.

    Raises:
        pymysql.err.Error: The server refused what every session needs.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ALWAYS)
        cursor.execute(f"SHOW VARIABLES WHERE variable_name IN {_ENDING}")
        if limited := [name for name, value in cursor.fetchall() if float(value)]:
            cursor.execute("SET SESSION " + ", ".join(f"{name} = 0" for name in limited))
        for statement in _QUIET if quiet else ():
            with suppress(pymysql.err.Error):
                cursor.execute(statement)


def logs(rows: Rows) -> tuple[str, ...]:
    """Return in plain words where the server still writes the text of this session's statements."""
    settings = {
        str(name): str(value).upper()
        for name, value in rows("SHOW VARIABLES WHERE variable_name IN %s", (_OF_LOGS,))
    }
    audited = ("audit plugin",) if rows(_AUDIT, ()) else ()
    return (*_logs(settings), *audited)


def _logs(settings: Mapping[str, str]) -> Iterator[str]:
    def is_on(name: str) -> bool:
        return settings.get(name, "OFF") in {"ON", "1"}

    is_written = settings.get("log_output", "FILE") != "NONE"
    if is_written and is_on("general_log") and not is_on("sql_log_off"):
        yield "general log"
    if is_written and is_on("slow_query_log") and not _is_never_slow(settings):
        yield "slow query log"
    if is_on("innodb_print_all_deadlocks"):
        yield "error log, of deadlocks"
    if is_on("log_bin") and is_on("sql_log_bin"):
        yield from _binary_log(settings, is_on)


def _is_never_slow(settings: Mapping[str, str]) -> bool:
    """Tell whether no statement is slow enough, nor reads enough rows without an index."""
    return (
        float(settings["long_query_time"]) >= _A_YEAR_S
        and int(settings["min_examined_row_limit"]) >= _MORE_ROWS_THAN_ARE
    )


def _binary_log(settings: Mapping[str, str], is_on: Callable[[str], bool]) -> Iterator[str]:
    binlog_format = settings["binlog_format"]
    if binlog_format in {"STATEMENT", "MIXED"}:
        yield f"binary log, {binlog_format.lower()} format"
    if is_on("binlog_rows_query_log_events") or is_on("binlog_annotate_row_events"):
        yield "binary log, statements beside rows"
    warnings = int(settings.get("log_warnings", "0")) > 0
    verbosity = int(settings.get("log_error_verbosity", "0")) >= _WARNINGS_VERBOSITY
    if binlog_format == "STATEMENT" and (warnings or verbosity):
        yield "error log, of statements unsafe to replicate"
