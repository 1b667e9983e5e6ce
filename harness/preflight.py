"""Everything that an operator must know before a live erasure, looked at without a change.

What would make the run fail, or blind, is a refusal, with the way out; what the run can live
with is a warning. Nothing here names a person: what is shown of a store are its tables,
columns and settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from harness import canary as canaries
from harness.manifest import Manifest
from harness.model import EngineKind, Hazard, TableSchema
from harness.stores import StoreSet, connect, mysql_condition, postgres_condition
from harness.stores.condition import Condition, Lack, OtherSession
from harness.stores.drift import Drift, compare
from harness.stores.fitting import Misfit, fit
from harness.stores.protocol import UNSPEAKABLE
from harness.stores.undeclared import Undeclared, undeclared

PASSES: Final = 4
"""How often a run reads every row: closure, before, inside the transaction, after."""
RATE_BYTES_S: Final = 250_000_000
"""What a pass reads in a second; measured on 2 cores with 730 MB, elsewhere an estimate."""
_NAMED: Final = 5

_LOOKS: Final[dict[EngineKind, Callable[..., Condition]]] = {
    EngineKind.MYSQL: mysql_condition.look,
    EngineKind.POSTGRES: postgres_condition.look,
}


class Purpose(StrEnum):
    """What is to be done: change rows, or only search them."""

    ERASE = "erase"
    AUDIT = "audit"


_RUNS: Final = {Purpose.ERASE: "erasure", Purpose.AUDIT: "audit"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found on the server, before anything is made of it.

    `missing` are stores that are not listed, `hidden` the grants that would show those of them
    which MySQL may only be hiding; `absent` is what the manifest has and the server lacks.
    """

    databases: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    hidden: tuple[Lack, ...]
    undeclared: tuple[Undeclared, ...]
    absent: tuple[Drift, ...]
    lacks: tuple[Lack, ...]
    hazards: tuple[Hazard, ...]
    misfits: tuple[Misfit, ...]
    condition: Condition


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found, and what follows from it: `refusals` and `warnings`, a sentence each."""

    purpose: Purpose
    engine: EngineKind
    version: str
    facts: Facts
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.refusals

    @property
    def grants(self) -> tuple[Lack, ...]:
        """What is missing, each with the statement that grants it."""
        return self.facts.lacks

    @property
    def size_bytes(self) -> int:
        """The bytes that one pass over every row reads, as the server estimates them."""
        return sum(size.size_bytes for size in self.facts.condition.sizes)

    @property
    def expected_s(self) -> float:
        """How long the whole run may take: an estimate from the sizes alone."""
        return PASSES * self.size_bytes / RATE_BYTES_S

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON-like document; long digits in names are left out."""
        facts = asdict(self.facts)
        condition = facts.pop("condition")
        del condition["lacks"]  # among the facts, with those of databases that are closed
        return {
            "format": 1,
            "purpose": self.purpose.value,
            "ready": self.ready,
            "engine": self.engine.value,
            "version": self.version,
            "refusals": list(self.refusals),
            "warnings": list(self.warnings),
            **_speakable(facts),
            **_speakable(condition),
            "databases": dict(self.facts.databases),
            "expected": {
                "duration_s": round(self.expected_s, 1),
                "passes": PASSES,
                "size_bytes": self.size_bytes,
                "estimated_bytes_per_s": RATE_BYTES_S,
            },
        }


def look(
    store_set: StoreSet, manifest: Manifest, purpose: Purpose, *, accept_drift: bool = False
) -> Preflight:
    """Look at a store set, and say what stands in the way of a purpose; changes nothing.

    Args:
        store_set: The set, connected with the names of all of the manifest's stores, and
            outside of any transaction.
        manifest: What is known, with the operator's own treatments applied.
        purpose: What is to be done.
        accept_drift: Whether columns that the manifest lacks may get the default treatment.

    Raises:
        StoreUnreachableError: The server went away.
        StoreError: The server refused a question that everybody may ask.
    """
    facts = _facts(store_set, manifest, purpose)
    writes = purpose is Purpose.ERASE
    drift = tuple(_drift_sentence(facts.undeclared, purpose)) if facts.undeclared else ()
    refuse_drift = writes and not accept_drift
    refusals = (
        *_absence(facts, manifest, store_set.config.engine),
        *_hidden_stores(facts),
        *_missing_privileges(facts, purpose),
        *(facts.condition.refusing if writes else ()),
        *(drift if refuse_drift else ()),
    )
    warnings = (
        *_missing_stores(facts),
        *_incomplete_closure(facts, manifest),
        *(() if refuse_drift else drift),
        *(_hazard_sentences(facts) if writes else ()),
        *_session_sentences(facts.condition.sessions),
        *facts.condition.remarks,
        *(f"What follows is not known: {one}" for one in facts.condition.unseen),
        *(() if writes else (f"Only for an erasure: {one}" for one in facts.condition.refusing)),
    )
    config = store_set.config
    return Preflight(purpose, config.engine, store_set.version, facts, refusals, warnings)


# --- what is found --------------------------------------------------------------------------


def _facts(store_set: StoreSet, manifest: Manifest, purpose: Purpose) -> Facts:
    writes = purpose is Purpose.ERASE
    is_mysql = store_set.config.engine is EngineKind.MYSQL
    present = store_set.databases()
    missing = tuple(store.name for store in manifest.stores if store.name not in present)
    hidden = mysql_condition.hidden(store_set, missing, writes=writes) if is_mysql else ()
    closed = () if is_mysql else postgres_condition.unreachable(store_set)
    with _open_part(store_set, closed) as part:
        tables = part.tables()
        condition = _condition(part, tables, writes=writes)
        lacks = (*closed, *condition.lacks)
        hazards = part.hazards()
        # Without the privileges the answer would be about something else.
        proves = writes and tables and not lacks
        misfits = _misfits(part, manifest, tables, hazards) if proves else ()
        out_of_sight = {lack.store for lack in closed}
        drifts = [one for one in compare(part, manifest) if one.store not in out_of_sight]
    lacking, absent = undeclared(drifts, tables)
    return Facts(
        databases=tuple(present.items()),
        missing=missing,
        hidden=hidden,
        undeclared=lacking,
        absent=tuple(one for one in absent if one.table),
        lacks=lacks,
        hazards=hazards,
        misfits=misfits,
        condition=condition,
    )


@contextmanager
def _open_part(store_set: StoreSet, closed: Sequence[Lack]) -> Iterator[StoreSet]:
    """Yield the part of a set that may be connected to, usually all of it."""
    if not closed:
        yield store_set
        return
    shut = {lack.store for lack in closed}
    part = connect(store_set.config, [one for one in store_set.databases() if one not in shut])
    try:
        yield part
    finally:
        part.close()


def _condition(store_set: StoreSet, tables: Sequence[TableSchema], *, writes: bool) -> Condition:
    engine = store_set.config.engine
    if store_set.databases():
        return _LOOKS[engine](store_set, tables, writes=writes)
    return Condition(engine.proper_name, "", *((),) * 9)


def _misfits(
    store_set: StoreSet,
    manifest: Manifest,
    tables: Sequence[TableSchema],
    hazards: Sequence[Hazard],
) -> tuple[Misfit, ...]:
    unsafe = {(hazard.store, hazard.table) for hazard in hazards}
    rows = canaries.rows(manifest, tables, canaries.draw(), unsafe)
    return fit(store_set, tables, rows)[1]


# --- what follows from it -------------------------------------------------------------------


def _absence(facts: Facts, manifest: Manifest, engine: EngineKind) -> Iterator[str]:
    published = {table.store for table, _ in manifest.vendor_tables(engine)}
    if not published & dict(facts.databases).keys():
        hiding = ", or that the account may see them" if facts.hidden else ""
        yield (
            f"No store of the set is on this server ({', '.join(sorted(published))}): see that "
            f"WA_DB_NAME_PREFIX and the server are right{hiding}, and run again."
        )


def _missing_privileges(facts: Facts, purpose: Purpose) -> Iterator[str]:
    stores = sorted({lack.store for lack in facts.lacks})
    if stores:
        yield (
            f"The account lacks privileges for this {_RUNS[purpose]} in {', '.join(stores)}: have "
            f"an administrator run the {_counted(len(facts.lacks), 'GRANT statement')} listed for "
            "it, and run again."
        )


def _hidden_stores(facts: Facts) -> Iterator[str]:
    if facts.hidden:
        yield (
            "Not on this server, or hidden from the account and then not searched: "
            f"{', '.join(lack.store for lack in facts.hidden)}: have an administrator run the "
            f"{_counted(len(facts.hidden), 'GRANT statement')} listed for it, which are allowed "
            "where the database does not exist, and run again."
        )


def _missing_stores(facts: Facts) -> Iterator[str]:
    hidden = {lack.store for lack in facts.hidden}
    if known := [store for store in facts.missing if store not in hidden]:
        yield f"Not on this server, and so not searched: {', '.join(known)}."


def _incomplete_closure(facts: Facts, manifest: Manifest) -> Iterator[str]:
    gone = {(one.store, one.table, one.column) for one in facts.absent}
    for table in manifest.tables.values():
        if not table.alias:
            continue
        places = [(table.store, table.name, column) for column in ("", *table.alias)]
        lacking = [".".join(filter(None, place)) for place in places if place in gone]
        if table.store in facts.missing:
            lacking = [f"{table.store}.{table.name}"]
        if lacking:
            yield (
                f"The identity closure may be incomplete, since {' and '.join(lacking)} is not "
                "on this server: give every wa_id that the person is known to have had."
            )


def _drift_sentence(lacking: Sequence[Undeclared], purpose: Purpose) -> Iterator[str]:
    first = ", ".join(one.place for one in lacking[:_NAMED])
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    telling = sum(one.identity for one in lacking)
    way_out = (
        "an audit searches them like all others"
        if purpose is Purpose.AUDIT
        else "give their treatments with --treatment FILE, or with --accept-drift take the "
        "default, which deletes a row that holds the subject as a whole value and masks a mention"
    )
    verb = "is" if len(lacking) == 1 else "are"
    yield (
        f"{_counted(len(lacking), 'column or table', 'columns or tables')} of this server {verb} "
        f"not in the manifest, of which {telling} may identify a person ({first}{more}): "
        f"{way_out}."
    )


def _hazard_sentences(facts: Facts) -> Iterator[str]:
    for hazard, count in Counter(facts.hazards).items():
        times = f" ({count} times)" if count > 1 else ""
        yield (
            f"{hazard.store}.{hazard.table} cannot be changed safely: {hazard.why}{times}; an "
            "erasure that would change this table is refused, and no canary proves it."
        )
    for misfit in facts.misfits:
        yield (
            f"No canary proves {misfit.store}.{misfit.table}: {misfit.why}; the subject's rows "
            "there are erased and searched for all the same."
        )


def _session_sentences(sessions: Sequence[OtherSession]) -> Iterator[str]:
    for one in sessions:
        place = f" on {one.store}.{one.table}" if one.table else ""
        age = f", since {one.age_s:.0f} s" if one.age_s is not None else ""
        then = "the erasure would wait and give up" if one.blocks else "the erasure may wait for it"
        yield f"Somebody else is at work{place}: {one.session} {one.what}{age}; {then}."


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _speakable(value: Any) -> Any:  # noqa: ANN401 - any part of a JSON-like document
    if isinstance(value, dict):
        # A statement with a name left out would be another statement.
        return {k: part if k == "statement" else _speakable(part) for k, part in value.items()}
    if isinstance(value, list | tuple):
        return [_speakable(part) for part in value]
    return UNSPEAKABLE.sub("#", value) if isinstance(value, str) else value
