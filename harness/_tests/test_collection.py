"""Collections through the API of the stand-in: each ends, and is accounted for as it really went."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import requests

from harness._tests.webapp_bytes import SAID, Bytes, document, raw, refusal, serving
from harness.config import RunConfig, WebappConfig
from harness.errors import WebappError
from harness.maintenance import webapp_api
from harness.maintenance.collection import Bounds, collect, require_reachable
from harness.maintenance.completion import ByStatistics, ByWebhook
from harness.maintenance.webapp_api import Webapp
from harness.maintenance.webhook import Receiver
from harness.model import (
    Collected,
    EngineKind,
    Garbage,
    NodeCollection,
    NodeOutcome,
    Secret,
    SeedRow,
)
from harness.stores import StoreSet
from harness.webapp import Fault, StandIn, StandInConfig, standing

READ, UNREAD = 30, 12
# Old enough for nothing: what is young and unread stays.
NOW_MS = 4_000_000_000_000
PROCESSING = {"status": "processing"}
# What the engine has no part in.
one_engine = pytest.mark.parametrize("kind", [EngineKind.POSTGRES], indirect=True, ids=str)


class GivenUpError(Exception):
    """What a deadline raises."""


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webapp_api, "_WAIT_S", (0.01, 0.02, 0.01))


@dataclass
class Bed:
    """A stand-in over stores with messages, its webhook's receiver, and the way to it."""

    stand_in: StandIn
    receiver: Receiver
    webapp: Webapp

    def collect(self, garbage: Garbage = Garbage.MESSAGES, **bounds: float) -> Collected:
        """Collect, and wait for notifications."""
        within = {"wait_s": 20.0, "busy_every_s": 0.05, **bounds}
        return collect(self.webapp, "r", garbage, ByWebhook(self.receiver), Bounds(**within))  # type: ignore[arg-type]

    @property
    def deleted(self) -> int:
        """How many messages really went."""
        # It tells first, and keeps its own account afterwards.
        self.stand_in.wait_idle()
        return sum(len(one.messages) for one in self.stand_in.collections)


@pytest.fixture
def seeded(store_set: StoreSet) -> StoreSet:
    """Stores with messages that were read, and some that were not, in several chats."""
    store_set.insert(
        SeedRow(
            "messageStore",
            "messages",
            {
                "key_remote_jid": f"1202555{100 + number % 7:04}@s.whatsapp.net",
                "key_from_me": 0,
                "key_id": f"id{number}",
                "timestamp": NOW_MS,
                "read_device_timestamp": 1 if number < READ else 0,
            },
        )
        for number in range(READ + UNREAD)
    )
    return store_set


@contextmanager
def bed(run_config: RunConfig, *, timeout_s: float = 5, **config: object) -> Iterator[Bed]:
    """Let a stand-in run whose notifications come to a receiver of ours."""
    with Receiver() as receiver:
        settings = {"webhooks": {"url": receiver.url}}
        made = StandInConfig(run_config=run_config, settings=settings, **config)  # type: ignore[arg-type]
        with standing(made) as stand_in:
            given = WebappConfig(stand_in.url, stand_in.username, Secret(stand_in.password))
            with Webapp(given, timeout_s=timeout_s, attempts=2) as webapp:
                yield Bed(stand_in, receiver, webapp)


def outcomes(collected: Collected) -> list[NodeOutcome]:
    """Return how each node ended."""
    return [node.outcome for node in collected.nodes]


@pytest.mark.parametrize("nodes", [1, 3])
def test_it_is_complete(seeded: StoreSet, run_config: RunConfig, nodes: int) -> None:
    """A collection ends when each of its Coreapps has told so, and the account is what really went."""
    del seeded
    with bed(run_config, nodes=nodes) as ours:
        collected = ours.collect()
        assert ours.deleted == READ
        names = [one.name for one in ours.webapp.health() if one.role in {"", "coreapp"}]
    assert (collected.complete, collected.confirmed, collected.why) == (True, True, "")
    assert (collected.rows_before, collected.rows_after) == (READ + UNREAD, UNREAD)
    assert (collected.times, collected.deleted) == (1, READ)
    assert [node.node for node in collected.nodes] == names
    assert set(outcomes(collected)) == {NodeOutcome.COMPLETE}


@one_engine
@pytest.mark.parametrize("nodes", [1, 2])
def test_media_is_the_leaders(store_set: StoreSet, run_config: RunConfig, nodes: int) -> None:
    """A collection of media ends with one report, whichever Coreapp it is from."""
    del store_set
    with bed(run_config, nodes=nodes) as ours:
        collected = ours.collect(Garbage.MEDIA)
    assert (collected.complete, collected.confirmed, collected.deleted) == (True, True, 0)
    assert outcomes(collected) == [NodeOutcome.COMPLETE]


@dataclass(frozen=True)
class Case:
    """One fault with what a collection of messages makes of it."""

    fault: Fault
    nodes: int
    complete: bool
    times: int
    outcomes: tuple[NodeOutcome, ...]
    why: str
    wait_s: float = 20
    deleted: int | None = None


COMPLETE, FAILED, SILENT = NodeOutcome.COMPLETE, NodeOutcome.FAILED, NodeOutcome.SILENT
CASES = (
    Case(Fault.NO_COREAPP, 1, False, 0, (), "No Coreapp answers the Webapp (1014)"),
    Case(Fault.NO_COREAPP, 2, False, 0, (), "No Coreapp answers the Webapp (1014)"),
    Case(Fault.REDIRECT, 1, False, 0, (), "leads elsewhere"),
    Case(Fault.REFUSES_TOKEN_ALWAYS, 1, False, 0, (), "refused a token that it had given"),
    Case(Fault.BUSY, 1, False, 0, (), "(1015)", wait_s=0.5),
    Case(Fault.OVERLOADED, 2, False, 0, (), "(1016)", wait_s=0.5),
    Case(Fault.HTML, 1, False, 1, (SILENT,), "A page came instead", wait_s=0.5),
    Case(Fault.HTML_200, 2, False, 1, (SILENT, SILENT), "A page came instead", wait_s=0.5),
    Case(Fault.BAD_JSON, 1, False, 1, (SILENT,), "not JSON", wait_s=0.5),
    Case(Fault.WRONG_SHAPE, 1, False, 1, (SILENT,), "the shape of its API", wait_s=0.5),
    Case(Fault.HUGE, 1, False, 1, (SILENT,), "larger than any", wait_s=0.5),
    # It was begun, and each Coreapp tells how it ended: nothing is left open.
    Case(Fault.HANGS_UP, 1, True, 1, (COMPLETE,), "", deleted=READ),
    Case(Fault.HANGS_UP, 2, True, 1, (COMPLETE, COMPLETE), "", deleted=READ),
    Case(Fault.TOKEN_EXPIRES, 2, True, 1, (COMPLETE, COMPLETE), "", deleted=READ),
    Case(Fault.NEVER_COMPLETES, 1, False, 1, (SILENT,), "The only Coreapp did not", wait_s=0.5),
    Case(Fault.STALLS, 2, False, 1, (SILENT, SILENT), "2 of 2 Coreapps did not", wait_s=0.5),
    Case(Fault.FAILS, 1, False, 1, (FAILED,), "The only Coreapp reported a failure"),
    Case(Fault.FAILS_ONCE, 2, False, 1, (FAILED, FAILED), "2 of 2 Coreapps reported a failure"),
    Case(Fault.NODE_FAILS, 2, False, 1, (COMPLETE, FAILED), "1 of 2 Coreapps reported a failure"),
    Case(Fault.NODE_SILENT, 2, False, 1, (COMPLETE, SILENT), "1 of 2 Coreapps did not", wait_s=1.5),
)


@one_engine
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.fault}, {case.nodes}")
def test_each_fault_is_told(seeded: StoreSet, run_config: RunConfig, case: Case) -> None:
    """Of each fault the record says whether it is complete, how often it was begun, how each Coreapp ended, and why."""
    del seeded
    with bed(run_config, nodes=case.nodes) as ours:
        ours.stand_in.faults_on = "gc" if case.fault is not Fault.REFUSES_TOKEN_ALWAYS else ""
        ours.stand_in.faults.add(case.fault)
        collected = ours.collect(wait_s=case.wait_s)
        ours.stand_in.faults.clear()
        ours.stand_in.wait_idle()
    assert case.why in collected.why
    assert bool(collected.why) is not case.complete
    assert (collected.complete, collected.confirmed) == (case.complete, case.complete)
    assert (collected.times, sorted(outcomes(collected))) == (case.times, sorted(case.outcomes))
    if case.deleted is not None:
        assert collected.deleted == case.deleted
    if FAILED in case.outcomes:
        assert {node.codes for node in collected.nodes if node.outcome is FAILED} == {(1014,)}


def test_an_answer_that_is_late() -> None:
    """A start whose answer is waited for in vain is never repeated, and its end is waited for all the same."""
    report = {"services": [{"message": {"gc": {"messages_deleted": 5, "status": "complete"}}}]}
    with serving() as server, Receiver() as receiver:

        def late(connection: socket.socket) -> None:
            connection.recv(1)  # It goes on until the other side has given up.
            requests.post(receiver.url, json=report, timeout=5)

        server.answers |= {
            "/v1/services/message/gc": [late],
            "/v1/health": [document({"health": {"gateway_status": "connected"}})],
        }
        config = WebappConfig(server.url, "u", Secret("p"))
        with Webapp(config, timeout_s=0.3, attempts=2) as webapp:
            collected = collect(webapp, "r", Garbage.MESSAGES, ByWebhook(receiver), Bounds(20))
        assert server.count("PUT") == 1
    assert (collected.complete, collected.times, collected.deleted) == (True, 1, 5)


def test_which_coreapps_is_not_known() -> None:
    """Where a start is in doubt and health does not answer, one Coreapp's report is not taken for all of them."""
    report = {"services": [{"message": {"gc": {"node": "a:1", "status": "complete"}}}]}
    with serving() as server, Receiver() as receiver, webapp_of(server) as webapp:
        server.answers["/v1/services/message/gc"] = [raw()]
        requests.post(receiver.url, json=report, timeout=5)
        collected = collect(webapp, "r", Garbage.MESSAGES, ByWebhook(receiver), Bounds(20))
    assert (collected.complete, collected.times, collected.nodes) == (False, 1, ())
    assert collected.why.startswith("The Webapp hung up")


@one_engine
def test_a_large_one_is_repeated(seeded: StoreSet, run_config: RunConfig) -> None:
    """Above so many rows a collection that failed is run again until it is complete, and what all of them deleted is added up."""
    del seeded
    with bed(run_config) as ours:
        ours.stand_in.faults.add(Fault.FAILS_ONCE)
        collected = ours.collect(repeat_rows=READ)
        assert ours.deleted == READ
    assert (collected.complete, collected.times, collected.why) == (True, 2, "")


def test_one_that_cannot_be_repeated() -> None:
    """Where a repetition is refused, it is incomplete for that reason, and what the last one told stays in the account."""
    report = {"services": [{"message": {"gc": {"messages_deleted": 2, "status": "failed"}}}]}
    with serving() as server, Receiver() as receiver, webapp_of(server) as webapp:

        def start(connection: socket.socket) -> None:
            document({"services": {"message": {"gc": PROCESSING}}})(connection)
            requests.post(receiver.url, json=report, timeout=5)

        server.answers |= {
            "/v1/services/message/gc": [start, refusal(1011, 500)],
            "/v1/stats/db": [
                document({"stats": {"db": {"db_messages": {"data": [{"value": 9}]}}}})
            ],
        }
        bounds = Bounds(20, repeat_rows=8)
        collected = collect(webapp, "r", Garbage.MESSAGES, ByWebhook(receiver), bounds)
    assert (collected.complete, collected.times, collected.deleted) == (False, 1, 2)
    assert collected.nodes == (NodeCollection("", FAILED, 2),)
    assert "not ready (1011)" in collected.why


@one_engine
@pytest.mark.parametrize(("repeat_rows", "times"), [(READ, 3), (READ + UNREAD, 1)])
def test_it_is_repeated_so_often(
    seeded: StoreSet, run_config: RunConfig, repeat_rows: int, times: int
) -> None:
    """One that always fails is run no more often than it may; a small one only once."""
    del seeded
    with bed(run_config) as ours:
        ours.stand_in.faults.add(Fault.FAILS)
        collected = ours.collect(repeat_rows=repeat_rows, times_most=3)
    assert (collected.complete, collected.times) == (False, times)
    assert collected.why.startswith("After 3 times") is (times > 1)


@one_engine
def test_another_one_is_waited_for(seeded: StoreSet, run_config: RunConfig) -> None:
    """A collection that is refused since another is going on begins when that one is over."""
    del seeded
    with bed(run_config) as ours:
        ours.stand_in.faults.add(Fault.STALLS)
        ours.webapp.start(Garbage.MESSAGES)
        timer = threading.Timer(0.5, ours.stand_in.faults.clear)
        timer.start()
        collected = ours.collect()
        timer.join()
        refused = [one for one in ours.stand_in.requests if one.status == 429]
    assert (collected.complete, collected.times) == (True, 1)
    assert refused


# --- without the webhook ----------------------------------------------------------------------


def settling(ours: Bed, garbage: Garbage = Garbage.MESSAGES, wait_s: float = 20) -> Collected:
    """Collect, and look at statistics."""
    looks = ByStatistics(ours.webapp, every_s=0.05, stable_times=3, least_s=0.2)
    return collect(ours.webapp, "r", garbage, looks, Bounds(wait_s))


@pytest.mark.parametrize("nodes", [1, 2])
def test_counts_settle(seeded: StoreSet, run_config: RunConfig, nodes: int) -> None:
    """Without the webhook it is complete when the counts are at rest, which nobody has confirmed."""
    del seeded
    with bed(run_config, nodes=nodes) as ours:
        collected = settling(ours)
    assert (collected.complete, collected.confirmed, collected.deleted) == (True, False, None)
    assert (collected.rows_before, collected.rows_after) == (READ + UNREAD, UNREAD)
    assert outcomes(collected) == [NodeOutcome.SETTLED] * nodes


@one_engine
def test_a_large_one_is_repeated_while_it_falls(seeded: StoreSet, run_config: RunConfig) -> None:
    """Where nobody tells of errors, one above the limit is run again as long as the count falls."""
    del seeded
    with bed(run_config) as ours:
        looks = ByStatistics(ours.webapp, every_s=0.05, stable_times=3, least_s=0.2)
        # All that can go goes the first time, and still it is above the limit.
        above = Bounds(20, 5, repeat_rows=UNREAD - 1)
        collected = collect(ours.webapp, "r", Garbage.MESSAGES, looks, above)
        asked = sum(one.path.endswith("message/gc") for one in ours.stand_in.requests)
    assert (collected.complete, collected.times, asked) == (False, 2, 2)
    assert "has not fallen" in collected.why


@one_engine
def test_a_large_one_that_is_small_enough_is_not_repeated(
    seeded: StoreSet, run_config: RunConfig
) -> None:
    """Once the count is not above the limit any more, it is complete."""
    del seeded
    with bed(run_config) as ours:
        looks = ByStatistics(ours.webapp, every_s=0.05, stable_times=3, least_s=0.2)
        bounds = Bounds(20, 5, repeat_rows=UNREAD)
        collected = collect(ours.webapp, "r", Garbage.MESSAGES, looks, bounds)
    assert (collected.complete, collected.times, collected.why) == (True, 1, "")


@one_engine
def test_counts_that_never_settle(seeded: StoreSet, run_config: RunConfig) -> None:
    """Counts that go on changing until the time is over leave it incomplete."""
    del seeded
    with bed(run_config) as ours:
        ours.stand_in.faults.add(Fault.NEVER_COMPLETES)
        collected = settling(ours, wait_s=1.5)
    assert (collected.complete, collected.confirmed) == (False, False)
    assert "did not come to rest in time" in collected.why


@one_engine
def test_counts_tell_nothing_of_media(store_set: StoreSet, run_config: RunConfig) -> None:
    """Of media the counts tell nothing, which is said, and it is not complete."""
    del store_set
    with bed(run_config) as ours:
        collected = settling(ours, Garbage.MEDIA)
    assert (collected.complete, collected.confirmed) == (False, False)
    assert "tell nothing of media" in collected.why


@one_engine
def test_rest_is_no_proof_of_a_beginning(seeded: StoreSet, run_config: RunConfig) -> None:
    """Counts at rest after a start whose answer was lost do not make it complete: it may never have begun."""
    del seeded
    with bed(run_config) as ours:
        ours.stand_in.faults_on = "gc"
        ours.stand_in.faults.add(Fault.HANGS_UP)
        collected = settling(ours)
    assert (collected.complete, collected.times) == (False, 1)
    assert collected.why.startswith("The Webapp hung up")


@pytest.mark.parametrize("stats", [{"db": {}}, {"db": []}])
def test_counts_that_are_not_there(stats: object) -> None:
    """A client without statistics leaves it incomplete, and says so."""
    with serving() as server:
        server.answers |= {
            "/v1/services/message/gc": [document({"services": {"message": {"gc": PROCESSING}}})],
            "/v1/stats/db": [document({"stats": stats})],
        }
        with webapp_of(server) as webapp:
            looks = ByStatistics(webapp, every_s=0.02, stable_times=2, least_s=0)
            collected = collect(webapp, "r", Garbage.MESSAGES, looks, Bounds(0.3))
    assert (collected.complete, collected.rows_before) == (False, None)
    assert "statistics" in collected.why or "stats.db" in collected.why


# --- interruption, and before anything --------------------------------------------------------


def webapp_of(server: Bytes) -> Webapp:
    """Return the way to a server of bytes."""
    return Webapp(WebappConfig(server.url, "u", Secret("p")), timeout_s=5, attempts=2)


@pytest.mark.parametrize("kind", [GivenUpError, KeyboardInterrupt])
@pytest.mark.parametrize("by_webhook", [True, False])
def test_it_can_be_interrupted(*, kind: type[BaseException], by_webhook: bool) -> None:
    """What a check raises while it is waited for ends it at once."""
    gauge = {"data": [{"value": 1}]}
    looked: list[int] = []

    def check() -> None:
        looked.append(1)
        if len(looked) > 3:
            raise kind

    with serving() as server, Receiver() as receiver, webapp_of(server) as webapp:
        server.answers |= {
            "/v1/services/message/gc": [document({"services": {"message": {"gc": PROCESSING}}})],
            "/v1/stats/db": [document({"stats": {"db": {"db_messages": gauge}}})],
        }
        counting = ByStatistics(webapp, every_s=600, stable_times=600)
        completion = ByWebhook(receiver) if by_webhook else counting
        with pytest.raises(kind):
            collect(webapp, "r", Garbage.MESSAGES, completion, Bounds(9000), check=check)
    assert len(looked) == 4


@pytest.mark.parametrize("path", ["/v1/users/login", "/v1/health", "/v1/settings/application"])
def test_what_must_work_before(path: str) -> None:
    """Before anything is changed it is shown that one can log in, and that health and settings answer."""
    with serving() as server, webapp_of(server) as webapp:
        server.answers |= {
            "/v1/health": [document({"health": {"gateway_status": "connected"}})],
            "/v1/settings/application": [document({"settings": {"application": {}}})],
        }
        require_reachable(webapp)
        server.answers[path] = [refusal(1011, 500)]
        with pytest.raises(WebappError, match="not ready"):
            require_reachable(webapp)


def test_nothing_is_told_that_a_server_said() -> None:
    """The record of a start that failed holds no word of the server's."""
    with serving() as server, Receiver() as receiver, webapp_of(server) as webapp:
        server.answers["/v1/services/message/gc"] = [raw(SAID.encode() + b"\r\n\r\n")]
        collected = collect(webapp, "r", Garbage.MESSAGES, ByWebhook(receiver), Bounds(0.1))
    assert SAID not in repr(collected)
    assert collected.nodes == ()
    assert "not speak HTTP" in collected.why


@one_engine
def test_a_node_is_told_as_it_told(seeded: StoreSet, run_config: RunConfig) -> None:
    """Each Coreapp's own count is in the account, and is what it really removed."""
    del seeded
    with bed(run_config, nodes=2) as ours:
        collected = ours.collect()
        ours.stand_in.wait_idle()
        really = {one.node: len(one.messages) for one in ours.stand_in.collections}
    told = {node.node: node.deleted for node in collected.nodes}
    assert told == really
    assert NodeCollection("x", NodeOutcome.COMPLETE) not in collected.nodes
