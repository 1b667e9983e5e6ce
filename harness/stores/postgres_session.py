"""What a session of ours asks of PostgreSQL: to last, to be durable, and not to be logged.

A transaction that waits, as one does while a person decides, is lost when a timeout ends its
session. A statement that is logged stays in the log longer than the row it deleted.

Source: PostgreSQL manual, "Client Connection Defaults", "Error Reporting and Logging".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

import psycopg2
import psycopg2.extensions

# Equal values must be equal bytes in every session. A dead client's locks are let go of within
# minutes, where the system's own keepalives would take hours.
OPTIONS: Final = (
    "-c client_encoding=UTF8 -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres "
    "-c extra_float_digits=3 -c bytea_output=hex -c statement_timeout=0 -c row_security=off "
    "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6"
)
_ENDING: Final = {
    90600: "idle_in_transaction_session_timeout",
    140000: "idle_session_timeout",
    170000: "transaction_timeout",
}
# What is committed must not come back after a crash; other settings than off are durable here.
_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'"""
_QUIET: Final = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
    "auto_explain.log_min_duration": "-1",
    "pgaudit.log": "none",
}
_FIRST_WITH_GRANTED_SETTINGS: Final = 150000
_ALLOWED: Final = """
    SELECT name FROM pg_settings
    WHERE name = ANY (%s) AND (context = 'user' OR current_setting('is_superuser') = 'on'{})"""
SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"
OF_LOGS: Final = (*_QUIET, "log_statement_sample_rate")
_TEXT_OF_ERRORS_OFF: Final = frozenset({"fatal", "panic"})


def begin(connection: psycopg2.extensions.connection, *, quiet: bool) -> None:
    """Ask a new session for what ours need; with `quiet`, not to be logged where that is allowed.

    Raises:
        psycopg2.Error: The server refused what every session needs.
    """
    version = connection.server_version
    lasting = [f"SET {name} = 0" for since, name in _ENDING.items() if version >= since]
    with connection.cursor() as cursor:
        cursor.execute(";".join([*lasting, _DURABLE]))
        if quiet:
            with suppress(psycopg2.Error):
                _hush(cursor, version)


def _hush(cursor: psycopg2.extensions.cursor, version: int) -> None:
    """Set what may be set: trying the rest would only write refusals to the very log."""
    granted = " OR has_parameter_privilege(name, 'SET')"
    more = granted if version >= _FIRST_WITH_GRANTED_SETTINGS else ""
    cursor.execute(_ALLOWED.format(more), (list(_QUIET),))
    allowed = [str(name) for (name,) in cursor.fetchall()]
    cursor.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) t (name, value)",
        (allowed, [_QUIET[name] for name in allowed]),
    )


def logs(settings: Mapping[str, str]) -> Iterator[str]:
    """Yield in plain words where the server still writes the text of a session's statements."""
    if settings["log_statement"] in {"mod", "all"}:
        yield "server log (log_statement)"
    if _is_timed(settings):
        yield "server log of slow statements"
    if settings["log_min_error_statement"] not in _TEXT_OF_ERRORS_OFF:
        yield "server log of statements that fail"
    if any(settings.get(name) == "on" for name in settings if name.startswith("debug_print_")):
        yield "server log (debug_print)"
    if settings.get("auto_explain.log_min_duration", "-1") != "-1":
        yield "server log (auto_explain)"
    if settings.get("pgaudit.log", "none") not in {"none", ""}:
        yield "audit log (pgaudit)"


def _is_timed(settings: Mapping[str, str]) -> bool:
    """Tell whether statements may be logged for the time they take, all or a sample of them."""
    sampled = float(settings.get("log_statement_sample_rate", "0")) > 0
    return (
        settings["log_min_duration_statement"] != "-1"
        or (sampled and settings.get("log_min_duration_sample", "-1") != "-1")
        or float(settings.get("log_transaction_sample_rate", "0")) > 0
    )
