"""Controls that need no server: the judge on synthetic histories, and who is found in what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest

from harness._tests import (
    test_collection_judge,
    test_gate_judge,
    test_identity,
    test_judge,
    test_kept,
    test_matcher,
    test_recognition,
    test_settings,
)
from harness._tests.mutants.adopted_file_controls import adopted_file_controls
from harness._tests.mutants.call_proof_controls import call_proof_controls
from harness._tests.mutants.cells import ALPHABETS, CELLS, REFUSED, SEVEN, WHOLE, Cell
from harness._tests.mutants.controls import Control, adopted, named
from harness._tests.mutants.engine_controls import driver_controls
from harness._tests.mutants.exclusion_controls import exclusion_controls
from harness._tests.mutants.file_erasure_controls import file_erasure_controls
from harness._tests.mutants.file_judge_controls import file_judge_controls
from harness._tests.mutants.fitting_controls import fitting_controls
from harness._tests.mutants.format_controls import format_controls
from harness._tests.mutants.hidden_controls import hidden_controls
from harness._tests.mutants.journal_controls import journal_controls
from harness._tests.mutants.judge_controls import judge_controls
from harness._tests.mutants.listing_controls import listing_controls
from harness._tests.mutants.live_controls import live_controls
from harness._tests.mutants.live_fault_controls import live_fault_controls
from harness._tests.mutants.live_judge_controls import live_judge_controls
from harness._tests.mutants.passage_controls import passage_controls
from harness._tests.mutants.proof_controls import proof_controls
from harness._tests.mutants.recognition_controls import recognition_controls
from harness._tests.mutants.resume_controls import resume_controls
from harness._tests.mutants.rival_controls import rival_controls
from harness._tests.mutants.scrub_controls import scrub_controls
from harness._tests.mutants.search_controls import search_controls
from harness._tests.mutants.step_controls import step_controls
from harness._tests.mutants.two_phase_controls import two_phase_controls
from harness._tests.mutants.witness_controls import witness_controls
from harness._tests.test_matcher import SURFACES, cell_of
from harness.errors import MaskError
from harness.identity import Closure, Matcher, Representation, WaId, spelled
from harness.identity.written import writings
from harness.masks import Masks, seeded
from harness.population.encodings import ENCODINGS, Encoding
from harness.population.people import Person, mapped_person, neighbours, person

_SLOW: Final = frozenset({"test_no_cell_takes_for_ever"})


def pure_controls() -> list[Control]:
    """Return every control that needs no server."""
    return [
        *judge_controls(),
        *live_judge_controls(),
        *file_judge_controls(),
        *passage_controls(),
        *format_controls(),
        *hidden_controls(),
        *scrub_controls(),
        *rival_controls(),
        *search_controls(),
        *listing_controls(),
        *file_erasure_controls(),
        *adopted_file_controls(),
        *live_controls(),
        *live_fault_controls(),
        *resume_controls(),
        *journal_controls(),
        *_searched(),
        *step_controls(),
        *recognition_controls(),
        *proof_controls(),
        *call_proof_controls(),
        *witness_controls(),
        *fitting_controls(),
        *exclusion_controls(),
        *two_phase_controls(),
        *driver_controls(),
        *_tests(),
    ]


def _tests() -> Iterator[Control]:
    for module in (
        test_judge,
        test_collection_judge,
        test_gate_judge,
        test_settings,
        test_matcher,
        test_identity,
        test_kept,
        test_recognition,
    ):
        for name, test, arguments in adopted(module, {}, _SLOW):
            yield Control(name, partial(test, **arguments))


# --- who is found, and masked ---------------------------------------------------------------

SUBJECT: Final = person(0)
PEOPLE: Final = {
    "11 digits": person(0),
    "12 digits": person(1_650),
    "13 digits": mapped_person(0),
}


def _searched() -> Iterator[Control]:
    for label, who in PEOPLE.items():
        for one in ENCODINGS:
            name = f"{one.surface}, {one.name}, {label}"
            yield Control(f"found: {name}", partial(_is_found, one, who))
            yield Control(f"not found: {name}", partial(_is_somebody_elses, one, who))
            yield Control(f"masked: {name}", partial(_is_masked, one, who))
    for cell in CELLS:
        yield Control(f"found: {cell.name}", partial(_cell_is_found, cell))
    for cell in REFUSED:
        yield Control(f"refused: {cell.name}", partial(_cell_is_refused, cell))
    for name, (code, without) in ALPHABETS.items():
        yield Control(f"masked: a code {name}", partial(_an_alphabet_is_kept, code, without))
    for claim in _CLAIMS_OF_A_SEARCH:
        yield Control(f"found: {named(claim)}", claim)


def _is_found(encoding: Encoding, who: Person) -> None:
    cell = cell_of(encoding, who.number)
    matcher = Matcher([spelled(who.number)])
    assert matcher.candidate(cell)
    assert matcher.forms(cell, SURFACES[encoding.surface]) == Counter(encoding.forms)


def _is_somebody_elses(encoding: Encoding, who: Person) -> None:
    matcher = Matcher([spelled(who.number)])
    for neighbour in neighbours(who):
        cell = cell_of(encoding, neighbour.number)
        assert not matcher.hits(cell, SURFACES[encoding.surface])


def _is_masked(encoding: Encoding, who: Person) -> None:
    cell, kind = cell_of(encoding, who.number), SURFACES[encoding.surface]
    masks = Masks(Closure(WaId(who.number)))
    masked = masks.mask(cell, kind)
    assert not Matcher([spelled(who.number)]).hits(masked, kind)
    assert masks.candidate(masked)
    assert masks.unmask(masked, kind) == cell
    assert len(masked) == len(cell) or kind is Representation.INTEGER


def _cell_is_found(cell: Cell) -> None:
    """A cell holds its number in these forms, and where it can be masked, the mask fits."""
    matcher = Matcher([spelled(cell.number)])
    assert [hit.form for hit in matcher.hits(cell.content, cell.kind)] == list(cell.forms)
    if cell.forms and cell not in REFUSED:
        masks = Masks(Closure(WaId(cell.number)))
        masked = masks.mask(cell.content, cell.kind)
        assert not matcher.hits(masked, cell.kind)
        assert masks.unmask(masked, cell.kind) == cell.content


def _cell_is_refused(cell: Cell) -> None:
    with pytest.raises(MaskError):
        Masks(Closure(WaId(cell.number))).mask(cell.content, cell.kind)


def _an_alphabet_is_kept(code: str, without: bytes) -> None:
    masked = Masks(Closure(WaId(SUBJECT.number))).mask(code.encode(), Representation.TEXT)
    assert masked != code.encode()
    assert set(masked).isdisjoint(without)


def _each_place_is_told_once() -> None:
    """A number that several readings of a text hold is one number."""
    text = f"{SUBJECT.number}%20x=1+2"
    assert len(list(writings(text, [spelled(SUBJECT.number)]))) == 1


def _a_mask_of_an_earlier_round_stays() -> None:
    """Beside a mask that stands there already, its number is masked all the same."""
    masks = Masks(Closure(WaId(SUBJECT.number)))
    (mask,) = masks._masks.values()
    cell = f"see {mask.digits} and {SUBJECT.number}".encode()
    assert masks.mask(cell, Representation.TEXT) == f"see {mask.digits} and {mask.digits}".encode()


def _a_fraction_that_is_no_mask_stays() -> None:
    """A JSON number that goes on beside a mask's is another one."""
    masks = Masks(Closure(WaId(SUBJECT.number)))
    (mask,) = masks._masks.values()
    for document in (f"[1{mask.json}]".encode(), f"[{mask.json}1]".encode()):
        assert masks.unmask(document, Representation.JSON) == document
    document = f"[{mask.json}]".encode()
    assert masks.unmask(document, Representation.JSON) == f"[{SUBJECT.number}]".encode()


def _masks_drawn(closure: Closure, characters: str) -> Masks:
    """Draw masks of just these characters, one after the other."""
    drawn = iter(characters)
    masks = Masks(closure, lambda _: next(drawn))
    assert not list(drawn)
    return masks


def _two_numbers_never_share_a_mask() -> None:
    """Masks that are alike in any spelling are drawn anew; spellings that are empty are not alike."""
    long = Closure(WaId(person(0).number), aliases=frozenset({person(1).number}))
    short = Closure(WaId(SEVEN), aliases=frozenset({SEVEN[:-1] + "9"}))
    wide, other = "1" * 17, "2" * 17
    # As varints, masks are alike where their integers are, but for a multiple of 999 999.
    same_varint = str(int(wide) + 999_999)
    digits, differing = "1" * 8, "2" * 8
    for first, second in (
        (digits + wide, digits + other),
        (digits + wide, differing + wide),
        (digits + wide, differing + same_varint),
    ):
        masks = _masks_drawn(long, first + second + digits + wide + differing + other)
        assert len({mask.digits for mask in masks._numbers}) == 2
    for first in ("1111" + wide + "2222" + wide, ""):
        masks = _masks_drawn(short, first + "1111" + wide + "2222" + other)
        assert len(masks._numbers) == 2


def _a_seed_gives_the_same_masks() -> None:
    """A seed gives the same masks each time, and another seed others, of digits that differ."""
    closure = Closure(WaId(person(0).number), aliases=frozenset({person(1).number}))
    once, again, others = (
        {mask.digits for mask in seeded(closure, seed)._numbers} for seed in (b"a", b"a", b"b")
    )
    assert once == again
    assert once.isdisjoint(others)
    assert all(len(set(mask[-8:])) > 1 for mask in once | others)


def _a_whole_value_is_told_from_a_mention() -> None:
    """Only what is nothing but a number makes its row the subject's."""
    for text, whole in WHOLE.items():
        (hit,) = Matcher([spelled(SUBJECT.number)]).hits(text.encode(), Representation.TEXT)
        assert hit.whole is whole


_CLAIMS_OF_A_SEARCH: Final = (
    _each_place_is_told_once,
    _a_mask_of_an_earlier_round_stays,
    _a_fraction_that_is_no_mask_stays,
    _two_numbers_never_share_a_mask,
    _a_seed_gives_the_same_masks,
    _a_whole_value_is_told_from_a_mention,
)
