"""The mutation score: switches work and are put back, and what nobody notices is named."""

from __future__ import annotations

import ast
import inspect
import time
from collections.abc import Callable
from types import CodeType

import pytest

from harness import masks, plan
from harness._tests.mutants import equivalents, switches, verifier
from harness._tests.mutants.controls import Control, OutOfTimeError, limited
from harness._tests.mutants.judge_controls import judge_controls
from harness._tests.mutants.results import PURE, Result, score, table
from harness._tests.mutants.step_controls import step_controls
from harness._tests.mutants.switches import MODULES, Switch
from harness._tests.mutants.syntax import Operator, findings
from harness._tests.mutants.verifier import Panel, UnsoundError, passed
from harness.judge import judging, rows
from harness.model import EngineKind


def switch(operator: Operator, where: str) -> Switch:
    """Return the only switch of that name."""
    module = where.partition(":")[0]
    (found,) = [one for one in switches.switches([module]) if one.key == (operator, where)]
    return found


def panel(*names: str) -> Panel:
    """Return some of the controls, ready to be asked."""
    every = [*judge_controls(), *step_controls()]
    return Panel(passed(one for one in every if one.name in names), PURE)


NOTICED = [
    (Operator.ELEMENT, "judge.judging:RULES: rows.traces", "judged: the subject remains"),
    (
        Operator.CHECK_OFF,
        "judge.coverage:_lacking: if not run.all(RunClosed)",
        "judged: there is no end",
    ),
    (
        Operator.TERM,
        "erasure:reason_not_to_commit: inside.unsearched of before.unsearched or inside.unsearched",
        "step: what keeps from committing",
    ),
    (
        Operator.STATEMENT,
        "stores.sweep:TablePass._add: tally.total += total",
        "step: digests tell rows apart",
    ),
    (
        Operator.CHECK_OFF,
        "plan:carry_out: if done != planned.change",
        "step: counts are compared",
    ),
]


@pytest.mark.parametrize(("operator", "where", "control"), NOTICED, ids=str)
def test_a_check_switched_off_is_noticed_by_its_control(
    operator: Operator, where: str, control: str
) -> None:
    """A rule, a check, a term of one, a fingerprint's sum: each is missed by the control that needs it."""
    result = panel(control).judge(switch(operator, where))
    assert result == Result(operator.value, where, PURE, control)


def test_what_nobody_needs_is_a_survivor_by_name() -> None:
    """A mutant that changes no answer survives, and the table names it."""
    where = "judge.rows:unaccounted: if before"
    result = panel("judged: rows were not read").judge(switch(Operator.ALWAYS, where))
    assert result.survived
    assert f"survived on -: condition always met: {where}" in list(table([result]))
    assert score([result]) == 0.0


def test_a_control_that_runs_nothing_of_a_switch_is_not_asked() -> None:
    """Only a control that runs the place can notice, so only such a one is asked."""
    asked: list[str] = []
    control = Control("elsewhere", lambda: asked.append("asked"))
    made = Panel(passed([control]), PURE)
    asked.clear()
    assert made.judge(switch(NOTICED[1][0], NOTICED[1][1])).survived
    assert asked == []


def fail_in(thrown: Switch, before: CodeType) -> None:
    """Fail while a switch of the plan is thrown."""
    with thrown.thrown():
        assert plan.carry_out.__code__ is not before
        raise ZeroDivisionError


def test_an_original_is_put_back() -> None:
    """After a switch was thrown, also where the control failed, the code is what it was."""
    thrown = switch(NOTICED[4][0], NOTICED[4][1])
    before = plan.carry_out.__code__
    with pytest.raises(ZeroDivisionError):
        fail_in(thrown, before)
    assert plan.carry_out.__code__ is before


def test_a_constant_is_put_back() -> None:
    """A rule that is dropped is back afterwards."""
    before = judging.RULES
    with switch(NOTICED[0][0], NOTICED[0][1]).thrown():
        assert [one for one in before if one not in judging.RULES] == [rows.traces]
    assert judging.RULES is before


def test_every_switch_can_be_thrown() -> None:
    """Each mutant of each module compiles, and fits where the original was."""
    names = []
    for one in switches.switches():
        with one.thrown():
            names.append((one.module, one.key))
    assert len(names) > 800
    assert len(set(names)) == len(names)
    assert {module for module, _ in names} == set(MODULES)


def test_what_is_excused_is_there() -> None:
    """Each mutant that is said to be equivalent exists, and an excuse for none is an error."""
    verifier._refuse_idle_excuses(list(switches.switches()), MODULES)
    with pytest.raises(UnsoundError, match="carry_out: if nothing"):
        verifier._refuse_idle_excuses(
            list(switches.switches(["plan"])),
            ["plan"],
            {(Operator.ALWAYS, "plan:carry_out: if nothing"): "x"},
        )
    assert all(reason for reason in equivalents.EQUIVALENTS.values())


def test_a_control_that_fails_by_itself_is_an_error() -> None:
    """Where a control fails without any mutant nothing is scored."""

    def fail() -> None:
        raise AssertionError

    with pytest.raises(UnsoundError, match="'broken' fails without a mutant"):
        passed([Control("broken", fail)])


def test_what_goes_on_for_ever_is_ended() -> None:
    """A control that a mutant keeps from ending is ended, whatever it catches."""
    with pytest.raises(OutOfTimeError), limited(0.05):
        time.sleep(5)


def checked(function: Callable[..., object]) -> list[tuple[str, str]]:
    """Return what can be switched in a function."""
    (node,) = ast.parse(inspect.getsource(function)).body
    assert isinstance(node, ast.FunctionDef)
    return [(one.operator.value, one.what) for one in findings(node, lambda _: None)]


def example(rows: list[int], least: int) -> bool:
    """Do some of what a check does."""
    if not rows or least < 0:
        raise ValueError
    for row in rows:
        if row == least:
            continue
        rows.append(row)
    return (rows[0], least) == (least, rows[0])


def test_each_check_of_a_function_is_found() -> None:
    """Conditions, their terms, statements, compared pairs and answers are each switched."""
    assert checked(example) == [
        ("check switched off", "if not rows or least < 0"),
        ("term of a condition dropped", "not rows of not rows or least < 0"),
        ("term of a condition dropped", "least < 0 of not rows or least < 0"),
        ("check switched off", "if row == least"),
        ("condition always met", "if row == least"),
        ("statement dropped", "rows.append(row)"),
        ("answer fixed", "no for (rows[0], least) == (least, rows[0])"),
        ("answer fixed", "yes for (rows[0], least) == (least, rows[0])"),
        ("element dropped", "rows[0] and least"),
        ("element dropped", "least and rows[0]"),
    ]


def test_a_mutant_of_one_engine_concerns_no_other() -> None:
    """What stands in an engine's own module is tried on that engine, the rest on any."""
    on_mysql = switch(Operator.CHECK_OFF, "stores.mysql:MySqlStoreSet._lock: if now != counts")
    assert [on_mysql.concerns(kind) for kind in EngineKind] == [True, False]
    assert all(switch(*NOTICED[4][:2]).concerns(kind) for kind in EngineKind)


def test_no_mutant_is_left_behind() -> None:
    """After all of this the harness is what it was."""
    assert masks._alike.__code__.co_firstlineno == inspect.getsourcelines(masks._alike)[1]
