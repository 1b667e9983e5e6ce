"""What a live run costs, beside the vendor's routine alone, and what a writer waits meanwhile.

`tox -e bench` runs it too; `python -m harness._tests.live_bench --messages 2000000` runs it
alone. The whole command is measured: interpreter, pytest, preflight, three passes over every
row, commit, evidence.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

from harness import config as run_config
from harness import keys, routines
from harness._tests.bench import CASE, HEAD, MANIFEST, STORES, SUBJECT, Line, show
from harness._tests.yardsticks import Measure, longest_wait_s, measured
from harness.config import RunConfig
from harness.model import EngineChoice, EngineKind, Part
from harness.population.bulk import crowd
from harness.population.people import Person
from harness.servers import parse_choice, running
from harness.stores import StoreSet, connect, ddl

_NEXT: Final = next(one for one in CASE.world.people if one.number != SUBJECT.number)
"""Whom to erase when the subject is gone: somebody else of the same world."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_POLL_S: Final = 0.05
_LOCKED_AFTER_S: Final = 0.5
"""How long after the first pass the mentions, which are few, are masked and locked for sure."""


@dataclass(frozen=True, slots=True)
class LiveBench:
    """One engine's measurements of the live command, on one filled store set."""

    engine: EngineChoice
    config: RunConfig
    environment: dict[str, str]
    messages: int
    folder: Path

    def lines(self) -> Iterator[Line]:
        """Fill the stores, rehearse, erase among writers, erase alone; yield comparisons."""
        self._fill()
        documented = measured(lambda: self._with(_call_and_roll_back))
        streamed = measured(lambda: self._with(_stream), 2)
        touched_s, unchanged_s, idle_s = self._among_writers()
        own = self._live(_NEXT)
        routine = "the documented routine alone, rolled back"
        yield Line("whole live run, from the shell", own, routine, documented.duration_s)
        yield Line("whole live run", own, "one sequential read", streamed.duration_s)
        wait = Measure(unchanged_s, own.rss_bytes)
        aim = "at most 100 ms more"
        yield Line("longest wait, rows left alone", wait, "the same writer, alone", idle_s, aim)
        wait = Measure(touched_s, own.rss_bytes)
        yield Line("wait for a row that is masked", wait, "whole live run", own.duration_s)

    def _fill(self) -> None:
        store_set = connect(self.config, STORES)
        store_set.create(ddl.committed(MANIFEST, self.engine.kind))
        for bulk in crowd(SUBJECT, self.messages):
            store_set.load(bulk.store, bulk.table, bulk.columns, bulk.rows())
        _plant(store_set)
        if self.engine.kind is EngineKind.POSTGRES:
            for store in STORES:
                store_set.execute(store, "VACUUM ANALYZE")
        store_set.close()

    def _among_writers(self) -> tuple[float, float, float]:
        """Erase while rows are written; return the waits for masked rows and others, and idle."""
        waited: list[float] = []
        toucher = Thread(target=lambda: waited.append(self._touch()))
        toucher.start()
        took: list[Measure] = []
        unchanged_s = longest_wait_s(self.config, STORES, lambda: took.append(self._live(SUBJECT)))
        toucher.join()
        idle_s = longest_wait_s(
            self.config, STORES, lambda: time.sleep(min(took[0].duration_s, 10.0))
        )
        return waited[0], unchanged_s, idle_s

    def _touch(self) -> float:
        """Write to a row that is being masked, once it is locked; return the wait in seconds."""
        store_set = connect(self.config, STORES)
        ((row,),) = store_set.query(
            "messageStore",
            "SELECT min(_id) FROM messages WHERE data LIKE %s AND key_remote_jid NOT LIKE %s",
            (f"%{SUBJECT.number}%", f"%{SUBJECT.number}%"),
        )
        reports = self.folder / "reports"
        while not any(
            b'"moment": "before"' in path.read_bytes()
            for path in reports.glob("*/runs/*/history.jsonl")
        ):
            time.sleep(_POLL_S)
        time.sleep(_LOCKED_AFTER_S)
        started_s = time.perf_counter()
        store_set.execute(
            "messageStore", "UPDATE messages SET status = status WHERE _id = %s", (row,)
        )
        waited_s = time.perf_counter() - started_s
        store_set.close()
        return waited_s

    def _live(self, subject: Person) -> Measure:
        """Run the command as an operator does, and measure it from outside."""
        for name, text in (("ids", f"{subject.number}\n"), ("db.env", self._db_env())):
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="ascii")
        key = self.folder / "key"
        if not key.exists():
            keys.make(key)
        command = [sys.executable, "-m", "pytest", "--live", f"--db-env={self.folder / 'db.env'}"]
        command += [f"--wa-id-file={self.folder / 'ids'}", f"--pseudonym-key={key}"]
        command += [f"--reports={self.folder / 'reports'}"]
        started_s = time.perf_counter()
        with (self.folder / "screen").open("wb") as screen:
            child = subprocess.Popen(command, cwd=_ROOT, stdout=screen, stderr=screen)
            _, status, used = os.wait4(child.pid, 0)
        duration_s = time.perf_counter() - started_s
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit((self.folder / "screen").read_text(encoding="utf-8"))
        return Measure(duration_s, used.ru_maxrss * 1024)

    def _db_env(self) -> str:
        return "".join(f"{name}={value}\n" for name, value in self.environment.items())

    def _with(self, piece: Callable[[StoreSet], object]) -> object:
        store_set = connect(self.config, STORES)
        outcome = piece(store_set)
        store_set.close()
        return outcome


def _plant(store_set: StoreSet) -> None:
    store_set.insert(CASE.rows(Part.JUDGED))


def _stream(store_set: StoreSet) -> int:
    return sum(store_set.scan(table, lambda _: None) for table in store_set.tables())


def _call_and_roll_back(store_set: StoreSet) -> None:
    routine = routines.documented(MANIFEST, store_set, "bench")
    routine.install()
    routine.session.execute(routine.home, "BEGIN")
    routine.call(int(CASE.wa_id.number))
    routine.session.execute(routine.home, "ROLLBACK")
    routine.remove()


def measure(choice: EngineChoice, messages: int) -> Iterator[Line]:
    """Measure one engine on a server of its own."""
    with running([choice]) as servers, tempfile.TemporaryDirectory() as folder:
        environment = dict(servers[choice].environment)
        reached = run_config.from_variables(environment, source="bench")
        yield from LiveBench(choice, reached, environment, messages, Path(folder)).lines()


def main() -> None:
    """Measure both engines, one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000, metavar="N")
    parser.add_argument("--engine", action="append", metavar="ENGINE")
    arguments = parser.parse_args()
    show(HEAD)
    show(["---"] * len(HEAD))
    for choice in map(parse_choice, arguments.engine or [kind.value for kind in EngineKind]):
        for line in measure(choice, arguments.messages):
            show(line.cells(choice))


if __name__ == "__main__":
    main()
