"""A server that dies in the middle of an erasure comes back with every row as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import config
from harness.canary import draw
from harness.errors import StoreError
from harness.identity import Closure, WaId
from harness.manifest import Manifest
from harness.masks import Masks
from harness.model import EngineChoice, EngineKind
from harness.plan import Party, carry_out, inspect
from harness.population.cases import showcase
from harness.population.people import person
from harness.population.rows import rows_of
from harness.servers import EmbeddedServer, launch
from harness.stores import StoreSet, connect, ddl
from harness.stores.sweep import Search, sweep

SUBJECT = person(0)
CLOSURE = Closure(WaId(SUBJECT.number))
KEY = b"k" * 32
# Disposable servers trade the last second before a crash for speed; real ones do not.
DURABLE = {
    EngineKind.MYSQL: ["SET GLOBAL innodb_flush_log_at_trx_commit = 1"],
    EngineKind.POSTGRES: ["ALTER ROLE CURRENT_USER SET synchronous_commit = on"],
}


@pytest.fixture
def server(choice: EngineChoice) -> Iterator[EmbeddedServer]:
    """A server of the test's own, to be killed."""
    started = launch(choice)
    try:
        started.wait_ready()
        yield started
    finally:
        started.stop()


def reach(server: EmbeddedServer, described: Manifest) -> StoreSet:
    """Return the server's store set."""
    reached = config.from_variables(server.environment, source="test")
    return connect(reached, [store.name for store in described.stores])


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after the commit"])
def test_a_server_killed_around_the_commit(
    server: EmbeddedServer, described: Manifest, choice: EngineChoice, *, committed: bool
) -> None:
    """Killed between the deletion and the commit, all rows are as before; after it, all are erased."""
    store_set = reach(server, described)
    store_set.create(ddl.committed(described, choice.kind))
    for statement in DURABLE[choice.kind]:
        store_set.execute("waweb", statement)
    store_set.close()
    store_set = reach(server, described)
    store_set.insert(rows_of(showcase(SUBJECT)))
    search = Search(described, CLOSURE, KEY)
    before = sweep(store_set, search)
    masks = Masks(CLOSURE)
    subject = Party(Search(described, CLOSURE, KEY, masks), masks)
    canary = Closure(draw())
    try:
        with store_set.transaction():
            found = inspect(
                store_set, subject, Party(Search(described, canary, KEY), Masks(canary))
            )
            carry_out(store_set, found.plan)
            if committed:
                store_set.commit()
            server.crash()
            store_set.query("waweb", "SELECT 1")
    except StoreError:
        store_set.close()
    server.wait_ready()
    again = reach(server, described)
    after = sweep(again, Search(described, CLOSURE, KEY, masks))
    again.close()
    assert bool(after.traces) is not committed
    if not committed:
        assert (after.tables, after.traces) == (before.tables, before.traces)
    kept = [(state.bystander_digest, state.mention_digest) for state in after.tables]
    assert kept == [(state.bystander_digest, state.mention_digest) for state in before.tables]
