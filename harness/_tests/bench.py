"""The benchmark: what a proven erasure costs, against what people would do instead.

`tox -e bench` prints a Markdown table of ratios on one and the same data, both engines.
Nothing is asserted: seconds differ from machine to machine, and so do ratios.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from harness import config as run_config
from harness import manifest, routines
from harness.config import RunConfig
from harness.identity import Closure, Filter
from harness.model import EngineChoice, EngineKind, Erased, Failed, Observed, Part, Record
from harness.population.bulk import Bulk, crowd
from harness.population.cases import Case, showcase
from harness.population.people import person
from harness.run import CONNECTIONS, HARDENED, Rehearsal, _Operation
from harness.servers import parse_choice, running
from harness.stores import StoreSet, connect, ddl
from harness.stores.aliases import resolve
from harness.stores.sweep import Search, Sighting, TablePass, sweep

from . import yardsticks
from .yardsticks import Measure, longest_wait_s, measured

MANIFEST: Final = manifest.load()
STORES: Final = tuple(store.name for store in MANIFEST.stores)
SUBJECT: Final = person(0)
CASE: Final = Case("bench", "The subject stands behind a million messages.", showcase(SUBJECT))
KEY: Final = bytes(32)
MIB: Final = 1 << 20
_TIMES: Final = 3
_SHORT_S: Final = 0.1
_BATCH_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what was measured, against what, and what was aimed at."""

    piece: str
    own: Measure
    yardstick: str
    other_s: float
    aim: str = ""

    def cells(self, engine: EngineChoice) -> tuple[str, ...]:
        """Return the line's cells as text."""
        return (
            str(engine),
            self.piece,
            _seconds(self.own.duration_s),
            f"{self.own.rss_bytes / MIB:.0f} MiB",
            self.yardstick,
            _seconds(self.other_s),
            f"{self.own.duration_s / self.other_s:.2f}",
            self.aim,
        )


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.2f} s" if duration_s > _SHORT_S else f"{1000 * duration_s:.1f} ms"


HEAD: Final = ("engine", "piece", "time", "peak RSS", "against", "time", "ratio", "aim")


class Bench:
    """One engine's measurements, on one server."""

    def __init__(self, engine: EngineChoice, config: RunConfig, messages: int) -> None:
        self.engine = engine
        self.config = config
        self.raw = replace(config, prefix="raw_")
        self.bulk = crowd(SUBJECT, messages)
        self.dump = yardsticks.dump(config, STORES)

    def lines(self) -> Iterator[Line]:
        """Load, search, fingerprint and erase, and yield each comparison as it is made."""
        yield self._load()
        for config in (self.config, self.raw):
            self._plant(config)
        yield from self._read()
        yield from self._erase()

    # --- loading ------------------------------------------------------------------------

    def _load(self) -> Line:
        for config in (self.config, self.raw):
            store_set = connect(config, STORES)
            store_set.create(ddl.committed(MANIFEST, self.engine.kind))
            store_set.close()
        raw_s = 0.0
        with tempfile.TemporaryDirectory() as folder:
            for bulk in self.bulk:
                path = Path(folder) / bulk.table
                yardsticks.prepare_file(path, bulk, self.engine.kind)
                raw_s += measured(partial(self._with, self.raw, _raw(path, bulk))).duration_s
        own = measured(partial(self._with, self.config, self._load_own))
        command = "COPY" if self.engine.kind is EngineKind.POSTGRES else "LOAD DATA LOCAL INFILE"
        return Line("load", own, f"{command} of a prepared file", raw_s, "at most 2")

    def _load_own(self, store_set: StoreSet) -> None:
        for bulk in self.bulk:
            store_set.load(bulk.store, bulk.table, bulk.columns, bulk.rows())

    def _plant(self, config: RunConfig) -> None:
        """Put the subject into every store, behind the last bystander."""
        store_set = connect(config, STORES)
        store_set.insert(CASE.rows(Part.JUDGED))
        if self.engine.kind is EngineKind.POSTGRES:
            # Now, rather than by the server's own choice in the middle of a measurement.
            for store in STORES:
                store_set.execute(store, "VACUUM ANALYZE")
        store_set.close()

    # --- reading ------------------------------------------------------------------------

    def _read(self) -> Iterator[Line]:
        grep = f"{self.dump.name} into grep -c"
        grepped = measured(partial(self.dump.into, "grep", "-c", SUBJECT.number), _TIMES)
        searched = measured(partial(self._with, self.config, _sweep_only), _TIMES)
        swept = measured(partial(self._with, self.config, _sweep), _TIMES)
        found = f"grep found {grepped.outcome} lines, the sweep {swept.outcome} cells"
        sys.stderr.write(f"{self.engine}: {found}\n")
        yield Line("sweep (hashing patched out)", searched, grep, grepped.duration_s)
        yield Line("sweep and fingerprint", swept, grep, grepped.duration_s, "at most 1")
        beside = measured(partial(self._with, self.config, _sweep_beside), _TIMES)
        yield Line(f"the same, {CONNECTIONS} connections", beside, grep, grepped.duration_s)
        yield self._filter()
        marked = measured(partial(self._with, self.config, _fingerprint), _TIMES)
        summed = measured(partial(yardsticks.checksum, self.config, STORES), _TIMES)
        on_mysql = self.engine.kind is EngineKind.MYSQL
        command = "CHECKSUM TABLE" if on_mysql else "COPY into md5sum"
        yield Line("fingerprint", marked, command, summed.duration_s)
        aim = "at most 2" if on_mysql else ""
        yield Line("sweep and fingerprint", swept, command, summed.duration_s, aim)

    def _filter(self) -> Line:
        """Compare the filter alone, on rows as they are sent, with grep for one literal."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows"
            self._with(self.config, partial(_save_rows, path=path))
            size_bytes = path.stat().st_size
            own = measured(partial(_filter_file, path), _TIMES)
            command = ("grep", "-c", "-a", SUBJECT.number, str(path))
            grepped = measured(partial(subprocess.run, command, capture_output=True), _TIMES)
        speed = size_bytes / own.duration_s / 1e6
        piece = f"filter alone, {speed:.0f} MB/s (aim: over 300)"
        return Line(piece, own, "grep -c for one spelling, same file", grepped.duration_s)

    # --- erasing ------------------------------------------------------------------------

    def _erase(self) -> Iterator[Line]:
        documented = measured(partial(self._with, self.raw, _call_documented))
        streamed = measured(partial(self._with, self.config, _stream), _TIMES)
        own = measured(partial(self._with, self.config, self._erase_by_plan))
        read_bytes, all_bytes = own.outcome, streamed.outcome
        reads = f"one sequential read (erasure read {read_bytes / all_bytes:.2f} times the data)"
        yield Line("erasure by the plan", own, reads, streamed.duration_s, "at most 4")
        routine = "the documented routine, which proves nothing"
        yield Line("erasure by the plan", own, routine, documented.duration_s)
        # Once more where the routine left enough to do, so that nobody took time from the first.
        work = partial(self._with, self.raw, self._erase_by_plan)
        waited_s = longest_wait_s(self.raw, STORES, lambda: measured(work))
        idle_s = longest_wait_s(self.raw, STORES, lambda: time.sleep(own.duration_s))
        wait = Measure(waited_s, own.rss_bytes)
        yield Line("a writer's longest wait meanwhile", wait, "the same writer, alone", idle_s)

    def _erase_by_plan(self, store_set: StoreSet) -> int:
        """Erase, and return how many bytes were read for it."""
        records: list[Record] = []
        rehearsal = Rehearsal(
            run="bench",
            case=replace(CASE, bulk=self.bulk),
            engine=self.engine,
            sets={Part.JUDGED: store_set},
            manifest=MANIFEST,
            routine=HARDENED,
            control=False,
            pseudonym="bench",
            shared=True,
        )
        _Unseeded(rehearsal, records.append, KEY).finished()
        if not any(isinstance(record, Erased) for record in records):
            failures = [record for record in records if isinstance(record, Failed)]
            sys.exit(f"The erasure did not come to its end: {failures}")
        return sum(record.size_bytes for record in records if isinstance(record, Observed))

    def _with(self, config: RunConfig, piece: Callable[[StoreSet], object]) -> object:
        store_set = connect(config, STORES)
        outcome = piece(store_set)
        store_set.close()
        return outcome


class _Unseeded(_Operation):
    """A run on stores that are filled already."""

    def _seed(self) -> None:
        pass


def _raw(path: Path, bulk: Bulk) -> Callable[[StoreSet], None]:
    return lambda store_set: yardsticks.load_raw(store_set, path, bulk)


def _search(store_set: StoreSet) -> Sighting:
    closure = resolve(store_set, MANIFEST, Closure(CASE.wa_id))
    return sweep(store_set, Search(MANIFEST, closure, KEY))


def _sweep(store_set: StoreSet) -> int:
    return sum(trace.cells for trace in _search(store_set).traces)


def _sweep_beside(store_set: StoreSet) -> int:
    closure = resolve(store_set, MANIFEST, Closure(CASE.wa_id))
    return len(sweep(store_set, Search(MANIFEST, closure, KEY), CONNECTIONS).traces)


def _save_rows(store_set: StoreSet, path: Path) -> None:
    with path.open("wb") as stream:
        for table in store_set.tables():
            store_set.scan(table, stream.writelines)


def _filter_file(path: Path) -> int:
    candidate = Filter(Closure(CASE.wa_id).identifiers)
    with path.open("rb") as stream:
        return sum(1 for batch in iter(partial(stream.read, _BATCH_BYTES), b"") if candidate(batch))


def _sweep_only(store_set: StoreSet) -> int:
    def count(_: TablePass, tally: object, rows: object) -> None:
        del tally, rows

    TablePass._add = count  # type: ignore[method-assign, assignment]
    return _sweep(store_set)


def _fingerprint(store_set: StoreSet) -> int:
    return sweep(store_set, Search(MANIFEST, None, KEY)).size_bytes


def _stream(store_set: StoreSet) -> int:
    return sum(store_set.scan(table, lambda _: None) for table in store_set.tables())


def _call_documented(store_set: StoreSet) -> None:
    routine = routines.documented(MANIFEST, store_set, "bench")
    routine.install()
    routine.call(int(CASE.wa_id.number))
    routine.remove()


def show(cells: Sequence[str]) -> None:
    """Print one line of the table."""
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


def main() -> None:
    """Measure both engines, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--engine", action="append", metavar="ENGINE")
    arguments = parser.parse_args()
    named = arguments.engine or [kind.value for kind in EngineKind]
    show(HEAD)
    show(["---"] * len(HEAD))
    for choice in map(parse_choice, named):
        # One server at a time, so that none disturbs the other.
        with running([choice]) as servers:
            reached = run_config.from_variables(servers[choice].environment, source="bench")
            for line in Bench(choice, reached, arguments.messages).lines():
                show(line.cells(choice))


if __name__ == "__main__":
    main()
