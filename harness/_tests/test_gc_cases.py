"""A client that is to collect garbage: each fault has its verdict and its sentence, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from harness.config import RunConfig
from harness.model import Collected, EngineKind, Failed, Verdict
from harness.population.people import person
from harness.webapp import Fault

from . import gc_table
from .gc_bed import Acted, act_all
from .gc_cases import ALONE, CASES, SEVERAL, Seen, Way


@pytest.fixture(scope="module")
def done(reached: Mapping[EngineKind, RunConfig]) -> list[Acted]:
    """Every case, done on both engines, with one Coreapp and with three."""
    return act_all({kind: replace(config, prefix="gc_") for kind, config in reached.items()})


def test_every_fault_has_a_case() -> None:
    """No fault that the stand-in knows, and no way to reach it, is left without a case."""
    assert {case.fault for case in CASES} == {None, *Fault}
    assert {case.way for case in CASES} == set(Way)
    of_collections = {case.fault for case in CASES if case.seen is Seen.STATISTICS}
    assert of_collections >= set(list(Fault)[list(Fault).index(Fault.NEVER_COMPLETES) :])


def test_every_case_was_done_everywhere(done: list[Acted]) -> None:
    """Each case was done on each engine, with one Coreapp and with several."""
    places = {(acted.case, acted.engine, acted.nodes) for acted in done}
    assert places == {
        (case, kind, nodes) for case in CASES for kind in EngineKind for nodes in (ALONE, SEVERAL)
    }
    assert len(done) == len(places)


def test_each_case_has_its_verdict_and_its_sentence(done: list[Acted]) -> None:
    """Each case has the verdict, and one sentence with the words, that were typed by hand for it."""
    assert [why for acted in done if (why := gc_table.complaint(acted))] == []


def test_a_wrong_verdict_or_sentence_is_a_complaint(done: list[Acted]) -> None:
    """Another verdict, and another sentence, than the wanted ones are complained of."""
    first = done[0]
    for case in (
        replace(first.case, verdict=Verdict.TRACE),
        replace(first.case, said="something else"),
    ):
        assert "; wanted " in gc_table.complaint(replace(first, case=case))


def test_each_sentence_has_a_way_out(done: list[Acted]) -> None:
    """What is not CLEAR is told in whole sentences, of which one says after a colon what to do."""
    for acted in done:
        for said in acted.sentences:
            if acted.judgement.verdict is not Verdict.CLEAR:
                _, _, sentence = said.partition(": ")
                assert ": " in sentence, said
                assert said.endswith("."), said
                assert not any(ugly in said for ugly in (".;", "..", " .", "  ", ".:")), said


def test_what_went_is_told(done: list[Acted]) -> None:
    """What a confirmed collection is said to have deleted is what the stores have lost."""
    confirmed = [acted.collected for acted in done if acted.collected and acted.collected.confirmed]
    assert confirmed
    for one in confirmed:
        assert one.rows_before is not None
        assert one.rows_after is not None
        assert one.deleted == one.rows_before - one.rows_after == 6


def test_no_record_has_a_secret(done: list[Acted]) -> None:
    """No record of any case holds a password, a token, an address, a number or a message's id."""
    assert [(str(acted.case), acted.leaks) for acted in done if acted.leaks] == []


def test_secrets_would_be_seen(done: list[Acted]) -> None:
    """Each of the secrets is found where a record holds it, tokens and numbers among them."""
    acted = next(one for one in done if one.collected)
    assert acted.secrets > {"Stand-in-1", person(0).number}
    assert any(len(secret) > 50 for secret in acted.secrets), "no token is among them"
    for secret in acted.secrets:
        failed = Failed("one", "client", "WebappError", f"It said {secret}.")
        assert secret in replace(acted, records=(failed,)).leaks


def test_the_committed_table_is_what_is_said(done: list[Acted]) -> None:
    """The committed page is what the table prints: `python -m harness._tests.gc_table`."""
    assert gc_table.FILE.read_text("utf-8") == gc_table.page(done)


def test_engines_that_differ_have_rows_of_their_own(done: list[Acted]) -> None:
    """Where the engines do not say the same, each has a row."""
    same = [acted for acted in done if acted.case == CASES[0] and acted.nodes == ALONE]
    (both,) = gc_table.lines(same)
    assert "| both |" in both
    (collected,) = (one for one in same[0].records if isinstance(one, Collected))
    without = tuple(one for one in same[0].records if one is not collected)
    apart = list(gc_table.lines([replace(same[0], records=without), same[1]]))
    assert [line.split(" | ")[3] for line in apart] == [str(one.engine) for one in same]
