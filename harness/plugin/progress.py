"""How far a live run has come: a bar on a terminal, plain lines in a log.

Counts of rows only. What is left is worked out from the server's own estimates of its
tables' sizes, so it is an estimate too, and says so.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final

import pytest
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY_S: Final = 15.0
_LEAST_ROWS: Final = 1


class RowsRead:
    """Counts the rows that a phase has read, and shows it; `show` gets plain lines.

    `total_rows` is the server's estimate for one pass over every row.
    """

    def __init__(self, show: Callable[[str], None], bar: Progress | None, total_rows: int) -> None:
        self._show = show
        self._bar = bar
        self._total = max(total_rows, _LEAST_ROWS)
        self._task = bar.add_task("", total=self._total, rate="", visible=False) if bar else None
        self._lock = Lock()
        self._phase, self._rows = "", 0
        self._started_s = self._told_s = time.monotonic()

    def begin(self, phase: str) -> None:
        """A phase begins, which reads every row once."""
        self._phase, self._rows = phase, 0
        self._started_s = self._told_s = time.monotonic()
        if self._bar and self._task is not None:
            self._bar.reset(self._task, total=self._total, description=phase, rate="", visible=True)
        else:
            self._show(_stamped(phase))

    def wait(self, phase: str) -> None:
        """A phase begins in which somebody else works, and nobody knows how far it has come."""
        if self._bar and self._task is not None:
            self._bar.reset(self._task, start=False, description=phase, rate="", visible=True)
        else:
            self._show(_stamped(phase))

    def add(self, rows: int) -> None:
        """Count rows that were read; may be called from several threads."""
        with self._lock:
            self._rows += rows
            now_s = time.monotonic()
            if self._bar and self._task is not None:
                rate = f"{self._rate(now_s):,.0f} rows/s"
                self._bar.update(self._task, completed=self._rows, rate=rate)
            elif now_s - self._told_s >= _EVERY_S:
                self._told_s = now_s
                self._show(self._line(now_s))

    def _rate(self, now_s: float) -> float:
        return self._rows / max(now_s - self._started_s, 0.001)

    def _line(self, now_s: float) -> str:
        rate = self._rate(now_s)
        left_s = max(self._total - self._rows, 0) / rate
        return (
            f"          {self._phase}: {self._rows:,} of about {self._total:,} rows, "
            f"{rate:,.0f} rows/s, about {left_s:.0f} s left"
        )


def _stamped(phase: str) -> str:
    return f"{datetime.now(UTC):%H:%M:%S}Z {phase}"


@contextmanager
def shown(config: pytest.Config, total_rows: int) -> Iterator[RowsRead]:
    """Show on the terminal what is read while the block runs, and nothing else.

    What anybody prints meanwhile would come by the redactor: it goes nowhere.
    """
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")
    writer = config.get_terminal_writer()
    with ExitStack() as around:
        if capture:
            around.enter_context(capture.global_and_fixture_disabled())
        console = Console(file=sys.stdout)
        nowhere = around.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        around.enter_context(redirect_stdout(nowhere))
        around.enter_context(redirect_stderr(nowhere))
        if reporter is None or not writer.hasmarkup:
            yield RowsRead(_to(reporter), None, total_rows)
            return
        reporter.ensure_newline()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        bar = Progress(
            *columns,
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        with bar:
            yield RowsRead(_to(reporter), bar, total_rows)


def _to(reporter: pytest.TerminalReporter | None) -> Callable[[str], None]:
    def show(line: str) -> None:
        if reporter:
            reporter.ensure_newline()
            reporter.write_line(line)

    return show
