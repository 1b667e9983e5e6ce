"""Controls of commits: told in order, prepared all or none, finished or taken back by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final
from unittest import mock

import pytest

from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.grounds import Ground
from harness.errors import PlanError, UnsettledError
from harness.model import EngineKind, SeedRow
from harness.stores import StoreSet, connect
from harness.stores.postgres_two_phase import TwoPhase

Claim = Callable[[Ground], None]
STORES: Final = ("messageStore", "waweb")
ROWS: Final = (
    SeedRow("messageStore", "messages", {"_id": 1, "key_remote_jid": "a", "key_id": "k"}),
    SeedRow("waweb", "contacts", {"wa_id": "a"}),
)
OURS: Final = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"


def commit_controls(ground: Ground) -> list[Control]:
    """Return every control of commits on a server."""
    return [
        Control(
            f"commit: {named(claim)}",
            partial(_finished, claim, ground),
            ground.fresh,
            ground.renew,
        )
        for claim in CLAIMS[ground.run_config.engine]
    ]


def _finished(claim: Claim, ground: Ground) -> None:
    """Ask a control, and let nothing stand prepared that would lock what the next one needs."""
    try:
        claim(ground)
    finally:
        if ground.run_config.engine is EngineKind.POSTGRES:
            cleaner = connect(ground.run_config, STORES)
            for store in STORES:
                for (name,) in cleaner.query(store, OURS):
                    cleaner.execute(store, "ROLLBACK PREPARED %s", (name,))
            cleaner.close()


def _sets(ground: Ground) -> tuple[StoreSet, StoreSet]:
    """Return two connections to the two stores that these controls change."""
    first = connect(ground.run_config, STORES)
    second = connect(ground.run_config, STORES)
    ground.opened += [first, second]
    return first, second


def _counts(store_set: StoreSet) -> list[int]:
    return [store_set.query(row.store, f"SELECT count(*) FROM {row.table}")[0][0] for row in ROWS]


def _each_store_is_told_of(ground: Ground) -> None:
    """A commit tells of each store in order, and need not tell anybody."""
    first, second = _sets(ground)
    told: list[str] = []
    with first.transaction():
        first.insert(ROWS)
        first.commit(told.append)
    assert tuple(told) == first.commit_order() == STORES
    assert _counts(second) == [1, 1]
    with first.transaction():
        first.commit()


def _what_is_prepared_is_committed(ground: Ground) -> None:
    """What is prepared stands under its names, unseen, until it is committed and told of."""
    first, second = _sets(ground)
    assert first.is_atomic()
    names = first.commit_names("one")
    assert len(names) == len(STORES)
    told: list[str] = []
    with first.transaction():
        first.insert(ROWS)
        first.prepare("one")
        assert second.prepared([*names, "another"]) == names
        assert _counts(second) == [0, 0]
        first.commit(told.append)
        assert not first._in_transaction  # type: ignore[attr-defined]
    assert tuple(told) == STORES
    assert second.prepared(names) == ()
    assert _counts(second) == [1, 1]


def _leave(store_set: StoreSet) -> None:
    with store_set.transaction():
        store_set.insert(ROWS)
        store_set.prepare("one")
        raise ZeroDivisionError


def _what_is_left_is_taken_back(ground: Ground) -> None:
    """What was prepared and is not committed is rolled back at the end of the block."""
    first, second = _sets(ground)
    with suppress(ZeroDivisionError):
        _leave(first)
    assert second.prepared(first.commit_names("one")) == ()
    assert _counts(second) == [0, 0]


def _one_store_needs_no_name(ground: Ground) -> None:
    """A set of one store is committed at once, room or no room, and nothing of it is prepared."""
    alone = connect(ground.run_config, ["waweb"])
    ground.opened.append(alone)
    for has_room in (True, False):
        with mock.patch.object(TwoPhase, "has_room", return_value=has_room):
            assert alone.is_atomic()
            assert alone.commit_names("one") == ()
            with alone.transaction():
                alone.prepare("one")
                assert alone.prepared(["waba_erasure_one_waweb"]) == ()
                assert alone._prepared == {}  # type: ignore[attr-defined]
                alone.commit()


def _without_room_nothing_is_prepared(ground: Ground) -> None:
    """Where there is no room the set is not atomic, has no names, and is not prepared."""
    first, _ = _sets(ground)
    with mock.patch.object(TwoPhase, "has_room", return_value=False):
        assert not first.is_atomic()
        assert first.commit_names("one") == ()
        with first.transaction(), pytest.raises(PlanError, match="no room"):
            first.prepare("one")


def _lost_sessions_do_not_matter(ground: Ground) -> None:
    """When the sessions end between prepare and commit, new ones commit."""
    first, second = _sets(ground)
    with first.transaction():
        first.insert(ROWS)
        first.prepare("one")
        for store in STORES:
            ((number,),) = first.query(store, "SELECT pg_backend_pid()")
            second.query(store, f"SELECT pg_terminate_backend({number})")
        first.commit()
    assert _counts(second) == [1, 1]


def _a_server_that_is_gone_is_told(ground: Ground) -> None:
    """Where the server cannot be asked what still stands, the error says what to do."""
    first, _ = _sets(ground)
    names = first.commit_names("one")
    first.close()
    first.config = replace(first.config, port=1)
    with pytest.raises(UnsettledError):
        first.settle(names, commit=False)


def _logs_are_told(ground: Ground) -> None:
    """A session whose statements are logged says so."""
    first, _ = _sets(ground)
    before = first.statement_logs()
    first.execute("waweb", "SET log_statement = 'all'")
    assert set(first.statement_logs()) - set(before) == {"server log (log_statement)"}


CLAIMS: Final = {
    EngineKind.MYSQL: (_each_store_is_told_of,),
    EngineKind.POSTGRES: (
        _each_store_is_told_of,
        _what_is_prepared_is_committed,
        _what_is_left_is_taken_back,
        _one_store_needs_no_name,
        _without_room_nothing_is_prepared,
        _lost_sessions_do_not_matter,
        _a_server_that_is_gone_is_told,
        _logs_are_told,
    ),
}
