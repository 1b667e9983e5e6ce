"""What weighing a store set costs, against counting every table, which people would do instead.

`python -m harness._tests.gate_bench` loads 2.1 million messages into a server of each engine and
prints a Markdown table. *Warm* is the quickest of several; *cold* is the first after the server's
own cache was filled with another table, and the system's let go of the server's files, as far as
either can be had. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from harness import config as run_config
from harness import manifest
from harness.maintenance import gc_policy
from harness.model import EngineChoice, EngineKind, Moment
from harness.model.collected import Weighed
from harness.population.bulk import Bulk, crowd
from harness.population.people import person
from harness.servers import parse_choice, running
from harness.stores import StoreSet, connect, ddl
from harness.stores.keyset import source
from harness.stores.scales import Limits
from harness.stores.unread import count, unread_ids
from harness.stores.weight import weigh
from harness.webapp import StandInConfig, standing

from .bench import show
from .live_bed import Desk

MANIFEST: Final = manifest.load()
STORES: Final = tuple(store.name for store in MANIFEST.stores)
STORE: Final = "messageStore"
READ: Final = "read_device_timestamp"
FAR: Final = 10**9
HEAD: Final = ("engine", "piece", "warm", "cold", "what it says")
_TIMES: Final = 5
_FILLING: Final = 3
_SMALL_BYTES: Final = 1 << 20
_FOLDER: Final = {
    EngineKind.MYSQL: "SELECT @@datadir",
    EngineKind.POSTGRES: "SHOW data_directory",
}


class GateBench:
    """One engine's measurements, on one server that is full."""

    def __init__(self, engine: EngineChoice, store_set: StoreSet, bulks: tuple[Bulk, ...]) -> None:
        self._engine = engine
        self._set = store_set
        self._rows = max(bulk.bystander_rows for bulk in bulks)
        ((self._folder,),) = store_set.query(STORE, _FOLDER[engine.kind])

    def lines(self) -> Iterator[tuple[str, ...]]:
        """Measure piece by piece, and yield each as it is done."""
        near = Limits(self._rows - self._rows // 20, FAR)
        yield self._line("weigh, with estimates", lambda: self._weighed(Limits(FAR, FAR)))
        yield self._line("weigh, with messages counted", lambda: self._weighed(near))
        yield self._line("SELECT count(*) on messages", self._count_messages)
        yield self._line("SELECT count(*) on every table", self._count_all)
        yield self._line("unread messages: count", lambda: f"{count(self._set, READ):,}")
        yield self._line("unread messages: all ids", self._unread)

    def _line(self, piece: str, work: Callable[[], str]) -> tuple[str, ...]:
        self._cool()
        cold_s, said = _timed(work)
        warm_s = min(_timed(work)[0] for _ in range(_TIMES))
        return str(self._engine), piece, f"{warm_s:.2f} s", f"{cold_s:.2f} s", said

    def _cool(self) -> None:
        """Fill the server's cache with what nobody asks for, and empty the system's of its files.

        Source: posix_fadvise(2), POSIX_FADV_DONTNEED, which lets go of pages that are written.
        """
        for _ in range(_FILLING):
            self._set.query(STORE, "SELECT count(data) FROM ballast")
        for path in Path(self._folder).rglob("*"):
            if path.is_file() and path.stat().st_size > _SMALL_BYTES:
                descriptor = os.open(path, os.O_RDONLY)
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)

    def _weighed(self, limits: Limits) -> str:
        found = weigh(self._set, "bench", Moment.BEFORE, limits)
        return f"{_said(found)}; {len(found.unseen)} gaps"

    def _count_messages(self) -> str:
        return f"{self._set.query(STORE, 'SELECT count(*) FROM messages')[0][0]:,}"

    def _count_all(self) -> str:
        counts = [
            int(self._set.query(one.store, f"SELECT count(*) FROM {source(self._set, one)}")[0][0])
            for one in self._set.tables()
            if one.name != "ballast"
        ]
        return f"{sum(counts):,} in {len(counts)} tables"

    def _unread(self) -> str:
        return f"{sum(1 for _ in unread_ids(self._set, READ)):,}"


def commands(choice: EngineChoice, store_set: StoreSet) -> Iterator[tuple[str, ...]]:
    """Run the gate as people do, without and with garbage collection, and yield a line for each.

    Half of the messages are garbage to the stand-in. What is told is the gate's own time, without
    pytest's beginning and end.
    """
    # Its own copy of the messages would count as drift.
    store_set.execute(STORE, "DROP TABLE ballast")
    ((middle_ms,),) = store_set.query(
        STORE, "SELECT (min(timestamp) + max(timestamp)) / 2 FROM messages"
    )
    policy = replace(gc_policy.load(), batch_rows=20_000)
    as_of = datetime.fromtimestamp(float(middle_ms) / 1000, UTC) + timedelta(
        days=policy.older_than_days
    )
    made = StandInConfig(run_config=store_set.config, nodes=2, as_of=as_of, policy=policy)
    with tempfile.TemporaryDirectory() as folder, standing(made) as stand_in:
        desk = Desk(Path(folder))
        around = {"WA_WEB_USERNAME": stand_in.username, "WA_WEB_PASSWORD": stand_in.password}
        limits = gc_policy.FILE.read_text("utf-8")
        for slow, quick in (
            ("every_s = { value = 30", "every_s = { value = 1"),
            ("least_s = { value = 60", "least_s = { value = 5"),
        ):
            limits = limits.replace(slow, quick)
        given = (
            "--upgrade-gate",
            desk.db_env(store_set.config),
            f"--reports={folder}/reports",
        )
        webapp = (f"--webapp-url={stand_in.url}", f"--gc-policy={desk.file('policy.toml', limits)}")
        for piece, further in (
            ("pytest --upgrade-gate", ()),
            ("… --webapp-url", webapp),
            ("… --run-gc", (*webapp, "--run-gc")),
        ):
            shown = desk.pytest(*given, *further, around=around).stdout
            took = re.search(r"gate ([0-9.]+) s", shown)
            said = re.findall(
                r"(?:READY|NOT READY|UNKNOWN)[^;]*|large: [^:]*|messageStore.messages .*", shown
            )
            yield (
                str(choice),
                piece,
                f"{took[1] if took else '?'} s",
                "",
                "; ".join(" ".join(one.split()) for one in said),
            )


def _said(found: Weighed) -> str:
    messages = next(one for one in found.tables if one.table == "messages")
    return f"{messages.rows:,} rows, {'exact' if messages.exact else 'estimate'}"


def _timed(work: Callable[[], str]) -> tuple[float, str]:
    started_s = time.perf_counter()
    said = work()
    return time.perf_counter() - started_s, said


def _fill(store_set: StoreSet, bulks: tuple[Bulk, ...]) -> None:
    """Load the messages, and as many again under another name."""
    store_set.create(ddl.committed(MANIFEST, store_set.config.engine))
    for bulk in bulks:
        store_set.load(bulk.store, bulk.table, bulk.columns, bulk.rows())
    store_set.execute(STORE, "CREATE TABLE ballast AS SELECT _id, data FROM messages")
    for table in store_set.tables():
        if store_set.config.engine is EngineKind.MYSQL:
            store_set.query(table.store, f"ANALYZE TABLE {table.name}")
        else:
            # By now autovacuum would have come round, which a bench cannot wait for.
            store_set.execute(table.store, f"VACUUM ANALYZE {table.name}")


def main() -> None:
    """Measure both engines, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_100_000, metavar="N")
    parser.add_argument("--engine", action="append", metavar="ENGINE")
    arguments = parser.parse_args()
    bulks = crowd(person(0), arguments.messages)
    show(HEAD)
    show(["---"] * len(HEAD))
    for choice in map(parse_choice, arguments.engine or [kind.value for kind in EngineKind]):
        # One server at a time, so that none disturbs the other.
        with running([choice]) as servers:
            environment = servers[choice].environment
            store_set = connect(run_config.from_variables(environment, source="bench"), STORES)
            _fill(store_set, bulks)
            for line in GateBench(choice, store_set, bulks).lines():
                show(line)
            for line in commands(choice, store_set):
                show(line)
            store_set.close()


if __name__ == "__main__":
    main()
