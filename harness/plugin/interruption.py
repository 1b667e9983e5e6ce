"""Ctrl-C, SIGTERM, SIGHUP and the deadline: the session ends once, in order.

An exception raised by a signal may land inside another plugin's hook, which turns it into
a failed test and goes on. So the signal is also remembered, and the session is ended after
the test in which it came. From a decision to commit until the run is over nothing interrupts:
before it everything can be rolled back, after it the evidence is finished.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Generator
from types import FrameType
from typing import Final

import pytest

from harness.errors import GivenUpError

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Routes the signals that end a session from the moment it is registered as a plugin."""

    def __init__(self, *, once: bool = False, deadline_s: float | None = None) -> None:
        """Begin to listen.

        Args:
            once: Whether a second signal changes nothing: the first is being carried out.
            deadline_s: Seconds from now after which what is not committed is rolled back.
        """
        self.happened = False
        self._once = once
        self._decided = False
        self._acting = False
        self._committed = False
        self._given_up_s = None if deadline_s is None else time.monotonic() + deadline_s
        self._before = {number: signal.signal(number, self._interrupt) for number in _SIGNALS}
        if deadline_s is not None:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._give_up)
            signal.setitimer(signal.ITIMER_REAL, deadline_s)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        again, self.happened = self.happened, True
        if not self._decided and not (again and self._once):
            raise KeyboardInterrupt

    def _give_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._acting and not self._decided and not self._committed:
            self.require_time()

    def acting(self) -> None:
        """A run begins: the deadline may end it."""
        self._acting = True

    def require_time(self) -> None:
        """End a run that was interrupted, or whose deadline is over.

        Raises:
            KeyboardInterrupt: It was interrupted.
            GivenUpError: The deadline is over.
        """
        if self.happened:
            raise KeyboardInterrupt
        if self._committed or self._given_up_s is None:
            return
        if time.monotonic() >= self._given_up_s:
            raise GivenUpError(
                "The --deadline was over before the commit, so everything was rolled back: run "
                "again with more time, or in a quieter hour."
            )

    def decided(self) -> None:
        """From here on nothing interrupts."""
        self._decided = True

    def committed(self) -> None:
        """What follows the commit may be interrupted, and resumed; the deadline was before it."""
        self._decided, self._committed = False, True

    def released(self) -> None:
        """A run is over, or has taken its decision back; what comes now interrupts again."""
        self._decided = self._committed = False

    def finished(self) -> None:
        """All that was asked for is done: what came meanwhile has nothing left to end."""
        self.happened = self._acting = False
        self.ignore()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """End the session after a test that swallowed the interruption."""
        result = yield
        if self.happened:
            raise KeyboardInterrupt
        return result

    def ignore(self) -> None:
        """Let nothing interrupt the evidence: it is being written, and takes a moment only."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def pytest_unconfigure(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
