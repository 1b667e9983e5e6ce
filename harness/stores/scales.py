"""What weighing a store set asks of an engine; `mysql_weight` and `postgres_weight` answer it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from harness.errors import ConflictError, StoreError, StoreUnreachableError
from harness.model import STOPPED, TableSchema

_COUNT_LIMIT_S: Final = 1.8
"""A count of 2.1 million rows took 0.5 to 1.7 s on MySQL 5.6, 0.1 to 1.0 s on PostgreSQL 10."""
UNBOUNDED: Final = 2**62
"""Where nothing bounds how many rows there may be."""
LOCKED: Final = (
    "somebody has locked a whole table, as an ALTER TABLE does: weigh again when that is over"
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a weighing.

    `large_rows` and `repeat_rows` are what the rows of `messages`, a store and a table's label,
    are compared with, and `pending_most` those of `queue`, where nothing better tells what waits:
    near one of them they are counted, unless that takes longer than `count_limit_s`. The rate is
    taken over the last `window_s` seconds, out of `newest_rows`
    at the most.
    """

    large_rows: int
    repeat_rows: int
    window_s: float = 900.0
    messages: tuple[str, str] = ("messageStore", "messages")
    count_limit_s: float = _COUNT_LIMIT_S
    newest_rows: int = 200_000
    queue: tuple[str, str] = ("callbackStore", "queue")
    pending_most: int | None = None

    def thresholds(self, place: tuple[str, str]) -> tuple[int, ...]:
        """Return the numbers of rows of a table that decide something."""
        if place == self.messages:
            return self.large_rows, self.repeat_rows
        if place == self.queue and self.pending_most is not None:
            return (self.pending_most,)
        return ()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A table as the server's catalog tells it.

    `rows` is its best guess, and the truth is between `least` and `most`, as far as the engine
    can be believed.
    """

    table: TableSchema
    rows: int
    least: int
    most: int
    size_bytes: int
    exact: bool = False
    dead_rows: int | None = None
    free_bytes: int | None = None
    uncounted: str = ""


class Scales(Protocol):
    """Questions to one engine, over connections that are impatient and in no transaction.

    What cannot be told is added to `unseen`, each a sentence with the way out.
    """

    unseen: list[str]

    def estimates(self, tables: Sequence[TableSchema]) -> Iterator[Estimate]:
        """Yield what the catalog says of every table that it can tell anything of."""
        ...

    def widened(self, estimate: Estimate) -> Estimate:
        """Return an estimate with as wide a margin as statistics of any age may need."""
        ...

    def count(self, table: TableSchema, limit_s: float) -> int:
        """Count a table's rows.

        Raises:
            StoreError: With the code `STOPPED`, if that was not done within the limit.
        """
        ...

    def exceeds(self, table: TableSchema, rows: int, limit_s: float) -> bool:
        """Tell whether a table has more than so many rows, going through no more than these.

        Raises:
            StoreError: With the code `STOPPED`, if that was not done within the limit.
        """
        ...

    def purge_lag(self) -> int | None:
        """Return how many undo log records MySQL still keeps; None where there are none such."""
        ...

    def now_s(self) -> float:
        """Return the server's own time, in seconds since 1970."""
        ...

    def data_folders(self) -> tuple[str, ...]:
        """Return the folders that the server's data is in, if they are provably on this machine."""
        ...


def told(unseen: list[str], what: str, piece: Callable[[], T]) -> T | None:
    """Ask the server something; if it does not tell, say so in `unseen`, and return None.

    Raises:
        StoreUnreachableError: The server went away, and nothing else can be asked either.
    """
    try:
        return piece()
    except StoreUnreachableError:
        raise
    except ConflictError:
        unseen.append(f"{what} could not be seen, since {LOCKED}.")
    except StoreError as error:
        if error.code == STOPPED:
            raise
        unseen.append(f"{what} could not be seen: {error}")
    return None
