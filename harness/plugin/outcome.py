"""How a session ended: what pytest saw, what the judge says, and both on one screen.

The verdict comes from the session's own history, never from test statuses; but a test
that was skipped, or failed without the judge knowing why, leaves it UNKNOWN.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, cast

import pytest

from harness import __version__
from harness.errors import HarnessError, TraceFoundError
from harness.evidence import verdict
from harness.evidence.allure_results import RedactingLogger, write_environment
from harness.evidence.baseline import reading_of
from harness.evidence.comparison import Comparison, compare
from harness.judge import judge, runs_of
from harness.model import Finding, FindingKind, Judgement, Verdict
from harness.plugin import screen
from harness.plugin.staging import Stage, UnclearRunError

# What these say is in the history already, and the judge has said it better.
_JUDGED: Final = (TraceFoundError, UnclearRunError)


class Outcome:
    """Collects while tests run, concludes once at the end."""

    def __init__(self, stage: Stage, results: RedactingLogger) -> None:
        self.stage = stage
        self._results = results
        self.exit_status = Verdict.UNKNOWN.exit_code
        self.deselected = 0
        self.narrowed = False
        self._called: set[str] = set()
        self.judgement = Judgement(Verdict.UNKNOWN)
        self.comparison: Comparison | None = None
        self.concluded = False
        self._unclear: list[Finding] = []
        self._started = datetime.now(UTC)

    def note(
        self, report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None
    ) -> None:
        """Take note of one test phase: what pytest alone would call green or merely failed."""
        scenario = report.nodeid.rpartition("::")[2]
        if report.when == "call":
            self._called.add(report.nodeid)
        if report.skipped:
            self._doubt(f"scenario {scenario}", "the scenario was skipped")
        elif not report.failed or (error and error.errisinstance(_JUDGED)):
            return
        elif error and error.errisinstance(HarnessError):
            self._doubt("the harness", str(error.value))
        else:
            kind = error.typename if error else "an error"
            self._doubt(f"scenario {scenario}", f"the scenario ended with {kind}")

    def _doubt(self, surface: str, why: str) -> None:
        doubt = Finding(FindingKind.COVERAGE, "", "", "", "", surface, 1, why)
        if doubt not in self._unclear:
            self._unclear.append(doubt)

    def conclude(self, *, collected: int, pytest_status: int) -> None:
        """Judge the session's history and write its evidence; the folder is searched last.

        Where the evidence cannot be written the verdict is UNKNOWN, and the screen says why.
        """
        ended = pytest_status in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if not ended:
            self._doubt("session", "the session was interrupted or ran nothing")
        elif len(self._called) < collected:
            missed = collected - len(self._called)
            self._doubt("session", f"{missed} scenarios were collected and never run")
        try:
            self._write_evidence()
        except HarnessError as error:
            self._doubt("evidence", str(error))
            self._decide(self.judgement)
        self.exit_status = self.judgement.verdict.exit_code if ended else int(pytest_status)
        self.concluded = True

    def _write_evidence(self) -> None:
        if self._results.lost:
            self._doubt("evidence", f"{self._results.lost} Allure results could not be written")
        session = self.stage.session
        write_environment(session, self._environment())
        self._write(judge(self.stage.records()))
        if leaking := session.sweep():
            files = ", ".join(leaking)
            why = f"the evidence itself holds a number or a password in {files}: delete that folder"
            leak = Finding(FindingKind.SURFACE, "", "", "", "", "evidence", len(leaking), why)
            self._unclear.append(leak)
            self._write(self.judgement)
        session.publish()

    def _write(self, judged: Judgement) -> None:
        self._decide(judged)
        document = self._compared(self._document())
        self.stage.session.write_json("verdict.json", document)

    def _compared(self, document: dict[str, object]) -> dict[str, object]:
        """Add how the session differs from the baseline, if one was given."""
        if self.stage.request.baseline is None:
            return document
        # The baseline was redacted when it was written; names must not differ by that.
        written = cast("dict[str, object]", self.stage.redactor.redact_structure(document))
        self.comparison = compare(self.stage.request.baseline, reading_of(written))
        return verdict.with_baseline(document, self.comparison)

    def _environment(self) -> dict[str, str]:
        runs = [run.opened for run in runs_of(self.stage.records())]
        engines = {f"engine {run.engine}": run.engine_version for run in runs}
        return {"harness": __version__, "mode": "verify", **engines}

    def _decide(self, judged: Judgement) -> None:
        findings = (*judged.findings, *(one for one in self._unclear if one not in judged.findings))
        worst = Verdict.worst(judged.verdict, *(finding.kind.verdict for finding in findings))
        self.judgement = replace(judged, verdict=worst, findings=findings)

    def _document(self) -> dict[str, object]:
        return verdict.document(
            self.judgement,
            session=self.stage.session.name,
            mode="verify",
            rows="untouched",
            scope=screen.SCOPE,
            started_at=self._started,
            finished_at=max(datetime.now(UTC), self._started),
            runs=[run.opened for run in runs_of(self.stage.records())],
            timing=self.stage.durations_s,
            partial=self._partial,
        )

    @property
    def _partial(self) -> str | None:
        if self.deselected:
            return f"{self.deselected} scenarios were deselected"
        return "not every scenario file was asked for" if self.narrowed else None

    def summary(self, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen, for a terminal `width` columns wide."""
        line = screen.Line(self.judgement, self._partial, self.exit_status, self.comparison)
        return screen.render(line, self.stage, width=width, colour=colour)
