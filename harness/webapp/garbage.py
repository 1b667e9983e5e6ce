"""Which rows a collection removes: fixtures/gc/policy.toml, once in SQL and once in Python.

It is NOT the vendor's rule, which was never published. Written twice, so that what SQL deletes
can be compared with what Python says of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from harness.maintenance.gc_policy import GcPolicy
from harness.model import EngineKind

_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on rows of messages, which are called `m` in it, and its values."""

    sql: str
    values: tuple[object, ...]


def name(kind: EngineKind, text: str) -> str:
    """Return a column's or table's name as the engine reads it."""
    mark = "`" if kind is EngineKind.MYSQL else '"'
    return mark + text.replace(mark, mark * 2) + mark


def rule(policy: GcPolicy, kind: EngineKind, as_of: datetime, *, by_age: bool = True) -> Rule:
    """Return the condition under which a message is garbage.

    Without `by_age` it is the condition of `pass_through`: delivered or read, however young.
    """
    read, delivered = name(kind, policy.read_column), name(kind, policy.delivered_column)
    sql = f"(m.key_from_me = 0 AND m.{read} > 0) OR (m.key_from_me <> 0 AND m.{delivered} > 0)"
    if not by_age or not policy.older_than_days:
        return Rule(f"({sql})", ())
    stamp = name(kind, "timestamp")
    return Rule(f"({sql} OR m.{stamp} < %s)", (oldest_ms(as_of, policy.older_than_days),))


def garbage(policy: GcPolicy, values: Mapping[str, object], as_of: datetime) -> bool:
    """Tell whether a message with these values is garbage; a column left out is NULL."""

    def is_set(column: str) -> bool:
        found = values.get(column)
        return isinstance(found, int) and found > 0

    sent = values.get("key_from_me")
    if sent is not None and is_set(policy.delivered_column if sent else policy.read_column):
        return True
    at_ms = values.get("timestamp")
    if not policy.older_than_days or not isinstance(at_ms, int):
        return False
    age_ms = round(as_of.timestamp() * 1000) - at_ms
    return age_ms > policy.older_than_days * _DAY_MS


def oldest_ms(as_of: datetime, days: float) -> int:
    """Return the time that is so many days ago, in milliseconds since 1970."""
    return round((as_of - timedelta(days=days)).timestamp() * 1000)
