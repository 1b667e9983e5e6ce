"""The client of the Webapp: every failure is one sentence, without a secret, and nothing runs twice."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from harness._tests.webapp_bytes import (
    SAID,
    TOKEN,
    Bytes,
    Script,
    answer,
    document,
    logged_in,
    raw,
    refusal,
    serving,
)
from harness._tests.webapp_cases import CASES, DRIPS, Case
from harness.config import WebappConfig
from harness.errors import ConfigError, WebappError, WebappUnreachableError
from harness.maintenance import webapp_api
from harness.maintenance.webapp_answers import Trouble, understood
from harness.maintenance.webapp_api import Webapp
from harness.maintenance.webapp_connection import Loss, Lost
from harness.maintenance.webapp_shapes import ClientSupport, Statistics
from harness.model import ClientNode, Garbage, Secret
from harness.webapp import certificates
from harness.webapp.certificates import Certificate

PASSWORD = "pä55-Word-77c1"
GC = "/v1/services/message/gc"
# Holds 12025550143 of the range for fiction, packed as the client packs it.
MESSAGE_ID = "gBGBICVVAUP/AgkwMTIzNDU2+Nzg="
PROCESSING = {"services": {"message": {"gc": {"status": "processing"}}}}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webapp_api, "_WAIT_S", (0.01, 0.02, 0.01))


@pytest.fixture
def server() -> Iterator[Bytes]:
    """A server of bytes that lets everybody in."""
    with serving() as running:
        yield running


def reached(url: str, *, ca: Path | None = None, **how: float) -> Webapp:
    """Return the way to a server."""
    config = WebappConfig(url, "operator", Secret(PASSWORD), ca)
    return Webapp(config, timeout_s=how.get("timeout_s", 10), attempts=2)


def failure(call: Callable[[], object]) -> WebappError:
    """Return what a call raises."""
    with pytest.raises(WebappError) as caught:
        call()
    return caught.value


def secrets_in(error: BaseException) -> list[str]:
    """Return the secrets that can be seen in an exception or in whatever hangs from it."""
    seen = [str(error), repr(error), repr(error.args), *traceback.format_exception(error)]
    waiting: list[BaseException | None] = [error.__cause__, error.__context__]
    while waiting:
        if one := waiting.pop():
            seen += [str(one), repr(one), repr(one.args), repr(vars(one))]
            request = getattr(one, "request", None)
            seen += [repr(request.headers), repr(request.url)] if request is not None else []
            waiting += [one.__cause__, one.__context__]
    basic = requests.auth._basic_auth_str("operator", PASSWORD).split()[1]
    known = (PASSWORD, TOKEN, SAID, basic, "Authorization", MESSAGE_ID, MESSAGE_ID[:16])
    return [secret for secret in known if any(secret in text for text in seen)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_collection_that_does_not_start_says_why(server: Bytes, case: Case) -> None:
    """Whatever comes back to a start is one sentence, tells whether it may have begun, and is asked for again only where it certainly was not."""
    server.answers[GC] = [case.script]
    error = failure(lambda: reached(server.url).start(Garbage.MESSAGES))
    assert re.search(case.sentence.replace("(", r"\(").replace(")", r"\)"), str(error))
    assert (error.code, error.started) == (case.code, case.started)
    assert isinstance(error, WebappUnreachableError) is case.unreachable
    assert server.count("PUT") == case.put_asked
    assert str(error).endswith(".")
    assert "\n" not in str(error)
    assert secrets_in(error) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_look_that_fails_says_why(server: Bytes, case: Case) -> None:
    """Whatever comes back to a look is the same sentence; it is asked for again where that may help, and never begins anything."""
    server.answers["/v1/health"] = [case.script]
    error = failure(reached(server.url).health)
    assert re.search(case.sentence.replace("(", r"\(").replace(")", r"\)"), str(error))
    assert (error.code, error.started) == (case.code, False)
    assert server.count("GET") == case.get_asked
    assert secrets_in(error) == []


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS.keys())
def test_a_slow_answer_is_cut_off(
    server: Bytes, drip: tuple[Script, Callable[..., Script]]
) -> None:
    """An answer that never ends, but always goes on, is given up when its time is over, and a collection may have begun."""
    begin, more = drip[0], drip[1](server.stopped)

    def send(connection: socket.socket) -> None:
        begin(connection)
        more(connection)

    server.answers[GC] = [send]
    error = failure(lambda: reached(server.url, timeout_s=0.5).start(Garbage.MESSAGES))
    assert str(error).startswith("The Webapp did not answer in full in time")
    assert (error.started, server.count("PUT")) == (True, 1)


def test_the_table_would_fail_on_what_works(server: Bytes) -> None:
    """The same calls raise nothing when the answers are those of the API."""
    server.answers[GC] = [document(PROCESSING)]
    server.answers["/v1/health"] = [document({"health": {"gateway_status": "connected"}})]
    webapp = reached(server.url)
    assert webapp.start(Garbage.MESSAGES) == ("",)
    assert webapp.health() == (ClientNode("", "connected"),)


def test_secrets_would_be_seen(server: Bytes) -> None:
    """The search for secrets finds them in requests' own exception, hung from one of ours, and in a server's text."""
    url = f"{server.url}/v1/health"
    server.answers["/v1/health"] = [raw()]
    with pytest.raises(requests.RequestException) as caught:
        requests.get(url, auth=("operator", PASSWORD), headers={"X": SAID}, timeout=5)
    ours = WebappError("a sentence")
    ours.__context__ = caught.value
    assert {SAID, "Authorization"} <= set(secrets_in(ours))
    assert secrets_in(WebappError(f"it said {SAID}")) == [SAID]


# --- the way there ---------------------------------------------------------------------------


def test_nobody_listens() -> None:
    """A refused connection is told, nothing was begun, and requests' exception does not hang from it."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error = failure(lambda: reached(f"http://127.0.0.1:{port}").start(Garbage.MESSAGES))
    assert isinstance(error, WebappUnreachableError)
    assert str(error).startswith("Nothing listens where the Webapp should be")
    assert (error.started, error.__cause__, error.__context__) == (False, None, None)


def test_an_unknown_name() -> None:
    """A host that is in no directory is told as such."""
    error = failure(reached("https://webapp.invalid:443").health)
    assert str(error).startswith("The name of the Webapp is not known here")


@pytest.mark.parametrize(("sent", "passes"), [(False, True), (True, False)])
def test_what_was_not_sent_may_be_tried_again(*, sent: bool, passes: bool) -> None:
    """A start whose connection is lost is tried again exactly when nothing of it was sent."""
    outcome = understood(Lost(Loss.HUNG_UP, sent=sent), once=True)
    assert isinstance(outcome, Trouble)
    assert (outcome.passing, outcome.started) == (passes, sent)


@pytest.mark.parametrize(
    ("kind", "trusted", "sentence"),
    [
        (Certificate.GOOD, False, "from an issuer that is not known here"),
        (Certificate.SELF_SIGNED, True, "from an issuer that is not known here"),
        (Certificate.EXPIRED, True, "has expired"),
        (Certificate.OTHER_HOST, True, "is for another host"),
    ],
)
def test_a_bad_certificate_is_told_by_kind(
    tmp_path: Path, *, kind: Certificate, trusted: bool, sentence: str
) -> None:
    """Of a certificate that cannot be relied on it is said what is wrong, and the password is not sent."""
    files = certificates.make(tmp_path, kind)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    with serving(context) as server:
        ca = files.ca if trusted else None
        error = failure(lambda: reached(server.url, ca=ca).start(Garbage.MESSAGES))
    assert sentence in str(error)
    assert (error.started, server.asked) == (False, [])
    assert secrets_in(error) == []


def test_a_good_certificate(tmp_path: Path) -> None:
    """With the CA given the same server is let answer."""
    files = certificates.make(tmp_path, Certificate.GOOD)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    with serving(context) as server:
        server.answers[GC] = [document(PROCESSING)]
        assert reached(server.url, ca=files.ca).start(Garbage.MESSAGES) == ("",)


def test_no_certificate_at_all(server: Bytes, tmp_path: Path) -> None:
    """A server without TLS under https is told, and so is a CA file without a certificate."""
    error = failure(reached(server.url.replace("http", "https")).health)
    assert "does not speak TLS" in str(error)
    empty = tmp_path / "ca.pem"
    empty.write_text("none\n")
    with pytest.raises(ConfigError, match="--webapp-ca"):
        reached(server.url, ca=empty)


def test_a_handshake_without_an_end() -> None:
    """A server that takes the connection and never says a word is given up in time, and nothing was begun."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        error = failure(lambda: reached(url, timeout_s=0.3).start(Garbage.MESSAGES))
    assert "in time" in str(error)
    assert not error.started


def test_nothing_is_taken_from_around(
    server: Bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy nor a netrc file of the environment changes where a request goes, or with which credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NETRC", str(netrc))
        server.answers["/v1/health"] = [document({"health": {"gateway_status": "connected"}})]
        reached(server.url).health()
        # The control: with requests as it comes, both happen.
        requests.get(f"{server.url}/v1/health", timeout=5)
    assert f"Bearer {TOKEN}".encode() in server.heads[1]
    assert len(server.asked) == 2
    assert b"Basic b3RoZXI6b3RoZXI=" in proxy.heads[0]


# --- logging in ------------------------------------------------------------------------------


def test_one_login_serves(server: Bytes) -> None:
    """It logs in on first use, with the credentials as UTF-8, and once for all that follows."""
    server.answers["/v1/health"] = [document({"health": {"gateway_status": "connected"}})]
    webapp = reached(server.url)
    webapp.health()
    webapp.health()
    assert server.count("POST /v1/users/login") == 1
    assert b"Authorization: Basic b3BlcmF0b3I6cMOkNTUtV29yZC03N2Mx\r\n" in server.heads[0]
    assert server.bodies[0] == b""


def test_an_expired_token_is_renewed_once(server: Bytes) -> None:
    """A start refused for its token is made again after one new login, with the new token."""
    server.answers["/v1/users/login"] = [logged_in("first"), logged_in("second")]
    server.answers[GC] = [refusal(1024, 401), document(PROCESSING)]
    assert reached(server.url).start(Garbage.MESSAGES) == ("",)
    assert server.count("POST /v1/users/login") == 2
    assert [head for head in server.heads if b"Bearer first" in head] == [server.heads[1]]
    assert b"Bearer second" in server.heads[3]


def test_a_token_that_expires_at_once(server: Bytes) -> None:
    """A new token that is refused too ends it: two logins, two requests, one sentence, nothing begun."""
    server.answers[GC] = [refusal(1024, 401)]
    error = failure(lambda: reached(server.url).start(Garbage.MESSAGES))
    assert str(error).startswith("The Webapp refused a token that it had given a moment before")
    assert (error.started, error.code) == (False, 1024)
    assert (server.count("POST"), server.count("PUT")) == (2, 2)


@pytest.mark.parametrize(
    ("script", "given", "sentence"),
    [
        (refusal(1024, 401), PASSWORD, "does not accept the credentials"),
        (answer(401, b""), PASSWORD, "does not accept the credentials"),
        (refusal(1005, 403), PASSWORD, "denies the login (1005)"),
        (refusal(1008, 400), PASSWORD, "wants its default password changed first"),
        (refusal(1005, 403), "secret", "wants its default password changed first"),
        (refusal(1015, 429), PASSWORD, "too many requests"),
        (document({"users": []}), PASSWORD, "(users[0])"),
        (logged_in("a\r\nb"), PASSWORD, "(users[0].token)"),
    ],
)
def test_not_let_in(server: Bytes, script: Script, given: str, sentence: str) -> None:
    """A refused login tells a wrong password from a default one that stays in force; a new one is never sent."""
    server.answers["/v1/users/login"] = [script]
    webapp = Webapp(WebappConfig(server.url, "admin", Secret(given)), timeout_s=10, attempts=2)
    error = failure(webapp.login)
    assert sentence in str(error)
    assert secrets_in(error) == []
    assert not any(server.bodies)


# --- what is asked for -----------------------------------------------------------------------


def test_several_coreapps(server: Bytes) -> None:
    """With several Coreapps health, statistics, support and a start are told node by node."""
    gauge = {"data": [{"labels": {"type": "a"}, "value": 2}, {"value": 40}], "type": "gauge"}
    server.answers |= {
        GC: [
            document(
                {
                    "services": {
                        "message": {
                            "gc": {
                                "b:2": PROCESSING["services"]["message"]["gc"],
                                "a:1": {"status": "processing"},
                            }
                        }
                    }
                }
            )
        ],
        "/v1/health": [
            document(
                {
                    "health": {
                        "b:2": {"gateway_status": "connected", "role": "coreapp"},
                        "m:0": {"errors": [{"code": 1}]},
                    }
                }
            )
        ],
        "/v1/stats/db": [
            document({"stats": {"db": {"m:0": {"db_messages": gauge, "db_new": "?"}, "a:1": {}}}})
        ],
        "/v1/support": [
            document(
                {
                    "support": {
                        "a:1": {
                            "db_engine": "PGSQL",
                            "debug_info": SAID,
                            "schema": {"message": 7, "axolotl": 1},
                        }
                    }
                }
            )
        ],
    }
    webapp = reached(server.url)
    assert webapp.start(Garbage.MESSAGES) == ("a:1", "b:2")
    assert webapp.health() == (ClientNode("b:2", "connected", "coreapp"), ClientNode("m:0", ""))
    assert webapp.statistics() == Statistics(42, None, None, None, None)
    assert webapp.support() == (ClientSupport("a:1", "PGSQL", (("axolotl", 1), ("message", 7))),)
    assert webapp.version == "v2.45.1"


def test_a_start_on_some_only(server: Bytes) -> None:
    """A start that one of two Coreapps did not take is an error that says so, and that the other began."""
    nodes = {"a:1": {"status": "processing"}, "b:2": {"errors": [{"code": 1014}]}}
    server.answers[GC] = [document({"services": {"message": {"gc": nodes}}})]
    error = failure(lambda: reached(server.url).start(Garbage.MESSAGES))
    assert "1 of 2 Coreapps" in str(error)
    assert error.started


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({}, ()),
        ({"pass_through": False, "wa_id": SAID}, (("pass_through", False),)),
        (
            {"garbagecollector_enable": {"media": True, "messages": False}},
            (("garbagecollector_enable.media", True), ("garbagecollector_enable.messages", False)),
        ),
        ({"db_garbagecollector_enable": True}, (("db_garbagecollector_enable", True),)),
    ],
)
def test_settings_that_matter(server: Bytes, settings: object, seen: object) -> None:
    """Of the settings those are shown that collection depends on, and only those that are there."""
    server.answers["/v1/settings/application"] = [document({"settings": {"application": settings}})]
    assert reached(server.url).settings_seen() == seen


@pytest.mark.parametrize("value", ["true", 1, [], {"media": "yes"}])
def test_settings_of_another_shape(server: Bytes, value: object) -> None:
    """A setting that is not true or false is refused, and not taken for either."""
    name = "garbagecollector_enable" if isinstance(value, dict) else "pass_through"
    settings = {"settings": {"application": {name: value}}}
    server.answers["/v1/settings/application"] = [document(settings)]
    assert f"({name}" in str(failure(reached(server.url).settings_seen))


@pytest.mark.parametrize(
    "health", [{"a b": {}}, {"a": {"gateway_status": f"{SAID}!"}}, {"gateway_status": 7}, []]
)
def test_names_that_are_none(server: Bytes, health: object) -> None:
    """What stands where a name or a state should be does not reach the evidence, nor the error."""
    server.answers["/v1/health"] = [document({"health": health})]
    error = failure(reached(server.url).health)
    assert "the shape of its API" in str(error)
    assert secrets_in(error) == []


def test_a_message_is_marked_read(server: Bytes) -> None:
    """An id goes percent-encoded into the path; one that is gone is told, and a lost answer asked for again."""
    path = "/v1/messages/gBGBICVVAUP%2FAgkwMTIzNDU2%2BNzg%3D"
    server.answers[path] = [raw(), document({"meta": {}}), refusal(1006, 404)]
    webapp = reached(server.url)
    assert webapp.mark_read(MESSAGE_ID)
    assert not webapp.mark_read(MESSAGE_ID)
    assert server.count(f"PUT {path}") == 3
    assert server.bodies[-1] == b'{"status": "read"}'


def test_a_page_for_404_is_no_gone_message(server: Bytes) -> None:
    """A 404 that is not the API's own says nothing about the message."""
    server.answers["/v1/messages/x"] = [answer(404, b"<html>")]
    assert "A page came" in str(failure(lambda: reached(server.url).mark_read("x")))


@pytest.mark.parametrize("name", ["", "..", ".", "a b", "a\r\nb", "ü", "x" * 2000])
def test_what_is_no_message_id(server: Bytes, name: str) -> None:
    """What cannot be an id is never asked for: a path could be another one."""
    failure(lambda: reached(server.url).mark_read(name))
    assert server.asked == []


@pytest.mark.parametrize("how", [raw(), refusal(1016, 503), answer(500, b""), answer(200, b"<")])
def test_a_message_id_is_never_told(
    server: Bytes, how: Script, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an exception nor a log at the most talkative level holds a message's id, its path, or a secret."""
    caplog.set_level(logging.DEBUG)
    path = "/v1/messages/gBGBICVVAUP%2FAgkwMTIzNDU2%2BNzg%3D"
    server.answers[path] = [how]
    error = failure(lambda: reached(server.url).mark_read(MESSAGE_ID))
    assert secrets_in(error) == []
    logged = " ".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert not any(part in logged for part in ("gBGBICVVAUP", PASSWORD, TOKEN, SAID))


def test_a_log_would_tell(server: Bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Requests as it comes does write the path into the log, also while our own client exists."""
    caplog.set_level(logging.DEBUG)
    reached(server.url)
    requests.get(f"{server.url}/v1/messages/gBGBICVVAUP", timeout=5)
    assert "gBGBICVVAUP" in caplog.text


def test_a_webhook_is_set_and_read(server: Bytes) -> None:
    """A disposable client's webhook can be set, and read back."""
    settings = {"settings": {"application": {"webhooks": {"url": "http://127.0.0.1:9/"}}}}
    server.answers["/v1/settings/application"] = [document(settings)]
    webapp = reached(server.url)
    webapp.set_webhook("http://127.0.0.1:9/")
    assert server.bodies[-1] == b'{"webhooks": {"url": "http://127.0.0.1:9/"}}'
    assert webapp.webhook() == "http://127.0.0.1:9/"
