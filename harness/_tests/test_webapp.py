"""The stand-in answers as the client's API is published: shapes, codes and statuses by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from harness.config import RunConfig, WebappConfig
from harness.maintenance.webapp_api import Webapp
from harness.model import Secret, SeedRow
from harness.population.people import person
from harness.stores import StoreSet
from harness.webapp import StandIn, StandInConfig, answers, standing

from .webapp_bed import NOWHERE, Caller, calling, message

META = {"api_status": "stable", "version": "v2.45.1"}
NEW = "Better-than-1"
OFF = {"media": True, "messages": False}
MIDDLE, OBJECT = "2.36.0", "2.39.1"


@pytest.fixture
def caller() -> Iterator[Caller]:
    """Somebody logged in to a stand-in whose stores nobody reaches."""
    with standing(StandInConfig(run_config=NOWHERE)) as stand_in, calling(stand_in) as made:
        yield made


def application(caller: Caller) -> dict[str, Any]:
    """Return the settings that the API shows."""
    answer = caller.ask("GET", "settings/application")
    assert set(answer.json()) == {"settings", "meta"}
    shown: dict[str, Any] = answer.json()["settings"]["application"]
    return shown


def settings_of(version: str, **options: Any) -> StandIn:
    """Return a client of a version that answers nobody yet."""
    return StandIn(StandInConfig(run_config=NOWHERE, version=version, **options))


def test_login_gives_a_token_for_seven_days(caller: Caller) -> None:
    """A login answers with one user, a token, and when it expires."""
    answer = caller.log_in()
    assert answer.status_code == 200
    assert answer.json().keys() == {"users", "meta"}
    assert answer.json()["meta"] == META
    (user,) = answer.json()["users"]
    assert user.keys() == {"token", "expires_after"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", user["expires_after"])
    left = datetime.fromisoformat(user["expires_after"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


@pytest.mark.parametrize("auth", [("admin", "wrong"), ("nobody", "Stand-in-1"), None])
def test_wrong_credentials_give_no_token(caller: Caller, auth: tuple[str, str] | None) -> None:
    """A login with a wrong name, a wrong password or none is refused with 401."""
    answer = caller.log_in(auth=auth)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == 1024
    assert "users" not in answer.json()


def test_the_first_login_has_to_bring_a_new_password() -> None:
    """Until a new password is sent no token is given, and then the old one serves no more."""
    with (
        standing(StandInConfig(run_config=NOWHERE, first_login=True)) as stand_in,
        requests.Session() as session,
    ):
        session.trust_env = False
        caller = Caller(stand_in, session)
        old = (stand_in.username, stand_in.password)
        assert caller.log_in().status_code == 403
        assert caller.log_in(json={"new_password": "weak"}).status_code == 400
        assert caller.log_in(json={"new_password": NEW}).status_code == 200
        assert stand_in.password == NEW
        assert caller.log_in().status_code == 200
        assert caller.log_in(auth=old).status_code == 401


@pytest.mark.parametrize(
    ("password", "status"),
    [
        (NEW, 200),
        ("Aa1-" + "x" * 60, 200),
        ("Aa1-" + "x" * 61, 400),
        ("Aa1-xxx", 400),
        ("better-than-1", 400),
        ("BETTER-THAN-1", 400),
        ("Better-than-x", 400),
        ("BetterThan1", 400),
        (7, 400),
    ],
)
def test_a_new_password_is_strong(caller: Caller, password: object, status: int) -> None:
    """A new password has 8 to 64 characters: a digit, a capital, a small one and a special one."""
    assert caller.log_in(json={"new_password": password}).status_code == status


@pytest.mark.parametrize("token", ["", "Bearer x", "Bearer ", "Basic YTpi"])
def test_nothing_is_told_without_a_token(caller: Caller, token: str) -> None:
    """Without a token, or with one that was never given out, the answer is 401."""
    headers = {"Authorization": token}
    for method, path in (("GET", "health"), ("PUT", "services/message/gc"), ("PUT", "messages/x")):
        assert caller.error(method, path, headers=headers) == (401, 1024)


def test_tokens_end(caller: Caller) -> None:
    """A token serves until it expires or its owner logs out."""
    assert caller.ask("GET", "health").ok
    caller.stand_in.accounts.expire()
    assert caller.error("GET", "health") == (401, 1024)
    caller.log_in()
    assert caller.ask("POST", "users/logout").status_code == 200
    assert caller.error("GET", "health") == (401, 1024)


def test_unknown_paths_are_not_found(caller: Caller) -> None:
    """A path that the API does not have is answered with 404 and 1006, in JSON."""
    assert caller.error("GET", "services/nothing") == (404, 1006)
    assert caller.ask("GET", "users/login").status_code == 405


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (1005, 403),
        (1006, 404),
        (1008, 400),
        (1009, 400),
        (1010, 400),
        (1011, 500),
        (1014, 500),
        (1015, 429),
        (1016, 503),
        (1023, 500),
        (1024, 401),
    ],
)
def test_each_code_has_its_status(code: int, status: int) -> None:
    """Each documented code goes with its HTTP status, in a list of errors, beside what each answer has."""
    refused = answers.RefusedError(code, "told")
    body = answers.refusal("2.45.1", refused)
    assert refused.status == status
    assert body.keys() == {"errors", "meta"}
    assert body["meta"] == META
    (error,) = body["errors"]
    assert (error["code"], error["details"]) == (code, "told")
    assert error["title"]


def test_no_other_codes_are_given() -> None:
    """The stand-in knows the documented codes, and invents none."""
    assert len(answers.STATUSES) == 11


def test_what_the_first_login_says(caller: Caller) -> None:
    """A login with a strong new password answers as every login does."""
    answer = caller.log_in(json={"new_password": NEW})
    assert answer.json().keys() == {"users", "meta"}
    assert answer.json()["users"][0].keys() == {"token", "expires_after"}


def test_a_store_out_of_reach_is_an_internal_error(caller: Caller) -> None:
    """Statistics of stores that nobody reaches are refused with 500 and 1014."""
    assert caller.error("GET", "stats/db") == (500, 1014)


def test_health_of_a_single_client(caller: Caller) -> None:
    """Health tells the gateway's state."""
    answer = {"health": {"gateway_status": "connected"}, "meta": META}
    assert caller.ask("GET", "health").json() == answer


def test_health_in_multiconnect() -> None:
    """In multiconnect health is told for each container, with its role."""
    with (
        standing(StandInConfig(run_config=NOWHERE, nodes=2)) as stand_in,
        calling(stand_in) as caller,
    ):
        health = caller.ask("GET", "health").json()["health"]
    assert all(re.fullmatch(r"[a-z]+\d:[0-9a-f]{12}", node) for node in health)
    assert {node.split(":")[0]: told["role"] for node, told in health.items()} == {
        "master1": "primary_master",
        "master2": "secondary_master",
        "wacore1": "coreapp",
        "wacore2": "coreapp",
    }
    assert {told["gateway_status"] for told in health.values()} == {"connected"}


def test_patch_leaves_absent_fields_alone(caller: Caller) -> None:
    """PATCH changes what it names, also inside an object, and nothing else."""
    before = application(caller)
    url = "http://127.0.0.1:9/"
    assert caller.ask("PATCH", "settings/application", json={"webhooks": {"url": url}}).ok
    after = application(caller)
    assert after["webhooks"] == {**before["webhooks"], "url": url}
    assert len(before["webhooks"]) > 1
    del before["webhooks"], after["webhooks"]
    assert after == before


def test_delete_brings_the_defaults_back(caller: Caller) -> None:
    """DELETE undoes every PATCH."""
    before = application(caller)
    assert caller.ask("PATCH", "settings/application", json={"sent_status": True}).ok
    assert application(caller) != before
    assert caller.ask("DELETE", "settings/application").ok
    assert application(caller) == before


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"no_such_setting": 1}, 1010),
        ({"webhooks": {"no_such_setting": 1}}, 1010),
        ({"sent_status": "yes"}, 1009),
        ({"sent_status": 1}, 1009),
        ([], 1009),
        ({"sent_status": True, "pass_through": True}, 1009),
    ],
)
def test_what_a_patch_cannot_have_changes_nothing(caller: Caller, patch: object, code: int) -> None:
    """A setting or a value that cannot be taken is refused with 400, and nothing is changed."""
    before = application(caller)
    assert caller.error("PATCH", "settings/application", json=patch) == (400, code)
    assert application(caller) == before


def test_a_body_that_is_no_json_is_refused(caller: Caller) -> None:
    """A body that cannot be read is refused with 400."""
    assert caller.error("PATCH", "settings/application", data="{") == (400, 1009)


@pytest.mark.parametrize(
    ("version", "passes", "switches"),
    [
        ("2.27.9", True, set()),
        ("2.29.1", False, {"db_garbagecollector_enable"}),
        (MIDDLE, False, {"db_garbagecollector_enable"}),
        (OBJECT, False, {"garbagecollector_enable"}),
        ("v2.45.1", False, {"garbagecollector_enable"}),
    ],
)
def test_settings_come_with_versions(version: str, passes: bool, switches: set[str]) -> None:  # noqa: FBT001
    """Pass-through is on before 2.29.1 and off from there; the collector's switch comes then."""
    shown = settings_of(version).settings.current
    assert shown["pass_through"] is passes
    assert {name for name in shown if "garbagecollector" in name} == switches


def test_from_which_version_the_object_stands_is_a_parameter() -> None:
    """The version from which one switch became two was not found, and can be set."""
    shown = settings_of(MIDDLE, object_from="2.30").settings.current
    assert shown["garbagecollector_enable"].keys() == {"media", "messages"}


@pytest.mark.parametrize(("version", "status"), [("2.34.9", 200), ("2.35.0", 400)])
def test_pass_through_cannot_be_enabled_from_2_35(version: str, status: int) -> None:
    """PATCH turns pass-through on before 2.35, and is refused from there."""
    with (
        standing(StandInConfig(run_config=NOWHERE, version=version)) as stand_in,
        calling(stand_in) as caller,
    ):
        patch = {"pass_through": True}
        assert caller.ask("PATCH", "settings/application", json=patch).status_code == status
        assert caller.ask("PATCH", "settings/application", json={"pass_through": False}).ok


def test_switches_take_a_restart(caller: Caller) -> None:
    """A switch that was changed is shown at once, and in force after a restart of the Coreapps."""
    stand_in = caller.stand_in
    patch = {"garbagecollector_enable": {"messages": False}}
    pending = [stand_in.restart_pending]
    assert caller.ask("PATCH", "settings/application", json=patch).ok
    pending.append(stand_in.restart_pending)
    assert application(caller)["garbagecollector_enable"] == OFF
    assert stand_in.settings.effective["garbagecollector_enable"] == {**OFF, "messages": True}
    stand_in.restart_coreapps()
    pending.append(stand_in.restart_pending)
    assert stand_in.settings.effective["garbagecollector_enable"] == OFF
    assert pending == [False, True, False]


@pytest.mark.parametrize(
    ("version", "name", "value"),
    [
        ("2.27.9", "pass_through", False),
        ("2.29.1", "db_garbagecollector_enable", False),
        (OBJECT, "garbagecollector_enable", {"media": False, "messages": False}),
    ],
)
def test_each_switch_takes_a_restart(version: str, name: str, value: object) -> None:
    """Pass-through and the collector's switch, under each of its names, wait for a restart."""
    config = StandInConfig(run_config=NOWHERE, version=version)
    with standing(config) as stand_in, calling(stand_in) as caller:
        before = stand_in.settings.effective[name]
        assert before != value
        assert caller.ask("PATCH", "settings/application", json={name: value}).ok
        assert application(caller)[name] == value
        assert stand_in.settings.effective[name] == before
        assert stand_in.restart_pending
        stand_in.restart_coreapps()
        assert stand_in.settings.effective[name] == value


def test_where_notifications_go_needs_no_restart(caller: Caller) -> None:
    """Another webhook is in force at once."""
    caller.listen("http://127.0.0.1:9/")
    assert not caller.stand_in.restart_pending
    assert caller.stand_in.settings.webhook == "http://127.0.0.1:9/"


@pytest.mark.parametrize("passes", [True, False])
def test_the_upgrade_to_2_29_1_turns_the_collector_on_with_pass_through(passes: bool) -> None:  # noqa: FBT001
    """Who upgrades with pass-through on has the automatic collector on, who has it off does not."""
    stand_in = settings_of("2.27.9", settings={"pass_through": passes})
    stand_in.upgrade("2.29.1")
    assert stand_in.settings.current["db_garbagecollector_enable"] is passes
    assert stand_in.version == "2.29.1"


def test_statistics_count_real_rows(store_set: StoreSet, run_config: RunConfig) -> None:
    """Statistics tell how many rows there are, by kind where they have one."""
    store_set.insert([message(1), message(2), message(3, media_wa_type="1")])
    jid = person(1).jid
    receipt = {"key_remote_jid": jid, "key_id": "x"}
    store_set.insert(
        [
            SeedRow("contactStore", "wa_contacts", {"jid": jid, "is_whatsapp_user": 1}),
            SeedRow("contactStore", "wa_contacts", {"jid": person(2).jid, "is_whatsapp_user": 0}),
            SeedRow("messageStore", "messages_receipt_log", {**receipt}),
            SeedRow("callbackStore", "queue", {"key_remote_jid": jid}),
            SeedRow("messageStore", "messages_pending_actions", {**receipt}),
            SeedRow("messageStore", "messages_pending_actions", {**receipt}),
        ]
    )
    with standing(StandInConfig(run_config=run_config)) as stand_in, calling(stand_in) as caller:
        answer = caller.ask("GET", "stats/db").json()
    counted = answer["stats"]["db"]
    data = {name: told["data"] for name, told in counted.items()}
    assert answer.keys() == {"stats", "meta"}
    assert all(told.keys() == {"data", "description", "type"} for told in counted.values())
    assert sorted(data.pop("db_messages"), key=repr) == [
        {"labels": {"type": "image"}, "value": 1},
        {"labels": {"type": "text"}, "value": 2},
    ]
    assert data == {
        "db_contacts": [
            {"labels": {"type": "whatsapp_user"}, "value": 1},
            {"labels": {"type": "non_whatsapp_user"}, "value": 1},
        ],
        "db_message_receipts": [{"value": 1}],
        "db_pending_callbacks": [{"value": 1}],
        "db_pending_messages": [{"value": 2}],
    }


def test_statistics_in_multiconnect_are_the_primary_masters(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """In multiconnect the primary master tells the statistics, and no other container."""
    store_set.insert([message(1)])
    config = StandInConfig(run_config=run_config, nodes=3)
    with standing(config) as stand_in, calling(stand_in) as caller:
        stats = caller.ask("GET", "stats/db").json()["stats"]
    ((node, counted),) = stats["db"].items()
    assert node.startswith("master1:")
    assert counted["db_messages"]["data"] == [{"labels": {"type": "text"}, "value": 1}]


SCHEMAS = {"axolotl", "callback", "cluster", "config", "contact", "jobqueue", "message"}


def test_support_tells_of_the_stores(store_set: StoreSet, run_config: RunConfig) -> None:
    """Support names the engine and the version of each store's schema, by the store's short name."""
    del store_set
    with standing(StandInConfig(run_config=run_config)) as stand_in, calling(stand_in) as caller:
        answer = caller.ask("GET", "support").json()
    told = answer["support"]
    assert answer.keys() == {"support", "meta"}
    assert told["db_engine"] == {"mysql": "MYSQL", "postgres": "PGSQL"}[run_config.engine.value]
    assert told["multi_connect"] is False
    assert told["schema"].keys() == SCHEMAS
    assert all(type(version) is int for version in told["schema"].values())


def test_support_in_multiconnect_is_told_for_each_container(
    store_set: StoreSet, run_config: RunConfig
) -> None:
    """In multiconnect each container, masters too, tells for itself."""
    del store_set
    with (
        standing(StandInConfig(run_config=run_config, nodes=2)) as stand_in,
        calling(stand_in) as caller,
    ):
        told = caller.ask("GET", "support").json()["support"]
    assert [node.partition(":")[0] for node in sorted(told)] == [
        "master1",
        "master2",
        "wacore1",
        "wacore2",
    ]
    assert {one["multi_connect"] for one in told.values()} == {True}
    assert all(one["schema"].keys() == SCHEMAS for one in told.values())


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_client_reads_all_that_is_told(
    store_set: StoreSet, run_config: RunConfig, nodes: int
) -> None:
    """The harness's own client, which shares no shape with the stand-in, reads each of its answers."""
    store_set.insert([message(1)])
    with standing(StandInConfig(run_config=run_config, nodes=nodes)) as stand_in:
        reached = WebappConfig(stand_in.url, stand_in.username, Secret(stand_in.password))
        with Webapp(reached) as webapp:
            seen, told = webapp.seen("one"), webapp.support()
    assert (seen.version, seen.messages) == ("v2.45.1", 1)
    assert (seen.pending_callbacks, seen.pending_messages) == (0, 0)
    assert len(seen.nodes) == len(told) == (1 if nodes == 1 else nodes + 2)
    assert {name for name, _ in seen.settings} == {
        "pass_through",
        "garbagecollector_enable.media",
        "garbagecollector_enable.messages",
    }
    assert all({name for name, _ in one.schemas} == SCHEMAS for one in told)


def test_the_access_log_has_message_ids(
    store_set: StoreSet, run_config: RunConfig, tmp_path: Path
) -> None:
    """Each request is a line of the access log, with its path as it was sent."""
    store_set.insert([message(1, key_id="gBGG/x+y=")])
    log = tmp_path / "access.log"
    with (
        standing(StandInConfig(run_config=run_config, access_log=log)) as stand_in,
        calling(stand_in) as caller,
    ):
        answer = caller.ask("PUT", "messages/gBGG%2Fx%2By%3D", json={"status": "read"})
        assert answer.status_code == 200
        assert answer.json() == {"meta": META}
    assert '"PUT /v1/messages/gBGG%2Fx%2By%3D HTTP/1.1" 200' in log.read_text("latin-1")


def test_a_message_is_marked_read(store_set: StoreSet, run_config: RunConfig) -> None:
    """Marking a message read sets its time of reading, and no other message's."""
    rows = [message(1), message(2), message(3, key_from_me=1)]
    store_set.insert(rows)
    with standing(StandInConfig(run_config=run_config)) as stand_in, calling(stand_in) as caller:
        read = {"status": "read"}
        assert caller.ask("PUT", "messages/message-1", json=read).status_code == 200
        assert caller.error("PUT", "messages/message-2", json={"status": "seen"}) == (400, 1009)
        assert caller.error("PUT", "messages/message-3", json=read) == (404, 1006)
        assert caller.error("PUT", "messages/MESSAGE-2", json=read) == (404, 1006)
    sql = "SELECT key_id FROM messages WHERE read_device_timestamp > 0"
    assert store_set.query("messageStore", sql) == [("message-1",)]
