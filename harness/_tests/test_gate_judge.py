"""The judge of an upgrade gate: each rule finds its fault, and a good gate has none."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from harness import gate
from harness._tests.capacity_cases import CAPACITY
from harness._tests.gate_cases import (
    CLOSED,
    COLLECTED,
    GATE,
    GATES,
    GIB,
    GOOD,
    MESSAGES,
    NOW,
    OPENED,
    QUEUE,
    RUN,
    SEEN,
    WEIGHED,
    Found,
    changed,
    collected,
    drifted,
    rows,
    settings,
    weighed,
    without,
)
from harness._tests.sight_cases import SIGHT
from harness.judge import GATE_RULES, Run, capacity, judge, judging, schema
from harness.maintenance import gc_policy
from harness.maintenance.policy import Known
from harness.model import (
    ClientNode,
    Drifted,
    History,
    Verdict,
    Weighed,
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
    assert all(one.kind.value in {"settings", "drift", "capacity"} for one in judgement.expected)
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
        (("",), "remark: its only node is without a status: is it the one to be upgraded?"),
        (
            ("unregistered", "connected"),
            "remark: 0 is unregistered: are they part of what is to be upgraded?",
        ),
        (
            ("connected", "uninitialized", ""),
            (
                "remark: 1 is uninitialized, 2 is without a status: are they part of what is to be "
                "upgraded?"
            ),
        ),
        (("connected", "disconnected"), ""),
    ],
)
def test_a_client_that_is_not_in_use_is_remarked(nodes: tuple[str, ...], why: str) -> None:
    """A client without a node, and each node that is not in use, is told; no other is."""
    seen = tuple(ClientNode(str(n), status) for n, status in enumerate(nodes))
    history = changed(SEEN, nodes=seen)
    assert [said for place, said in remarks(history) if place == NODES] == ([why] if why else [])
    assert judge(history).verdict is Verdict.CLEAR


def test_accepted_drift_does_not_close_a_gate() -> None:
    """Drift that the operator accepted stands among what was expected."""
    accepted = Drifted(RUN, "waweb", "", "", "unknown", accepted=True, missing=True)
    history = (*GOOD[:-1], accepted, CLOSED)
    assert judge(history).verdict is Verdict.CLEAR
    assert ("waweb", "accepted: unknown") in remarks(history)


def test_what_a_collection_leaves_behind_is_a_remark() -> None:
    """After a collection dead rows and free space are told, and so is that new rows fill it."""
    after = collected(rows(9), replace(MESSAGES, dead_rows=1_500_000), COLLECTED)
    assert remarks(after) == [
        (
            "messageStore.messages",
            (
                "remark: 43% of its rows are dead, above the site's limit of 20%: VACUUM it in a quiet "
                "period; a collection leaves this behind, and new rows fill it"
            ),
        ),
        RESTARTED,
    ]
    assert remarks(weighed(replace(MESSAGES, dead_rows=1_500_000))) == [RESTARTED]
    size_bytes = 20 * GIB
    short = tuple(
        replace(one, disk_size_bytes=size_bytes) if isinstance(one, Weighed) else one
        for one in after
    )
    assert remarks(short) == [RESTARTED]


def test_a_run_that_is_no_gate_says_nothing_of_a_day() -> None:
    """Without a gate's limits a collection is known, and not whether it is lately enough."""
    run = Run(OPENED, (OPENED, WEIGHED, COLLECTED))
    assert capacity.last_collection_at(run) == NOW
    assert not capacity.collected_lately(run)


def test_a_largest_table_without_room_is_a_remark() -> None:
    """Where the largest table could not be rebuilt it is told; where there is just room, not."""
    short = changed(WEIGHED, disk_free_bytes=2 * GIB - 1, disk_size_bytes=4 * GIB)
    assert remarks(short) == [
        (
            "messageStore.messages",
            (
                "remark: 2.0 GiB are free on the server's disk, and to rebuild its largest table, if "
                "that is ever needed, takes 2.0 GiB"
            ),
        ),
        RESTARTED,
    ]
    assert remarks(changed(WEIGHED, disk_free_bytes=None)) == [RESTARTED]
    assert remarks(tuple(one for one in short if one is not GATE)) == []


def test_other_drift_is_a_remark() -> None:
    """What the manifest has too few or too many of is told, with what to do about it."""
    assert remarks(drifted(("waweb", "visits", ""), missing=False))[:1] == [
        (
            "waweb.visits",
            "remark: not in the manifest: give its treatment there before an erasure",
        )
    ]
    assert remarks(drifted(("waweb", "users", "name"), missing=True))[:1] == [
        ("waweb.users.name", "remark: in the manifest, and not on this server")
    ]
    assert remarks(drifted(("axolotl", "", ""), missing=True)) == [RESTARTED]
    assert not list(schema.remarks(Run(OPENED, drifted(("a", "b", ""), missing=False)[-2:])))


def test_whose_a_limit_is_follows_the_policy() -> None:
    """Just the limits that the policy marks as confirmed are the guide's, with their values."""
    policy = gc_policy.load()
    known = {name.partition(".")[2]: mark for name, mark in policy.known.items()}
    named = {"large_rows", "repeat_rows", "pending_callbacks_most", "dead_share_most"}
    for name in named | {"api_driven_per_s", "every_h", "disk_free_share_least"}:
        confirmed = known[name] is Known.CONFIRMED
        value = getattr(policy, name)
        assert capacity.whose(name, value) == (capacity.GUIDE if confirmed else capacity.SITE), name
        assert capacity.whose(name, value * 2) == capacity.SITE


def test_a_limit_that_the_site_changed_is_not_called_the_guides() -> None:
    """Where the site's file has another value than the guide, each sentence says the site's."""
    loose = {
        "large_rows": 2_500_000,
        "repeat_rows": 9_000_000,
        "api_driven_rate_per_s": 130,
        "collection_every_h": 48,
    }
    for count, said in (
        (2_600_000, "about 2.6 million rows, above the site's 2.5 million"),
        (9_100_000, "about 9.1 million rows, above the site's 9.0 million"),
    ):
        history = weighed(rows(count), QUEUE, sent_per_s=131.0)
        opened = replace(GATE, **loose)  # type: ignore[arg-type]
        judged = judge(tuple(opened if one is GATE else one for one in history))
        told = " ".join(one.why for one in judged.findings if one.kind.value == "capacity")
        assert said in told
        assert "the site's limit for automatic collection" in told
        assert "the site's advice is one every 48 h" in told
        assert "guide" not in told


def test_a_collection_yet_to_come_is_told() -> None:
    """A last collection in the future is a remark, and is taken as not known."""
    why = (
        "remark: the last complete one is of 2026-11-22T06:00:01Z, which is yet to come, so that it "
        "is taken as not known: set the clocks right"
    )
    later = changed(GATE, last_collection_at="2026-11-22T06:00:01Z")
    assert remarks(later) == [("garbage collection, last", why), RESTARTED]
    assert remarks(changed(GATE, last_collection_at=NOW)) == [RESTARTED]
    unclear = tuple(replace(one, at="now") if one is WEIGHED else one for one in later)
    assert remarks(unclear) == [RESTARTED]


def test_a_collection_yet_to_come_keeps_nobody_from_collecting() -> None:
    """Within a day after a collection none is begun; one that is dated in the future is no bar."""
    policy = gc_policy.load()
    for hours, untimely in ((-23.0, True), (-25.0, False), (0.5, False)):
        then = datetime.now(UTC) + timedelta(hours=hours)
        last_at = then.strftime("%Y-%m-%dT%H:%M:%SZ")
        why = gate.untimely(0.0, last_at, policy)
        assert ("the guide's interval is 24 hours" in why) is untimely
        assert bool(why) is untimely
    recently = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "the site's interval is 30 hours" in gate.untimely(
        0.0, recently, replace(policy, every_h=30)
    )


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
