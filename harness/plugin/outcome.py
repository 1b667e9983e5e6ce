"""How a session ended: what pytest saw, what the judge says, and both on one screen.

The verdict comes from the session's own history, never from test statuses; but a test
that was skipped, or failed without the judge knowing why, leaves it UNKNOWN.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest

from harness import __version__
from harness.errors import HarnessError, TraceFoundError
from harness.evidence import verdict
from harness.evidence.allure_results import RedactingLogger, write_environment
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
        self.deselected = 0
        self.judgement = Judgement(Verdict.UNKNOWN)
        self.concluded = False
        self._unclear: list[Finding] = []
        self._started = datetime.now(UTC)

    def note(
        self, report: pytest.TestReport, error: pytest.ExceptionInfo[BaseException] | None
    ) -> None:
        """Take note of one test phase: what pytest alone would call green or merely failed."""
        scenario = report.nodeid.rpartition("::")[2]
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

    def conclude(self, *, interrupted: bool) -> None:
        """Judge the session's history and write its evidence; the folder is searched last."""
        if interrupted:
            self._doubt("session", "the session was interrupted or ran nothing")
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
        self.concluded = True

    def _write(self, judged: Judgement) -> None:
        self._decide(judged)
        self.stage.session.write_json("verdict.json", self._document())

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
            finished_at=datetime.now(UTC),
            runs=[run.opened for run in runs_of(self.stage.records())],
            timing=self.stage.durations_s,
            partial=self._partial,
        )

    @property
    def _partial(self) -> str | None:
        return f"{self.deselected} scenarios were deselected" if self.deselected else None

    def summary(self, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen, for a terminal `width` columns wide."""
        return screen.render(
            self.judgement, self.stage, partial=self._partial, width=width, colour=colour
        )
