"""Controls of rehearsals with a routine FILE: what it does, and what it cannot, is recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from unittest import mock

from harness import routines, run
from harness._tests.mutants.controls import Control
from harness._tests.mutants.grounds import Ground, Outcome, case_named
from harness.errors import ConflictError, HarnessError, StoreError, StoreUnreachableError
from harness.model import (
    Answer,
    Called,
    EngineKind,
    Failed,
    FindingKind,
    Moment,
    Part,
    Predicted,
    RoutineFailed,
    RowsDiffer,
    RunClosed,
    SeedRow,
    Step,
)
from harness.population.cases import Case
from harness.population.people import person
from harness.routines import Routine, RoutineFile, read

SUBJECT: Final = person(0)
OTHER: Final = person(7)
CASE: Final = "everywhere"
FRAMES: Final = {
    EngineKind.MYSQL: "DELIMITER //\nCREATE PROCEDURE p(IN wa_id BIGINT)\nBEGIN\n{}\nEND //\n",
    EngineKind.POSTGRES: (
        "CREATE FUNCTION p(wa_id bigint) RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n{}\nEND $$;\n"
    ),
}
PLUS: Final = {EngineKind.MYSQL: "CONCAT('+', wa_id)", EngineKind.POSTGRES: "'+' || wa_id"}
ERASES: Final = "DELETE FROM wa_phones WHERE phone_number = {plus};"
MASKS: Final = (
    "UPDATE wa_contacts SET status = replace(status, {plus}, '+00000000000') "
    "WHERE jid <> '{jid}' AND number <> {plus};"
)
HARMS: Final = "UPDATE wa_contacts SET status = 'x' WHERE status LIKE '%call%';"
PHONES: Final = ("contactStore", "wa_phones")


def routine_controls(ground: Ground) -> list[Control]:
    """Return the controls on one engine."""
    return [
        Control(
            f"file: {claim.__name__.strip('_').replace('_', ' ')}",
            partial(claim, ground),
            ground.fresh,
            ground.renew,
        )
        for claim in CLAIMS
    ]


def _file(ground: Ground, body: str) -> RoutineFile:
    kind = ground.run_config.engine
    words = {"plus": PLUS[kind], "jid": SUBJECT.jid}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "routine.sql")
        path.write_text(FRAMES[kind].format(body.format(**words)), encoding="utf-8")
        return read(path, [store.name for store in ground.described.stores])


def _rehearsed(ground: Ground, body: str, case: str | Case = CASE, **changes: Any) -> Outcome:
    return ground.rehearsed(
        case, routine="FILE", control=False, file=_file(ground, body), **changes
    )


def _phones(outcome: Outcome, which: int) -> int:
    observed = outcome.run.judged(Moment.AFTER if which else Moment.BEFORE)[-1]
    return next(s.subject_rows for s in observed.tables if (s.store, s.table) == PHONES)


def _a_file_is_called_and_judged(ground: Ground) -> None:
    """A FILE is called once, nothing is predicted for it, and its digest is told."""
    outcome = _rehearsed(ground, ERASES)
    assert [one.form for one in outcome.run.all(Called)] == ["number"]
    assert not outcome.run.all(Predicted)
    assert outcome.run.opened.routine_digest == _file(ground, ERASES).sha256
    assert (_phones(outcome, 0), _phones(outcome, 1)) == (1, 0)
    assert {finding.kind for finding in outcome.judgement.findings} == {FindingKind.TRACE}
    assert ground.rehearsed(CASE, routine=run.DOCUMENTED).run.opened.routine_digest == ""


def _a_file_that_is_refused_is_told(ground: Ground) -> None:
    """A FILE that the server will not create is a fact about it; the sweeps go on."""
    outcome = _rehearsed(ground, "THIS IS NO SQL;")
    assert [one.step for one in outcome.run.all(RoutineFailed)] == [Step.INSTALL]
    assert not outcome.run.all(Called)
    assert outcome.run.all(RunClosed)
    assert _phones(outcome, 1) == 1


def _a_file_that_fails_is_rolled_back(ground: Ground) -> None:
    """A FILE that fails half way is a fact about it, and the call's transaction is undone."""
    outcome = _rehearsed(ground, ERASES + "\nDELETE FROM inbox;")
    (failed,) = outcome.run.all(RoutineFailed)
    assert (failed.step, failed.form) == (Step.CALL, "number")
    assert failed.lacks.endswith("inbox")
    assert outcome.run.all(RunClosed)
    assert _phones(outcome, 1) == 1


def _mention() -> Case:
    values: dict[str, int | float | str | bytes | None] = {
        "jid": OTHER.jid,
        "number": OTHER.phone,
        "status": f"please call {SUBJECT.phone} at noon",
    }
    row = SeedRow("contactStore", "wa_contacts", values, frozenset({"status"}))
    return replace(case_named("empty"), further=(row,))


def _masks_of_a_file_are_recognised(ground: Ground) -> None:
    """A FILE's own mask in somebody's row is one, whether or not rows are to be told."""
    for which_rows in (False, True):
        outcome = _rehearsed(ground, MASKS, _mention(), which_rows=which_rows)
        assert outcome.judgement.findings == ()
        assert not outcome.run.all(RowsDiffer)


def _rows_are_told_where_asked(ground: Ground) -> None:
    """Which rows a FILE harmed is told where that was asked for, and the harm always."""
    for which_rows in (False, True):
        outcome = _rehearsed(ground, HARMS, _mention(), which_rows=which_rows)
        kinds = {finding.kind for finding in outcome.judgement.findings}
        assert kinds == {FindingKind.COLLATERAL}
        assert [one.part for one in outcome.run.all(RowsDiffer)] == [Part.JUDGED] * which_rows


class _Fake:
    """A FILE's routine that notes how it is called, and fails as it is told to."""

    name = home = "fake"
    limit_s = 0.0

    def __init__(self, **failures: HarnessError) -> None:
        self._failures = failures
        self.session = mock.Mock()
        self.values: list[object] = []

    def _fail(self, step: str) -> None:
        if step in self._failures:
            raise self._failures[step]

    def install(self) -> None:
        self._fail("install")

    def listed(self) -> bool:
        return True

    def call(self, value: object) -> Answer:
        self.values.append(value)
        self._fail("call")
        return Answer(3)

    def clean_up(self) -> None:
        self._fail("clean_up")

    def remove(self) -> None:
        pass

    def leftovers(self) -> tuple[()]:
        return ()


def _with(ground: Ground, fake: _Fake, calls: tuple[str, ...] = ("number",)) -> Outcome:
    def made(*_: object) -> Routine:
        return cast("Routine", fake)

    with mock.patch.object(routines, "from_file", made):
        case = replace(case_named("empty"), calls=calls)
        return _rehearsed(ground, ERASES, case, call_limit_s=7.5)


def _a_clean_up_that_fails_is_told(ground: Ground) -> None:
    """What the FILE's own clean-up fails at is a fact about it."""
    outcome = _with(ground, _Fake(clean_up=StoreError("refused", code="9")))
    assert [(f.step, f.code) for f in outcome.run.all(RoutineFailed)] == [(Step.CLEAN_UP, "9")]
    assert outcome.run.all(RunClosed)


def _what_was_not_installed_is_not_cleaned_up(ground: Ground) -> None:
    """Of a FILE that was refused nothing is called and nothing cleaned up."""
    refused = StoreError("refused", code="9")
    outcome = _with(ground, _Fake(install=refused, clean_up=refused))
    assert [f.step for f in outcome.run.all(RoutineFailed)] == [Step.INSTALL]


def _a_server_that_goes_is_no_fault_of_the_file(ground: Ground) -> None:
    """A lost connection, or somebody in between, fails the phase and says nothing of the FILE."""
    for error in (StoreUnreachableError("gone"), ConflictError("others")):
        outcome = _with(ground, _Fake(call=error))
        assert not outcome.run.all(RoutineFailed)
        assert [failed.phase for failed in outcome.run.all(Failed)] == ["erase"]


def _a_number_and_its_text_are_handed_over(ground: Ground) -> None:
    """A routine is called with the number, or its text, and with the time it may take."""
    fake = _Fake()
    outcome = _with(ground, fake, ("number", "text"))
    assert fake.values == [int(SUBJECT.number), SUBJECT.number]
    assert fake.limit_s == 7.5
    assert [one.affected_rows for one in outcome.run.all(Called)] == [3, 3]


CLAIMS: Final[Sequence[Callable[[Ground], None]]] = (
    _a_file_is_called_and_judged,
    _a_file_that_is_refused_is_told,
    _a_file_that_fails_is_rolled_back,
    _masks_of_a_file_are_recognised,
    _rows_are_told_where_asked,
    _a_clean_up_that_fails_is_told,
    _what_was_not_installed_is_not_cleaned_up,
    _a_server_that_goes_is_no_fault_of_the_file,
    _a_number_and_its_text_are_handed_over,
)
