"""Ctrl-C, SIGTERM and SIGHUP: the session ends once, in order, and never as if finished.

An exception raised by a signal may land inside another plugin's hook, which turns it into
a failed test and goes on. So the signal is also remembered, and the session is ended after
the test in which it came.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType
from typing import Final

import pytest

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Routes the signals that end a session from the moment it is registered as a plugin."""

    def __init__(self) -> None:
        self.happened = False
        self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        raise KeyboardInterrupt

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """End the session after a test that swallowed the interruption."""
        result = yield
        if self.happened:
            raise KeyboardInterrupt
        return result

    def ignore(self) -> None:
        """Let nothing interrupt the evidence: it is being written, and takes a moment only."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def pytest_unconfigure(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
