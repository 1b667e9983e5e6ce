"""Messages are marked read one by one, within bounds, and no id is ever told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness._tests.webapp_bytes import Bytes, document, refusal, serving
from harness.config import RunConfig, WebappConfig
from harness.maintenance import webapp_api
from harness.maintenance.reading import REFUSALS_MOST, mark_read
from harness.maintenance.webapp_api import Webapp
from harness.model import EngineKind, MarkedRead, Secret, SeedRow
from harness.stores import StoreSet
from harness.webapp import StandInConfig, standing

TAKEN = document({"meta": {}})
GONE = refusal(1006, 404)
REFUSED = refusal(1011, 500)


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webapp_api, "_WAIT_S", (0.01, 0.02, 0.01))


@pytest.fixture
def server() -> Iterator[Bytes]:
    """A server of bytes that takes every id from id0 to id9."""
    with serving() as running:
        running.answers |= {f"/v1/messages/id{number}": [TAKEN] for number in range(10)}
        yield running


def mark(
    server: Bytes, count: int = 10, *, most: int = 100, per_s: float = 1000
) -> tuple[MarkedRead, int]:
    """Mark so many messages read; return the record, and how often a check was made."""
    checks: list[int] = []
    config = WebappConfig(server.url, "u", Secret("p"))
    with Webapp(config, timeout_s=5, attempts=2) as webapp:
        ids = (f"id{number}" for number in range(count))
        done = mark_read(webapp, "r", ids, most=most, per_s=per_s, check=lambda: checks.append(1))
    return done, len(checks)


def counts(done: MarkedRead) -> tuple[int, int, int, int]:
    """Return marked, gone, refused and left."""
    return done.marked, done.gone, done.refused, done.left


@pytest.mark.parametrize("kind", [EngineKind.POSTGRES], indirect=True, ids=str)
def test_it_lets_more_be_collected(store_set: StoreSet, run_config: RunConfig) -> None:
    """In a client's stores the messages marked are read afterwards, and one that is not there is gone."""
    jid = "12025550143@s.whatsapp.net"
    store_set.insert(
        SeedRow(
            "messageStore",
            "messages",
            {"key_remote_jid": jid, "key_from_me": 0, "key_id": f"a/+{number}="},
        )
        for number in range(3)
    )
    with standing(StandInConfig(run_config=run_config)) as stand_in:
        config = WebappConfig(stand_in.url, stand_in.username, Secret(stand_in.password))
        with Webapp(config) as webapp:
            ids = ["a/+0=", "a/+9=", "a/+1="]
            done = mark_read(webapp, "r", ids, most=9, per_s=1000, check=lambda: None)
    assert (counts(done), done.why) == ((2, 1, 0, 0), "")
    sql = "SELECT count(*) FROM messages WHERE read_device_timestamp > 0"
    assert store_set.query("messageStore", sql)[0][0] == 2


def test_it_is_checked_each_time(server: Bytes) -> None:
    """All are marked, with a check before each."""
    done, checks = mark(server)
    assert (counts(done), done.why) == ((10, 0, 0, 0), "")
    assert checks >= 10


def test_no_more_than_wanted(server: Bytes) -> None:
    """Beyond the bound none is asked for, and what is left is counted."""
    done, _ = mark(server, most=4)
    assert counts(done) == (4, 0, 0, 6)
    assert server.count("PUT") == 4
    assert done.why == "6 are left beyond the 4 that were to be asked for: run it again."


def test_it_stops_where_it_is_refused(server: Bytes) -> None:
    """After several refusals in a row it stops, says why, and no id is in what it says."""
    server.answers |= {f"/v1/messages/id{number}": [REFUSED] for number in range(2, 10)}
    done, _ = mark(server)
    assert counts(done) == (2, 0, REFUSALS_MOST, 8 - REFUSALS_MOST)
    assert done.why.startswith(f"Stopped after {REFUSALS_MOST} refusals in a row. The client is")
    assert "id2" not in repr(done)


def test_single_refusals_do_not_stop_it(server: Bytes) -> None:
    """Refusals that are not in a row are counted, and so is what is gone."""
    server.answers |= {f"/v1/messages/id{number}": [REFUSED] for number in range(0, 10, 2)}
    server.answers["/v1/messages/id3"] = [GONE]
    done, _ = mark(server)
    assert counts(done) == (4, 1, 5, 0)
    assert done.why == "5 messages were not taken by the client: run it again."


def test_it_is_not_faster_than_wanted(server: Bytes) -> None:
    """So many a second are marked, and no more."""
    done, _ = mark(server, count=4, per_s=20)
    assert done.duration_s >= 3 / 20


def test_it_can_be_interrupted(server: Bytes) -> None:
    """What a check raises ends it at once, before the next message."""
    config = WebappConfig(server.url, "u", Secret("p"))
    checks = iter([None, None])
    with (
        Webapp(config, timeout_s=5) as webapp,
        pytest.raises(StopIteration),
    ):
        mark_read(webapp, "r", ["id0"] * 9, most=9, per_s=1e6, check=lambda: next(checks))
    assert server.count("PUT") <= 2
