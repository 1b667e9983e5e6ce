"""The terminal, reports and captured output pass the redactor like everything else."""

from __future__ import annotations

from typing import Any, TextIO

import pytest

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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_terminal(config: pytest.Config, redactor: Redactor) -> None:
    """Put the redactor between pytest's terminal reporter and the terminal."""
    writer = config.get_terminal_writer()
    writer._file = _RedactedStream(writer._file, redactor)  # type: ignore[assignment]  # duck-typed


def redact_report(report: pytest.TestReport, redactor: Redactor) -> None:
    """Redact a test's report in place: junit files and the terminal are made from it."""
    if report.longrepr is not None and not isinstance(report.longrepr, tuple):
        plain = str(report.longrepr)
        if redactor.redact(plain) != plain:
            report.longrepr = redactor.redact(plain)
    elif isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = (path, line, redactor.redact(reason))
    report.sections = [(redactor.redact(name), redactor.redact(text)) for name, text in report.sections]
