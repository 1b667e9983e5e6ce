"""Whatever can go wrong on demand goes wrong as it says, and stops when it is taken back."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from harness.config import RunConfig
from harness.errors import ServerError
from harness.maintenance import gc_policy
from harness.stores import StoreSet
from harness.webapp import Asked, Certificate, Fault, StandIn, StandInConfig, certificates, standing

from .webapp_bed import (
    AS_OF,
    NOWHERE,
    TIMEOUT_S,
    Caller,
    Listener,
    calling,
    grid,
    ids,
    keys,
    listening,
    message,
)

COLLECT = ("PUT", "services/message/gc")
POLICY = replace(gc_policy.load(), batch_rows=2)
STALE = 12


@pytest.fixture
def caller() -> Iterator[Caller]:
    """Somebody logged in to a stand-in whose stores nobody reaches."""
    with standing(StandInConfig(run_config=NOWHERE)) as stand_in, calling(stand_in) as made:
        yield made


@contextmanager
def collecting(run_config: RunConfig, **options: Any) -> Iterator[tuple[Caller, Listener]]:
    """Let a stand-in stand that notifies a listener."""
    config = StandInConfig(run_config=run_config, policy=POLICY, as_of=AS_OF, **options)
    with listening() as listener, standing(config) as stand_in, calling(stand_in) as caller:
        caller.listen(listener.url)
        yield caller, listener


@pytest.fixture
def stale(store_set: StoreSet) -> StoreSet:
    """A message store with some garbage, in several chats, and one message that stays."""
    garbage = [message(serial, read_device_timestamp=1) for serial in range(STALE)]
    store_set.insert([*garbage, message(99)])
    return store_set


def gc(told: Any) -> Any:
    """Return what a notification says of the collection of messages."""
    return told["services"][0]["message"]["gc"]


def test_without_a_coreapp_nothing_is_collected(caller: Caller) -> None:
    """A collection without a Coreapp is refused as it is published, naming where it should be."""
    caller.stand_in.faults.add(Fault.NO_COREAPP)
    answer = caller.ask(*COLLECT)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["title"]) == (500, 1014, "Internal error")
    assert "wacore:6252" in error["details"]
    assert caller.ask("GET", "health").json()["health"]["gateway_status"] != "connected"


@pytest.mark.parametrize(
    ("fault", "status", "code"), [(Fault.BUSY, 429, 1015), (Fault.OVERLOADED, 503, 1016)]
)
def test_a_client_under_load_refuses(caller: Caller, fault: Fault, status: int, code: int) -> None:
    """What is too much is refused with the published status and code, for as long as it lasts."""
    caller.stand_in.faults.add(fault)
    assert caller.error(*COLLECT) == (status, code)
    caller.stand_in.faults.remove(fault)
    assert caller.ask("GET", "health").ok


def test_a_token_that_serves_once(caller: Caller) -> None:
    """Each token serves once, and a new login gives one that serves once more."""
    caller.stand_in.faults.add(Fault.TOKEN_EXPIRES)
    for _ in range(2):
        assert caller.ask("GET", "health").ok
        assert caller.error("GET", "health") == (401, 1024)
        assert caller.log_in().ok


def test_a_token_that_never_serves(caller: Caller) -> None:
    """A login can succeed and its token be refused all the same."""
    caller.stand_in.faults = {Fault.REFUSES_TOKEN_ALWAYS}
    assert caller.log_in().ok
    assert caller.error("GET", "health") == (401, 1024)


@pytest.mark.parametrize(("fault", "status"), [(Fault.HTML, 502), (Fault.HTML_200, 200)])
def test_a_page_instead_of_json(caller: Caller, fault: Fault, status: int) -> None:
    """A proxy's page stands in place of every answer, that to a login too."""
    caller.stand_in.faults.add(fault)
    for answer in (caller.ask("GET", "health"), caller.ask("POST", "users/login")):
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert "<html>" in answer.text


def test_json_cut_short(caller: Caller) -> None:
    """What calls itself JSON cannot be read."""
    caller.stand_in.faults.add(Fault.BAD_JSON)
    answer = caller.ask("GET", "health")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)


def test_json_of_another_shape(caller: Caller) -> None:
    """What is JSON has nothing of the published shapes but the names."""
    caller.stand_in.faults.add(Fault.WRONG_SHAPE)
    answer = caller.ask("GET", "health")
    assert answer.status_code == 200
    assert not any(isinstance(value, dict) and value for value in answer.json().values())


def test_a_redirect(caller: Caller) -> None:
    """A redirect leads to wherever one wants to be led."""
    caller.stand_in.faults.add(Fault.REDIRECT)
    caller.stand_in.elsewhere = "https://elsewhere.example/"
    answer = caller.ask("GET", "health", allow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://elsewhere.example/")


def test_a_slow_answer(caller: Caller) -> None:
    """An answer that takes longer than one waits is not had."""
    caller.stand_in.faults.add(Fault.SLOW)
    caller.stand_in.delay_s = TIMEOUT_S
    with pytest.raises(requests.ReadTimeout):
        caller.ask("GET", "health", timeout=0.2)


def test_an_answer_without_an_end(caller: Caller) -> None:
    """An answer goes on for longer than anybody should read."""
    caller.stand_in.faults.add(Fault.HUGE)
    with caller.ask("GET", "health", stream=True) as answer:
        assert len(answer.raw.read(8_000_000)) == 8_000_000


def test_faults_can_be_of_some_paths(caller: Caller) -> None:
    """Faults of answers can be confined to paths that have something in them."""
    caller.stand_in.faults.add(Fault.HTML)
    caller.stand_in.faults_on = "/services/"
    assert caller.log_in().ok
    assert caller.ask(*COLLECT).status_code == 502


@pytest.mark.parametrize("tls", [None, Certificate.GOOD])
def test_what_was_asked_is_done_though_the_connection_is_lost(tls: Certificate | None) -> None:
    """A connection closed in place of an answer leaves the work done, and no answer on record."""
    with (
        standing(StandInConfig(run_config=NOWHERE, tls=tls)) as stand_in,
        requests.Session() as session,
    ):
        caller = Caller(stand_in, session)
        session.trust_env, session.verify = False, str(stand_in.ca or "")
        caller.log_in()
        stand_in.faults.add(Fault.HANGS_UP)
        with pytest.raises(requests.ConnectionError):
            caller.ask("PATCH", "settings/application", json={"sent_status": True})
        assert stand_in.settings.current["sent_status"] is True
        assert stand_in.requests[-1] == Asked("PATCH", "/v1/settings/application", 0)
        stand_in.faults.clear()
        assert caller.ask("GET", "health").ok


def test_a_collection_that_stalls(stale: StoreSet, run_config: RunConfig) -> None:
    """A collection is accepted, nothing goes, and nobody is told."""
    with collecting(run_config) as (caller, listener):
        caller.stand_in.faults.add(Fault.STALLS)
        assert caller.ask(*COLLECT).ok
        with pytest.raises(ServerError):
            caller.stand_in.wait_idle(0.1)
        assert listener.heard.empty()
        assert len(keys(stale)) == STALE + 1
    assert caller.stand_in.collections == []


def test_a_collection_that_never_completes(stale: StoreSet, run_config: RunConfig) -> None:
    """Rows keep changing and nobody is told; afterwards the rows are those of before."""
    before = ids(stale)
    with collecting(run_config, nodes=2) as (caller, listener):
        caller.stand_in.faults.add(Fault.NEVER_COMPLETES)
        assert caller.ask(*COLLECT).ok
        seen: set[str] = set()
        while len(seen) < 3:
            seen.add(json.dumps(caller.ask("GET", "stats/db").json()["stats"]))
        assert caller.error(*COLLECT) == (429, 1015)
        caller.stand_in.faults.clear()
        caller.stand_in.wait_idle()
        assert listener.heard.empty()
    assert ids(stale) == before


def test_collections_that_fail(stale: StoreSet, run_config: RunConfig) -> None:
    """A failed collection has removed one batch, and says failed, with an error."""
    with collecting(run_config) as (caller, listener):
        caller.stand_in.faults.add(Fault.FAILS)
        for times in (1, 2):
            assert caller.ask(*COLLECT).ok
            told = gc(*listener.hear())
            assert told["status"] == "failed"
            assert told["errors"][0]["code"] == 1014
            assert "messages_deleted" not in told
            assert len(keys(stale)) == STALE + 1 - 2 * times
        caller.stand_in.wait_idle()
        assert all(one.failed and one.told for one in caller.stand_in.collections)


def test_a_collection_that_fails_once(stale: StoreSet, run_config: RunConfig) -> None:
    """The first collection fails, and the next one goes through."""
    with collecting(run_config) as (caller, listener):
        caller.stand_in.faults.add(Fault.FAILS_ONCE)
        told = [gc(*listener.hear()) for _ in range(2) if caller.ask(*COLLECT).ok]
    assert [one["status"] for one in told] == ["failed", "complete"]
    assert told[1]["messages_deleted"] == STALE - 2
    assert ids(stale) == {"message-99"}


def test_a_node_that_is_silent(stale: StoreSet, run_config: RunConfig) -> None:
    """One Coreapp does its share and does not tell; the others tell theirs."""
    with collecting(run_config, nodes=3) as (caller, listener):
        caller.stand_in.faults.add(Fault.NODE_SILENT)
        assert caller.ask(*COLLECT).ok
        told = [gc(one) for one in listener.hear(2)]
        caller.stand_in.wait_idle()
        assert listener.heard.empty()
        silent = caller.stand_in.nodes[-1]
        assert {one["node"] for one in told} == set(caller.stand_in.nodes) - {silent}
        assert sum(len(one.messages) for one in caller.stand_in.collections) == STALE
    assert ids(stale) == {"message-99"}


def test_a_node_that_fails(stale: StoreSet, run_config: RunConfig) -> None:
    """One Coreapp fails and says so under its name; the others complete."""
    with collecting(run_config, nodes=2) as (caller, listener):
        caller.stand_in.faults.add(Fault.NODE_FAILS)
        assert caller.ask(*COLLECT).ok
        told = {gc(one)["node"]: gc(one)["status"] for one in listener.hear(2)}
        assert told == dict(zip(caller.stand_in.nodes, ("complete", "failed"), strict=True))
    assert "message-99" in ids(stale)


def test_a_webhook_that_nobody_answers(store_set: StoreSet, run_config: RunConfig) -> None:
    """A notification that is not taken does not undo the collection."""
    store_set.insert(grid())
    with standing(StandInConfig(run_config=run_config)) as stand_in, calling(stand_in) as caller:
        caller.listen("http://127.0.0.1:1/")
        assert caller.ask(*COLLECT).ok
        stand_in.wait_idle()
        (collected,) = stand_in.collections
    assert not collected.told
    assert not collected.failed
    assert collected.messages


def test_every_fault_is_shown() -> None:
    """Each fault there is stands in a test of this file."""
    source = Path(__file__).read_text("utf-8")
    assert [fault.name for fault in Fault if f"Fault.{fault.name}" not in source] == []


# --- TLS --------------------------------------------------------------------------------------


def asked(stand_in: StandIn, ca: Path | None) -> int:
    """Ask for health without a token, trusting a CA; return the status."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(
            f"{stand_in.url}/v1/health", verify=str(ca) if ca else True, timeout=TIMEOUT_S
        )
    return answer.status_code


def test_a_good_certificate_is_believed_by_who_trusts_the_ca() -> None:
    """Over TLS the stand-in answers who trusts its CA, and nobody else."""
    with standing(StandInConfig(run_config=NOWHERE, tls=Certificate.GOOD)) as stand_in:
        assert urlsplit(stand_in.url).scheme == "https"
        assert asked(stand_in, stand_in.ca) == 401
        with pytest.raises(requests.exceptions.SSLError):
            asked(stand_in, None)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Certificate.OTHER_HOST, "mismatch"),
        (Certificate.EXPIRED, "expired"),
        (Certificate.SELF_SIGNED, "self-signed"),
    ],
)
def test_a_bad_certificate_is_not_believed(kind: Certificate, why: str) -> None:
    """A certificate for another host, an expired and a self-signed one are each refused for that."""
    with standing(StandInConfig(run_config=NOWHERE, tls=kind)) as stand_in:
        context = ssl.create_default_context(cafile=stand_in.ca)
        address = urlsplit(stand_in.url)
        with (
            socket.create_connection((address.hostname, address.port), TIMEOUT_S) as plain,
            pytest.raises(ssl.SSLCertVerificationError, match=why),
        ):
            context.wrap_socket(plain, server_hostname=address.hostname)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_notifications_go_to_a_webhook_that_is_trusted(
    stale: StoreSet,
    run_config: RunConfig,
    tmp_path: Path,
    is_trusted: bool,  # noqa: FBT001
) -> None:
    """Over TLS a notification is sent to a webhook whose CA is trusted, and to no other."""
    files = certificates.make(tmp_path, Certificate.GOOD)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    config = StandInConfig(
        run_config=run_config, as_of=AS_OF, webhook_ca=files.ca if is_trusted else None
    )
    with listening(context) as listener, standing(config) as stand_in, calling(stand_in) as caller:
        caller.listen(listener.url)
        assert caller.ask(*COLLECT).ok
        stand_in.wait_idle()
        assert stand_in.collections[0].told is is_trusted
        assert listener.heard.empty() is not is_trusted
    assert ids(stale) == {"message-99"}


def test_the_key_is_nobody_elses(tmp_path: Path) -> None:
    """The server's key is a file for its owner alone."""
    files = certificates.make(tmp_path, Certificate.GOOD)
    assert files.key.stat().st_mode & 0o077 == 0
