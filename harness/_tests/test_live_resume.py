"""What may be taken up again, and by whom: the same stores, the same treatments, nobody held."""

from __future__ import annotations

import json
from pathlib import Path

from harness.erasure import ProvenErasure
from harness.identity import Closure, WaId
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import EngineKind, Record, RolledBack, SeedRow
from harness.plan import Party
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.stores import StoreSet
from harness.stores.aliases import resolve, tied_numbers
from harness.stores.sweep import Search

from .crashes.bed import Bed, write_private
from .crashes.dumps import AFTER, BEFORE
from .test_live_crash import bed, contents, killed, on, served, state_of  # noqa: F401  # fixtures too

SUBJECT = person(0)


@on(EngineKind.POSTGRES)
def test_another_server_is_refused(bed: Bed) -> None:  # noqa: F811
    """A session that was begun on another server is not taken up, and its evidence stays as it is."""
    session = killed(bed, "committing")
    assert session.folder
    journal = session.folder / "journal.jsonl"
    header, _, rest = journal.read_bytes().partition(b"\n")
    elsewhere = json.loads(header) | {"server": "0" * 64}
    journal.write_bytes(json.dumps(elsewhere).encode() + b"\n" + rest)
    before = contents(session.folder)
    wrong = bed.resume(session)
    assert wrong.wait() == 4, wrong.printed()
    assert "another server" in wrong.printed()
    assert contents(session.folder) == before
    journal.write_bytes(header + b"\n" + rest)
    assert bed.resume(session).wait() == 0
    assert state_of(bed) == AFTER


@on(EngineKind.MYSQL)
def test_other_treatments_are_refused(bed: Bed, tmp_path: Path) -> None:  # noqa: F811
    """A session is only finished with the treatments that it was begun with."""
    treatments = tmp_path / "treatments.toml"
    write_private(treatments, '[messageStore.messages]\nkey_remote_jid = "mask"\n')
    session = killed(bed, "committed")
    wrong = bed.resume(session, f"--treatment={treatments}")
    assert wrong.wait() == 4, wrong.printed()
    assert "other treatments" in wrong.printed()
    assert bed.resume(session).wait() == 0


@on(EngineKind.MYSQL)
def test_a_hold_stops_a_resume_before_it_erases(bed: Bed, tmp_path: Path) -> None:  # noqa: F811
    """Where the commit that was sent was not carried out, somebody held meanwhile is left alone."""
    holds = tmp_path / "holds"
    write_private(holds, f"{SUBJECT.number}\n")
    session = killed(bed, "committing")
    bed.restore()
    held = bed.resume(session, f"--hold-file={holds}")
    assert held.wait() == 4, held.printed()
    assert "legal hold" in held.printed()
    assert state_of(bed) == BEFORE
    assert bed.resume(session).wait() == 0
    assert state_of(bed) == AFTER


@on(EngineKind.MYSQL)
def test_a_plan_is_not_got_round_by_a_resume(bed: Bed) -> None:  # noqa: F811
    """Where exactly one plan was asked for and its commit was not carried out, nothing else is done."""
    rehearsal = bed.start("--rehearse")
    assert rehearsal.wait() == 0, rehearsal.printed()
    verdict = json.loads((rehearsal.reports / "latest" / "verdict.json").read_text("utf-8"))
    session = bed.start(f"--plan={verdict['runs'][0]['plan']}")
    session.until(frozenset({"committing"}))
    session.stop()
    session.kill()
    bed.restore()
    resumed = bed.resume(session)
    assert resumed.wait() == 10, resumed.printed()
    assert "rehearse and run again" in " ".join(resumed.printed().split())
    assert state_of(bed) == BEFORE


def test_a_hold_on_somebody_tied_to_the_same_number_is_known(
    store_set: StoreSet, described: Manifest
) -> None:
    """Whoever shares an alias with the subject is among those whose holds are asked."""
    other, hidden = person(1).number, "123456789012345@lid"
    store_set.insert(
        [
            SeedRow("contactStore", "wa_phones", {"phone_number": f"+{number}", "jid": hidden})
            for number in (SUBJECT.number, other)
        ]
    )
    closure = resolve(store_set, described, Closure(WaId(SUBJECT.number)))
    assert other not in closure.numbers
    assert other in tied_numbers(store_set, described, closure)
    assert person(2).number not in tied_numbers(store_set, described, closure)


def test_without_a_canary_nothing_is_committed(store_set: StoreSet) -> None:
    """Where no table of the manifest's is there to take the canary, the erasure is rolled back."""
    store_set.insert(rows_of(showcase(SUBJECT)))
    closure, nothing = Closure(WaId(SUBJECT.number)), Manifest(())
    records: list[Record] = []
    masks = Masks(closure)
    proven = ProvenErasure("run", store_set, nothing, b"k" * 32, records.append, lambda *_: None)
    party = Party(Search(nothing, closure, b"k" * 32, masks), masks)
    assert not proven.committed(1, party)
    assert [one.why for one in records if isinstance(one, RolledBack)] == [
        "no table could take the canary, so nothing proves the search"
    ]
