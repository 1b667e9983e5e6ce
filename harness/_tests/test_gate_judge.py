"""The judge of an upgrade gate: each rule finds its fault, and a good gate has none."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

import pytest

from harness._tests.capacity_cases import CAPACITY
from harness._tests.gate_cases import (
    CLOSED,
    GATE,
    GATES,
    GOOD,
    OPENED,
    RUN,
    SEEN,
    Found,
    changed,
    settings,
    without,
)
from harness._tests.sight_cases import SIGHT
from harness.judge import GATE_RULES, Run, capacity, judge, judging
from harness.maintenance import gc_policy
from harness.maintenance.policy import Known
from harness.model import (
    ClientNode,
    Drifted,
    History,
    Verdict,
)

FOUND: Final = {**GATES, **CAPACITY, **SIGHT}


@pytest.mark.parametrize(("history", "verdict", "expected"), FOUND.values(), ids=FOUND.keys())
def test_each_gate_has_its_findings(
    history: History, verdict: Verdict, expected: tuple[Found, ...]
) -> None:
    """Each fault gives exactly its findings, in these words, and what is no fault gives none."""
    judgement = judge(history)
    found = [(str(f.kind), f.place, f.surface, f.count, f.why) for f in judgement.findings]
    # `place` is the surface where there is no table.
    assert sorted(found) == sorted(expected)
    assert judgement.verdict is verdict
    assert {finding.engine for finding in judgement.findings} <= {"postgres:10", "mysql:5.6"}


@pytest.mark.parametrize("rule", GATE_RULES, ids=lambda rule: f"{rule.__module__}.{rule.__name__}")
def test_each_rule_of_a_gate_is_needed(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one rule, at least one of the faults above would pass unseen."""
    monkeypatch.setattr(judging, "GATE_RULES", tuple(one for one in GATE_RULES if one is not rule))
    assert any(len(judge(history).findings) < len(all_) for history, _, all_ in FOUND.values())


def test_a_gate_is_about_nobody() -> None:
    """A gate has no subject, and none is named."""
    assert judge(GOOD).subjects == ()


def remarks(history: History) -> list[tuple[str, str]]:
    """Return what is shown and does not decide: where and why."""
    judgement = judge(history)
    assert all(one.kind.value in {"settings", "drift"} for one in judgement.expected)
    return [(one.place, one.why) for one in judgement.expected]


RESTARTED = (
    "setting restart",
    (
        "remark: whether the Coreapps were restarted since the last change is not known [confirmed; "
        "settings guide: a change of these settings needs a restart of the Coreapps]"
    ),
)
NO_RETURN = (
    "setting pass_through",
    (
        "remark: off, and cannot be switched on again after the upgrade to v2.35 [confirmed; "
        "settings guide: pass_through cannot be switched on again from v2.35 on]"
    ),
)
NODES = "the client's nodes"


def test_what_is_good_to_know_is_shown() -> None:
    """A remark of the settings audit stands among what was expected, and decides nothing."""
    assert remarks(GOOD) == [RESTARTED]
    assert remarks(changed(GATE, to_version="2.35")) == [NO_RETURN, RESTARTED]
    nothing_collected = settings(("pass_through", False), ("db_garbagecollector_enable", False))
    assert remarks(nothing_collected) == [RESTARTED]
    assert remarks(without(SEEN)) == []
    assert remarks(without(GATE)) == []
    unknown = tuple(
        replace(one, from_version="") if one is GATE else one for one in changed(SEEN, version="")
    )
    assert remarks(unknown) == []


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ((), "remark: its health names no node: are its Coreapps running?"),
        (("unregistered",), "remark: its only node is unregistered: is it the one to be upgraded?"),
        (
            ("uninitialized",),
            "remark: its only node is uninitialized: is it the one to be upgraded?",
        ),
        (("connected",), ""),
        (("unregistered", "connected"), ""),
        (("unregistered", "unregistered"), ""),
    ],
)
def test_a_client_that_is_not_in_use_is_remarked(nodes: tuple[str, ...], why: str) -> None:
    """A client without a node, or whose only one is not in use, is told; no other is."""
    seen = tuple(ClientNode(str(n), status) for n, status in enumerate(nodes))
    history = changed(SEEN, nodes=seen)
    assert [said for place, said in remarks(history) if place == NODES] == ([why] if why else [])
    assert judge(history).verdict is Verdict.CLEAR


def test_accepted_drift_does_not_close_a_gate() -> None:
    """Drift that the operator accepted stands among what was expected."""
    drifted = Drifted(RUN, "waweb", "visits", "", "unknown", accepted=True)
    history = (*GOOD[:-1], drifted, CLOSED)
    assert judge(history).verdict is Verdict.CLEAR
    assert ("waweb.visits", "accepted: unknown") in remarks(history)


def test_whose_a_limit_is_follows_the_policy() -> None:
    """Only a limit that the policy marks as confirmed is called the guide's."""
    known = {name.partition(".")[2]: mark for name, mark in gc_policy.load().known.items()}
    for name, whose in capacity.LIMITS.items():
        confirmed = known[name] is Known.CONFIRMED
        assert whose == (capacity.GUIDE if confirmed else capacity.SITE), name


def test_no_sentence_holds_a_long_number() -> None:
    """Numbers of rows stand in `count`, and in sentences only as millions."""
    for history, _, _ in FOUND.values():
        for finding in judge(history).findings:
            dated = re.sub(r"2026-11-2\dT\d\d:\d\d:\d\dZ", "", finding.why)
            digits = "".join(one if one.isdigit() else " " for one in dated)
            assert max(map(len, digits.split()), default=0) < 5


def test_a_rule_without_its_records_is_silent() -> None:
    """A gate that has only begun is told to be not whole, and nothing else is made up."""
    bare = Run(OPENED, (OPENED,))
    for rule in GATE_RULES:
        assert bool(list(rule(bare))) is (rule.__name__ == "whole")
