"""What scenarios judge: recorded runs with their judgement, on disposable stores and real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.errors import HarnessError, TraceFoundError
from harness.evidence.forms import FormLine, account
from harness.judge import Run, unpredicted
from harness.model import Erased, Finding, FindingKind, Judgement

_SHOWN: Final = 6


class UnclearRunError(HarnessError):
    """A recorded run does not tell; the judge's findings say why."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded runs and their judgement; the methods raise what the judgement found."""

    runs: tuple[Run, ...]
    judgement: Judgement

    @property
    def run(self) -> Run:
        """The run, where there is only one."""
        (only,) = self.runs
        return only

    def require_none(self, *kinds: FindingKind) -> None:
        """Raise if the judge found anything of these kinds, predicted or not.

        Raises:
            TraceFoundError: Something remains, or someone else's data was changed.
            HarnessError: The run does not tell.
        """
        self.require_complete()
        found = [*self.judgement.findings, *self.judgement.expected]
        _raise_for([finding for finding in found if finding.kind in kinds])

    def require_clear(self) -> None:
        """Raise if the judge found anything at all.

        Raises:
            TraceFoundError: Something remains, or someone else's data was changed.
            HarnessError: The run does not tell.
        """
        self.require_none(*FindingKind)

    @property
    def forms(self) -> tuple[FormLine, ...]:
        """In which forms the subject was planted, seen and left, column by column."""
        return account(self.run)

    @property
    def changed_rows(self) -> int:
        """How many rows the plan deleted or masked, in all rounds."""
        erasures = (erased for run in self.runs for erased in run.all(Erased))
        changes = (change for erased in erasures for change in erased.tables)
        return sum(change.deleted_rows + change.masked_rows for change in changes)

    def require_as_predicted(self) -> None:
        """Raise unless the judge found exactly what the manifest predicts, no more, no fewer.

        Raises:
            TraceFoundError: A finding that was not predicted.
            HarnessError: The run does not tell, or a predicted finding did not appear.
        """
        self.require_complete()
        _raise_for([one for run in self.runs for one in unpredicted(run)])

    def require_complete(self) -> None:
        """Raise unless the run went through all its phases and searched every surface.

        Raises:
            HarnessError: Says where it stopped, or what was not searched.
        """
        _raise_for([one for one in self.judgement.findings if one.kind is FindingKind.COVERAGE])


def _raise_for(findings: list[Finding]) -> None:
    if not findings:
        return
    lines = [f"{one.kind} in {one.engine} {one.place}: {one.count}, {one.why}" for one in findings]
    more = [f"and {len(lines) - _SHOWN} more: see verdict.json"] if len(lines) > _SHOWN else []
    message = "\n".join([*lines[:_SHOWN], *more])
    unclear = any(finding.kind is FindingKind.COVERAGE for finding in findings)
    raise UnclearRunError(message) if unclear else TraceFoundError(message)
