"""The stand-in for the client beside a disposable store set, and what it collects of a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from harness.config import RunConfig, WebappConfig
from harness.maintenance import gc_policy
from harness.maintenance.collecting import Collecting
from harness.maintenance.completion import ByWebhook
from harness.maintenance.gc_policy import GcPolicy
from harness.maintenance.webapp_api import Webapp
from harness.maintenance.webhook import Receiver
from harness.model import Garbage, Moment, Part, Secret, SeedRow
from harness.population.cases import Case
from harness.run import Collection
from harness.webapp import Certificate, StandInConfig, garbage, standing

_RECEIPTS: Final = ("messages_receipt_log", "receipts")
_CACHED: Final = (("axolotlStore", "sessions"), ("contactStore", "wa_contacts"))
"""What a Coreapp is taken to write back from its caches: a choice, since nothing is published."""


@contextmanager
def collecting_beside(
    config: RunConfig, case: Case, moment: Moment, nodes: int, *, writes_back: bool = False
) -> Iterator[Collection]:
    """Let a stand-in with so many Coreapps run, to which half of the messages are garbage.

    With `writes_back` its Coreapps remember rows of the subject, and write them back when they
    have collected.
    """
    policy, rows = gc_policy.load(), case.rows(Part.JUDGED)
    as_of = _half_way(policy, rows)
    cached = tuple(row for row in rows if row.planted and (row.store, row.table) in _CACHED)
    with Receiver() as receiver:
        settings = {"webhooks": {"url": receiver.url}}
        made = StandInConfig(
            run_config=config, nodes=nodes, as_of=as_of, settings=settings, tls=Certificate.GOOD
        )
        with standing(made) as stand_in:
            if writes_back:
                stand_in.remember(cached, reinsert_on="collection")
            password = Secret(stand_in.password)
            given = WebappConfig(stand_in.url, stand_in.username, password, stand_in.ca)
            with Webapp(given) as webapp:
                kinds = (Garbage.MESSAGES,)
                collecting = Collecting(webapp, kinds, policy, ByWebhook(receiver))
                leaves = _leaves(policy, rows, as_of)
                yield Collection(moment, collecting, leaves, cached if writes_back else ())


def _half_way(policy: GcPolicy, rows: Sequence[SeedRow]) -> datetime:
    """Return the time at which half of the messages are old enough to be garbage."""
    times = [row.values["timestamp"] for row in rows if row.table == "messages"]
    middle_ms = median(one for one in times if isinstance(one, int))
    then = datetime.fromtimestamp(middle_ms / 1000, UTC)
    return then + timedelta(days=policy.older_than_days)


def _leaves(
    policy: GcPolicy, rows: Sequence[SeedRow], as_of: datetime
) -> Callable[[SeedRow], bool]:
    """Return what tells whether a collection leaves a row, by the policy as Python has it."""
    gone = {
        (row.values.get("key_remote_jid"), row.values.get("key_id"))
        for row in rows
        if row.table == "messages" and garbage(policy, row.values, as_of)
    }

    def leaves(row: SeedRow) -> bool:
        if row.table == "messages":
            return not garbage(policy, row.values, as_of)
        of = (row.values.get("key_remote_jid"), row.values.get("key_id"))
        return row.table not in _RECEIPTS or of not in gone

    return leaves
