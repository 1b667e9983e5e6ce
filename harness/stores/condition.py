"""What a server can be asked about before anything is changed, in words that know no engine.

The questions themselves are each engine's own: `mysql_condition` and `postgres_condition`.
All of them only read.
"""

from __future__ import annotations

from dataclasses import dataclass

LOCK_WAIT_S = 1
"""How long a question waits for a table that somebody else has locked, before it says so."""
LONG_TRANSACTION_S = 5.0
"""The age from which somebody else's transaction is worth a word: as long as ours wait."""
ORPHAN = "waba_erasure_"
"""What the names of our own prepared transactions begin with."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A privilege that is missing in a store, and the statement that grants it.

    `database` is where PostgreSQL wants the statement run; empty where that does not matter.
    """

    store: str
    what: str
    statement: str
    database: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as the server tells it; `store` only where stores differ."""

    name: str
    value: str
    store: str = ""


@dataclass(frozen=True, slots=True)
class OtherSession:
    """Somebody else at work on the stores; `age_s` is None where it could not be seen.

    `blocks` says that a lock is held that rows cannot be changed under.
    """

    session: str
    what: str
    store: str = ""
    table: str = ""
    age_s: float | None = None
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table's rows, as the server estimates them, and the bytes that one pass reads."""

    store: str
    table: str
    rows: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Demand:
    """A column that cannot be left away when a row is inserted.

    Either it may not be NULL and has no default, or its default draws from a counter, which
    a canary must not move. `fillable`: any integer may stand there, a negative one too.
    """

    store: str
    table: str
    column: str
    fillable: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """All that one engine answered.

    `refusing` are reasons not to write to this server, each a sentence with the way out;
    `remarks` what an operator should know, likewise; `unseen` what could not be looked at.
    `unreadable` are tables, by store and label, of which not one column may be read.
    """

    product: str
    account: str
    lacks: tuple[Lack, ...]
    logging: tuple[Setting, ...]
    replication: tuple[Setting, ...]
    durability: tuple[Setting, ...]
    sessions: tuple[OtherSession, ...]
    sizes: tuple[TableSize, ...]
    refusing: tuple[str, ...]
    remarks: tuple[str, ...]
    unseen: tuple[str, ...]
