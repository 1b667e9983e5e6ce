"""How a session ended: what pytest saw, what the judge says, and both on one screen.

The verdict comes from the session's own history, never from test statuses; but a test
that was skipped, or failed without the judge knowing why, leaves it UNKNOWN.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol, cast

import pytest

from harness import __version__
from harness.errors import HarnessError, RefusalError, TraceFoundError
from harness.evidence import verdict
from harness.evidence.allure_results import RedactingLogger, write_environment
from harness.evidence.baseline import Reading, reading_of
from harness.evidence.comparison import Comparison, compare
from harness.evidence.session import Session
from harness.evidence.verdict import Rows, Scope
from harness.judge import judge, runs_of
from harness.model import (
    Collected,
    Erased,
    Finding,
    FindingKind,
    History,
    Judgement,
    Mode,
    PlanMade,
    TableChange,
    Verdict,
    Withheld,
)
from harness.plugin.file_account import account_of
from harness.plugin.recorded import UnclearRunError
from harness.redaction import Redactor

# What these say is in the history already, and the judge has said it better.
_JUDGED: Final = (TraceFoundError, UnclearRunError)


@dataclass(frozen=True, slots=True)
class Concluded:
    """What the first line of the last screen says.

    The judgement, how far it reaches, the exit status; `comparison` tells how the session
    differs from an earlier one, `refusal` why nothing was done.
    """

    judgement: Judgement
    partial: str | None
    exit_status: int
    comparison: Comparison | None = None
    refusal: str = ""


class Asked(Protocol):
    """What an outcome needs of what was asked for."""

    @property
    def baseline(self) -> Reading | None:
        """What an earlier session said."""
        ...


class Acted(Protocol):
    """What an outcome needs of a stage, whatever stores it acts on."""

    session: Session
    redactor: Redactor
    durations_s: dict[str, float]

    @property
    def request(self) -> Asked:
        """What was asked for."""
        ...

    @property
    def mode(self) -> Mode:
        """What kind of session it is."""
        ...

    @property
    def rows(self) -> Rows:
        """The state of real stores' rows."""
        ...

    @property
    def idle(self) -> bool:
        """Whether the folder is an earlier session's, of which nothing was taken up."""
        ...

    @property
    def scope(self) -> Scope:
        """What was searched, and what was not."""
        ...

    @property
    def signed_off(self) -> tuple[str, str]:
        """Operator and ticket, as given."""
        ...

    def records(self) -> History:
        """Return everything recorded so far."""
        ...

    def attest(self) -> None:
        """Do what is to be done once the verdict is written."""
        ...

    def close(self) -> None:
        """Let go of every server."""
        ...

    def summary(self, line: Concluded, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen."""
        ...


class Outcome:
    """Collects while tests run, concludes once at the end."""

    def __init__(self, stage: Acted, results: RedactingLogger) -> None:
        self.stage = stage
        self.refusal = ""
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
        elif error and error.errisinstance(RefusalError):
            self.refusal = self.refusal or str(error.value)
            self._doubt("refused", str(error.value))
        elif error and error.errisinstance(HarnessError):
            self._doubt("the harness", str(error.value))
        else:
            kind = error.typename if error else "an error"
            if self.stage.mode is Mode.VERIFY:
                self._doubt(f"scenario {scenario}", f"the scenario ended with {kind}")
            else:
                # All of them ask for the one run that crashed: it is told once.
                self._doubt("the harness", f"it ended with {kind}, an error of its own: report it")

    def _doubt(self, surface: str, why: str) -> None:
        doubt = Finding(FindingKind.COVERAGE, "", "", "", "", surface, 1, why)
        if doubt not in self._unclear:
            self._unclear.append(doubt)

    @property
    def _told(self) -> bool:
        """Whether real stores gave a reason already, from which all else only follows."""
        return bool(self._unclear) and self.stage.mode is not Mode.VERIFY

    def conclude(self, *, collected: int, pytest_status: int) -> None:
        """Judge the session's history and write its evidence; the folder is searched last.

        Where the evidence cannot be written the verdict is UNKNOWN, and the screen says why.
        """
        ended = pytest_status in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if not ended:
            self._doubt("session", "the session was interrupted or ran nothing")
        elif len(self._called) < collected and not self._told:
            missed = collected - len(self._called)
            self._doubt("session", f"{missed} scenarios were collected and never run")
        try:
            self._write_evidence()
        except HarnessError as error:
            self._doubt("evidence", str(error))
            self._decide(self.judgement)
        self.exit_status = self.judgement.verdict.exit_code if ended else int(pytest_status)
        if self.refusal and (self.stage.rows == "untouched" or self.stage.idle):
            self.exit_status = int(pytest.ExitCode.USAGE_ERROR)
        self.concluded = True

    def _write_evidence(self) -> None:
        if self.stage.idle:
            # What the earlier session wrote is still what is known.
            self._decide(judge(self.stage.records()))
            return
        if self._results.lost:
            self._doubt("evidence", f"{self._results.lost} Allure results could not be written")
        session = self.stage.session
        write_environment(session, self._environment())
        if self.stage.mode is Mode.PREFLIGHT:
            # Nobody was looked for, so there is no verdict about anybody.
            self._decide(Judgement(Verdict.CLEAR))
            return
        told = self._told and not self.stage.records()
        self._write(Judgement(Verdict.UNKNOWN) if told else judge(self.stage.records()))
        if leaking := session.sweep():
            files = ", ".join(leaking)
            why = f"the evidence itself holds a number or a password in {files}: delete that folder"
            leak = Finding(FindingKind.SURFACE, "", "", "", "", "evidence", len(leaking), why)
            self._unclear.append(leak)
            self._write(self.judgement)
        session.publish()
        self.stage.attest()

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
        return {"harness": __version__, "mode": self.stage.mode.value, **engines}

    def _decide(self, judged: Judgement) -> None:
        findings = (*judged.findings, *(one for one in self._unclear if one not in judged.findings))
        worst = Verdict.worst(judged.verdict, *(finding.kind.verdict for finding in findings))
        self.judgement = replace(judged, verdict=worst, findings=findings)

    def _document(self) -> dict[str, object]:
        records = self.stage.records()
        operator, ticket = self.stage.signed_off
        return verdict.document(
            self.judgement,
            session=self.stage.session.name,
            mode=self.stage.mode.value,
            rows=self.stage.rows,
            scope=self.stage.scope,
            started_at=self._started,
            finished_at=max(datetime.now(UTC), self._started),
            runs=[run.opened for run in runs_of(records)],
            timing=self.stage.durations_s,
            partial=self._partial,
            plans={one.run: one.digest for one in records if isinstance(one, PlanMade)},
            changes=changes_of(records),
            files=account_of(records),
            collections=[one for one in records if isinstance(one, Collected)],
            operator=operator,
            ticket=ticket,
        )

    @property
    def _partial(self) -> str | None:
        if self.deselected:
            return f"{self.deselected} scenarios were deselected"
        return "not every scenario file was asked for" if self.narrowed else None

    def summary(self, *, width: int, colour: bool) -> list[str]:
        """Return the lines of the last screen, for a terminal `width` columns wide."""
        concluded = Concluded(
            self.judgement, self._partial, self.exit_status, self.comparison, self.refusal
        )
        return self.stage.summary(concluded, width=width, colour=colour)


def changes_of(records: History) -> Mapping[str, tuple[TableChange, ...]]:
    """Return what each run on real stores deleted and masked in all rounds, or would have."""
    tables: dict[str, Counter[tuple[str, str, str]]] = defaultdict(Counter)
    withheld = {one.run for one in records if isinstance(one, Withheld)}
    for one in records:
        if isinstance(one, Erased) or (isinstance(one, PlanMade) and one.run in withheld):
            for change in one.tables:
                place = (change.store, change.table)
                tables[one.run][*place, "deleted"] += change.deleted_rows
                tables[one.run][*place, "masked"] += change.masked_rows
    return {
        run: tuple(
            TableChange(*place, counts[*place, "deleted"], counts[*place, "masked"])
            for place in sorted({(store, table) for store, table, _ in counts})
        )
        for run, counts in tables.items()
    }
