"""A proven erasure in memory: what it records, what it sees, and how it leaves the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness._tests.mutants.memory_stores import MemoryStores, described
from harness._tests.mutants.step_controls import (
    BYSTANDER,
    KEY,
    MENTION,
    OWN,
    ROWS,
    TWICE,
    WHERE,
    N,
    as_stores,
)
from harness.erasure import ProvenErasure
from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.model import (
    Erased,
    MediaReference,
    MediaReferences,
    Moment,
    Record,
    RolledBack,
    TableChange,
)
from harness.plan import Party
from harness.stores.sweep import Search, Sighting

RUN: Final = "r"
CANARYS: Final = b"44118496"
MEDIA: Final = MediaReferences(
    frozenset({MediaReference(frozenset({"x"}))}),
    frozenset(MediaReference(frozenset({row.split(b"|")[2].decode()})) for row in (MENTION, TWICE)),
)
"""Where the subject's rows lead, and the mentions."""
OWN_KEY: Final = b"-1018|"
MENTION_KEY: Final = b"-1019|"
CHANGES: Final = (TableChange(WHERE, "people", 1, 2), TableChange(WHERE, "things", 1, 0))
STILL_FOUND: Final = "the subject was still found inside the transaction, so it was rolled back"
NOT_SEEN: Final = "the canary was not seen exactly where it was planted"
NOT_GONE: Final = "the canary was still found after it was erased"


def subject() -> Party:
    """Return the subject."""
    closure = Closure(WaId(N))
    masks = Masks(closure)
    return Party(Search(described(), closure, KEY, masks), masks)


@dataclass(slots=True)
class Proof:
    """An erasure in memory: what it recorded, what its passes saw, how it left the rows."""

    stores: MemoryStores
    records: list[Record] = field(default_factory=list)
    sights: list[tuple[Moment, Sighting]] = field(default_factory=list)
    settled: list[Sequence[TableChange]] = field(default_factory=list)
    media: MediaReferences = field(default_factory=MediaReferences)

    def saw(self, moment: Moment, sighting: Sighting, started_s: float) -> None:
        """Note what a pass saw."""
        assert started_s > 0
        self.sights.append((moment, sighting))

    def settle(
        self, commit: Callable[[], None], changes: Sequence[TableChange], media: MediaReferences
    ) -> None:
        """Commit, and note what."""
        self.settled.append(changes)
        self.media |= media
        commit()

    def erased(self, number: int = 1, who: Party | None = None) -> bool:
        """Erase the subject by the plan."""
        erasure = ProvenErasure(
            *(RUN, as_stores(self.stores), described(), KEY),
            self.records.append,
            self.saw,
            self.settle,
        )
        return erasure.committed(number, who or subject())

    def only(self, kind: type[Any]) -> Any:
        """Return the only record of a kind."""
        (found,) = (record for record in self.records if type(record) is kind)
        return found

    def is_as_before(self) -> bool:
        """Tell whether every row is as it was, after a transaction that was rolled back."""
        done = {name for name, _, _ in self.stores.done}
        return self.stores.now == all_rows() and "rollback" in done and "commit" not in done

    def refused(self, why: str) -> bool:
        """Tell whether it was rolled back for this reason and left nothing."""
        back = self.only(RolledBack)
        return (
            (back.run, back.round) == (RUN, 1)
            and back.why.startswith(why)
            and not any(isinstance(one, Erased) for one in self.records)
            and self.is_as_before()
        )


def all_rows() -> dict[str, list[bytes]]:
    return {"people": list(ROWS), "things": [OWN, BYSTANDER]}


def made(**changes: Any) -> Proof:
    return Proof(MemoryStores(all_rows(), **changes))


def order(proof: Proof) -> list[str]:
    return [
        f"{did} {table}" if table else did
        for did, table, rows in proof.stores.done
        if rows or not table
    ]
