"""The terminal, reports and captured output pass the redactor like everything else."""

from __future__ import annotations

from typing import TextIO

import pytest

from harness.errors import HarnessError, TraceFoundError
from harness.redaction import Redactor


class _RedactedStream:
    """A text stream that lets nothing through but what the redactor returns."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor

    def write(self, text: str) -> int:
        """Write the text redacted; report it as written whole."""
        self._stream.write(self._redactor.redact(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def redact_terminal(config: pytest.Config, redactor: Redactor) -> None:
    """Put the redactor between pytest's terminal reporter and the terminal."""
    writer = config.get_terminal_writer()
    # pytest offers no other place where all that it prints comes by.
    writer._file = _RedactedStream(writer._file, redactor)  # noqa: SLF001


def redact_report(
    report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None, redactor: Redactor
) -> None:
    """Redact a test's report in place: junit files and the terminal are made from it.

    What the harness raises on purpose is a sentence for people and needs no traceback.
    """
    if report.failed and error and isinstance(error.value, TraceFoundError | HarnessError):
        report.longrepr = redactor.redact(str(error.value))
    elif isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, redactor.redact(reason))
    elif report.longrepr is not None and (plain := str(report.longrepr)) != redactor.redact(plain):
        report.longrepr = redactor.redact(plain)
    report.sections = [
        (redactor.redact(name), redactor.redact(text)) for name, text in report.sections
    ]
