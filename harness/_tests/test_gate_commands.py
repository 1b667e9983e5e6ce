"""`pytest --upgrade-gate` as people run it, over real stores and a client that stands in."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import history
from harness.config import RunConfig
from harness.errors import MaintenanceError
from harness.judge import judge
from harness.maintenance import gc_policy
from harness.manifest import Manifest
from harness.model import EngineKind, Secret, Verdict
from harness.stores import connect, ddl
from harness.webapp import Certificate, Fault

from .client_bed import (
    PASSWORD,
    ClientBed,
    history_of,
    next_command,
    policy_text,
    sent,
    standing_over,
    until,
)
from .live_bed import SCREEN_COLUMNS, Bed, Desk, Done

PREFIX = "Gate_"


@pytest.fixture(scope="module")
def made(
    reached: Mapping[EngineKind, RunConfig],
    kind: EngineKind,
    described: Manifest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ClientBed]:
    """A store set of these tests' own, and a client over it."""
    config = replace(reached[kind], prefix=PREFIX)
    store_set = connect(config, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, kind))
    bed = Bed(config, store_set, Desk(tmp_path_factory.mktemp("desk")))
    with standing_over(bed) as stand_in:
        yield ClientBed(bed, stand_in)
    store_set.drop()
    store_set.close()


@pytest.fixture
def client(made: ClientBed, tmp_path: Path) -> Iterator[ClientBed]:
    """The client over the showcase, and a desk in a folder of the test's own."""
    made.bed.desk = Desk(tmp_path, secrets={PASSWORD})
    made.bed.seed()
    made.stand_in.requests.clear()
    yield made
    made.stand_in.faults = set()
    made.stand_in.wait_idle()
    made.bed.forget_accounts()


on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)


def messages(client: ClientBed) -> int:
    """Count the messages by a plain client."""
    ((count,),) = client.bed.sql("SELECT count(*) FROM messages")
    return int(count)


# --- the three answers ----------------------------------------------------------------------


def test_a_store_set_that_is_fit_is_ready_and_left_alone(client: ClientBed, tmp_path: Path) -> None:
    """A small, quiet and well set up store set is READY, exit 0, and not a row of it is changed."""
    before = client.bed.dump()
    logs = tmp_path / "log"
    logs.mkdir()
    (logs / "web.log").write_bytes(b"a line\n")
    given = ("--from-version=2.45.1", "--to-version=2.53.1", "--operator=Ops", f"--log-dir={logs}")
    done = client.gate(*given)
    assert done.status == 0, done.shown
    assert done.first == "READY (upgrade gate); nothing was changed; exit 0"
    assert client.bed.dump() == before
    assert client.asked() == 0
    assert {one.method for one in client.stand_in.requests} <= {"GET", "POST"}
    verdict = done.verdict
    assert (verdict["verdict"], verdict["mode"], verdict["rows"]) == ("CLEAR", "gate", "untouched")
    assert verdict["operator"] == "Ops"
    assert not verdict["collections"]
    assert (done.session / "gate.json").stat().st_mode & 0o077 == 0
    assert "messageStore.messages" in done.shown
    assert "garbagecollector_enable.messages on" in done.said
    assert ": 1 log, 0 archives, " in done.said
    assert "limits the site's own, of " in done.said


def test_a_large_one_is_made_ready_by_its_next_command(client: ClientBed) -> None:
    """Large tables are NOT READY, exit 1; the next command collects, measures again, and is READY."""
    client.bed.store_set.insert(sent(40, delivered=True, ago_s=7200))
    done = client.gate(client.policy(large_rows=30))
    assert done.status == 1, done.shown
    assert done.first.startswith("NOT READY (upgrade gate); nothing was changed")
    assert "run garbage collection before the upgrade (--run-gc)" in done.said
    assert next_command(done).endswith(" --run-gc")
    assert client.asked() == 0
    collected = client.again(done)
    assert collected.status == 0, collected.shown
    assert "the client was asked to collect garbage" in collected.first
    assert "waiting for the client to collect garbage" in collected.said
    assert client.asked() == 1
    assert messages(client) == 0
    (told,) = collected.verdict["collections"]
    assert (told["garbage"], told["complete"], told["confirmed"]) == ("messages", True, False)
    weighed = [one["moment"] for one in history_of(collected) if one["record"] == "Weighed"]
    assert weighed == ["before", "collected"]


@on_postgres
def test_what_was_recorded_can_be_judged_again(client: ClientBed) -> None:
    """The history on the disk leads to the same verdict and findings, without any store."""
    client.bed.store_set.insert(sent(40, ago_s=7200))
    done = client.gate(client.policy(large_rows=30), "--from-version=2.44", "--run-gc")
    assert done.status == 1, done.shown
    (path,) = done.session.glob("runs/*/history.jsonl")
    again = judge(history.read(path))
    assert again.verdict is Verdict.TRACE
    assert [one.why for one in again.findings] == [one["why"] for one in done.verdict["findings"]]


@on_mysql
def test_without_the_api_it_says_what_it_did_not_see(client: ClientBed) -> None:
    """Without --webapp-url the stores alone are looked at, and the screen and verdict say so."""
    done = client.gate(api=False, around={})
    assert done.status == 0, done.shown
    assert "not seen" in done.said
    assert any("--webapp-url" in one for one in done.verdict["scope"]["not_searched"])


# --- when garbage may be collected ----------------------------------------------------------


def test_at_a_busy_time_nothing_is_collected(client: ClientBed) -> None:
    """At more messages a second than the site calls quiet --run-gc is refused; it can be overridden."""
    client.bed.store_set.insert(sent(40, delivered=True))
    before = client.bed.dump()
    policy = client.policy(quiet_per_s=0.01)
    done = client.gate(policy, "--run-gc", "--mark-read")
    assert done.status == 4, done.shown
    assert done.first == "REFUSED (upgrade gate); nothing was changed; exit 4"
    assert "--gc-any-time" in done.said
    assert client.bed.dump() == before
    assert client.asked() == 0
    assert client.gate(policy, "--run-gc", "--gc-any-time").status == 0
    assert client.asked() == 1


@on_mysql
def test_within_a_day_nothing_is_collected_again(client: ClientBed) -> None:
    """A second collection within 24 hours is refused by the first one's evidence; it can be overridden."""
    reports = client.bed.desk.folder / "kept"
    assert client.gate("--run-gc", reports=reports).status == 0
    done = client.gate("--run-gc", reports=reports)
    assert done.status == 4, done.shown
    assert "24 hours" in done.said
    assert client.asked() == 1
    assert client.gate("--run-gc", "--gc-any-time", reports=reports).status == 0
    assert client.asked() == 2


@on_mysql
def test_messages_are_marked_read_before(client: ClientBed) -> None:
    """With --mark-read what was unread is marked first, which lets the client collect it."""
    young = [replace(one, values={**one.values, "key_from_me": 0}) for one in sent(12, ago_s=7200)]
    client.bed.store_set.insert(young)
    assert client.gate("--run-gc").status == 0
    assert messages(client) == 12
    done = client.gate("--run-gc", "--mark-read")
    assert done.status == 0, done.shown
    assert "12 messages marked read" in done.said
    assert messages(client) == 0


# --- what an operator must be shown ---------------------------------------------------------

FAULTS = {
    Fault.REFUSES_TOKEN_ALWAYS: "refused a token that it had given a moment before",
    Fault.HTML: "A page came instead of JSON",
    Fault.WRONG_SHAPE: "does not have the shape of its API",
}


def unknown(done: Done, sentence: str) -> None:
    """See that it ended with one sentence, and without a conclusion."""
    assert done.status == 10, done.shown
    assert sentence in done.said, done.shown
    assert done.first.startswith("UNKNOWN (upgrade gate); ")
    assert "Traceback" not in done.shown
    reasons = [one["why"] for one in done.verdict["findings"]]
    assert len(reasons) == 1, reasons
    assert next_command(done).startswith("pytest --upgrade-gate ")


@on_postgres
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_of_the_api_is_one_sentence(client: ClientBed, fault: Fault) -> None:
    """Whatever the Webapp answers instead of its API, the gate is UNKNOWN with one sentence."""
    with client.fault(fault):
        done = client.gate("--run-gc")
    unknown(done, FAULTS[fault])
    assert done.first.split("; ")[1] == "nothing was changed"
    assert client.asked() == 0


@on_mysql
def test_a_token_that_expires_is_no_matter(client: ClientBed) -> None:
    """Where each token serves once it is fetched anew, and the gate goes on."""
    with client.fault(Fault.TOKEN_EXPIRES):
        done = client.gate("--run-gc")
    assert done.status == 0, done.shown


@on_mysql
def test_a_webapp_that_is_down_is_one_sentence(client: ClientBed) -> None:
    """Where nothing listens the gate is UNKNOWN, says so, and still shows the tables."""
    done = client.gate("--webapp-url=http://127.0.0.1:1", api=False)
    unknown(done, "Nothing listens where the Webapp should be")
    assert "messageStore.messages" in done.shown


@on_mysql
def test_wrong_credentials_are_one_sentence(client: ClientBed) -> None:
    """A wrong password is told as such, and neither it nor the right one is shown."""
    wrong = "Wrong-secret-88"
    client.bed.desk.secrets.add(wrong)
    done = client.gate(around={**client.around, "WA_WEB_PASSWORD": wrong})
    assert done.status == 10, done.shown
    assert "mend WA_WEB_USERNAME and WA_WEB_PASSWORD" in done.said


CERTIFICATES = {
    Certificate.EXPIRED: "has expired",
    Certificate.OTHER_HOST: "is for another host",
    Certificate.SELF_SIGNED: "from an issuer that is not known here",
}


@on_mysql
@pytest.mark.parametrize("bad", CERTIFICATES, ids=str)
def test_a_bad_certificate_is_one_sentence(client: ClientBed, bad: Certificate) -> None:
    """A certificate that cannot be relied on ends the gate before a password is sent."""
    with standing_over(client.bed, tls=bad) as stand_in:
        other = ClientBed(client.bed, stand_in)
        unknown(other.gate(f"--webapp-ca={stand_in.ca}"), CERTIFICATES[bad])
        assert stand_in.requests == []


@on_postgres
def test_a_good_certificate_is_taken_with_its_authority_only(client: ClientBed) -> None:
    """With its CA a certificate of one's own is relied on, and without it is not."""
    with standing_over(client.bed, tls=Certificate.GOOD) as stand_in:
        other = ClientBed(client.bed, stand_in)
        assert other.gate(f"--webapp-ca={stand_in.ca}").status == 0
        unknown(other.gate(), "give the issuer's certificate")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(EngineKind.MYSQL, Fault.NEVER_COMPLETES), (EngineKind.POSTGRES, Fault.NO_COREAPP)],
    indirect=["kind"],
    ids=str,
    scope="session",
)
def test_a_collection_without_an_end_is_unknown(client: ClientBed, fault: Fault) -> None:
    """Where the end of a collection is not seen the gate is UNKNOWN, and told how to ask again."""
    with client.fault(fault):
        done = client.gate("--run-gc")
    begun = fault is not Fault.NO_COREAPP
    unknown(done, "it is not known to have ended" if begun else "it was not begun")
    assert done.first.split("; ")[1] == "the client was asked to collect garbage"
    assert next_command(done).endswith(" --run-gc")
    (told,) = done.verdict["collections"]
    assert told["complete"] is False
    again = client.again(done)
    assert again.status == 0, again.shown


# --- what is refused before anything --------------------------------------------------------

REFUSED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "version": (("--from-version=abc",), "--from-version is no version"),
    "later version": (("--to-version=2.x",), "--to-version is no version"),
    "no CA": (("--webapp-ca=/nowhere/ca.pem",), "--webapp-ca names no readable file"),
    "in the clear": (("--webapp-url=http://webapp.example.org",), "in the clear"),
    "credentials": (("--webapp-url=https://me:Secret-in-url-1@localhost",), "WA_WEB_PASSWORD"),
    "path": (("--webapp-url=https://localhost/a/b",), "has a path"),
    "no scheme": (("--webapp-url=localhost:9090",), "not a URL"),
    "live": (("--live",), "leave --live away"),
    "subject": (("--wa-id=33639980001",), "leave --wa-id away"),
    "media": (("--media-dir=/tmp",), "leave --media-dir away"),
    "keyword": (("-k", "gate"), "-k would make it partial"),
    "path of a scenario": (("scenarios/live/test_live.py",), "partial"),
    "mark read alone": (("--mark-read",), "--mark-read goes with --run-gc"),
    "any time alone": (("--gc-any-time",), "--gc-any-time goes with --run-gc"),
    "engine": (("--engine=mysql",), "--engine"),
    "limits": (("--gc-policy=/nowhere/at-all.toml",), "at-all.toml cannot be read"),
    "logs": (("--log-dir=/nowhere/at-all",), "given with --log-dir is not there"),
    "no address": (("--webapp-url=",), "--webapp-url"),
}


def refused(client: ClientBed, done: Done, sentence: str) -> None:
    """See that one sentence was said, and nothing begun."""
    assert done.status == 4, done.shown
    assert sentence in done.said, done.shown
    assert len([one for one in done.shown.splitlines() if one.strip()]) == 1, done.shown
    assert not done.reports.exists() or list(done.reports.iterdir()) == []
    assert client.stand_in.requests == []


@on_mysql
def test_bad_options_are_refused_in_one_sentence(client: ClientBed) -> None:
    """An option that cannot be used is refused by its name, exit 4, before anything is touched."""
    desk = client.bed.desk
    desk.secrets.add("Secret-in-url-1")
    desk.numbers |= {"33639980001"}
    policy = client.policy()

    def run(number: int, given: tuple[str, ...]) -> Done:
        return client.gate(policy, *given, reports=desk.folder / f"refused-{number}")

    # Most of the time of each goes by in starting Python.
    with ThreadPoolExecutor(3) as pool:
        ended = pool.map(run, range(len(REFUSED)), [given for given, _ in REFUSED.values()])
        for done, (_, sentence) in zip(ended, REFUSED.values(), strict=True):
            refused(client, done, sentence)


@on_mysql
def test_garbage_is_not_collected_without_an_address(client: ClientBed) -> None:
    """--run-gc without --webapp-url, and the URL without credentials, are refused by name."""
    refused(client, client.gate("--run-gc", api=False), "--run-gc needs the client's API")
    for name in client.around:
        around = {one: value for one, value in client.around.items() if one != name}
        refused(client, client.gate(around=around), name)


@pytest.mark.parametrize("fault", ["missing", "folder", "no TOML", "format", "lacks one", "text"])
def test_limits_that_cannot_be_used_are_refused(tmp_path: Path, fault: str) -> None:
    """A file of limits that is missing, is no TOML or lacks one is refused in one sentence."""
    text, path = policy_text(), tmp_path / "policy.toml"
    kept = [one for one in text.splitlines() if not one.startswith("wait_s")]
    contents = {
        "no TOML": "= = =",
        "format": text.replace("format = 1", "format = 2"),
        "lacks one": "\n".join(kept),
        "text": text.replace("2000000", '"many"'),
    }
    if fault in contents:
        path.write_text(contents[fault], "utf-8")
    with pytest.raises(MaintenanceError, match=path.name if fault != "folder" else tmp_path.name):
        gc_policy.load(tmp_path if fault == "folder" else path)


@on_mysql
def test_its_options_mean_nothing_elsewhere(client: ClientBed) -> None:
    """--from-version belongs to the gate, and --gc-policy to the client's API: refused elsewhere."""
    desk, config = client.bed.desk, client.bed.config
    ids = desk.ids("33639980002")
    live = desk.run(desk.db_env(config), ids, "--from-version=2.45")
    refused(client, live, "--from-version goes with --upgrade-gate")
    live = desk.run(desk.db_env(config), ids, client.policy())
    refused(client, live, "give --webapp-url too")


# --- the stores -----------------------------------------------------------------------------


@on_mysql
def test_a_database_that_is_down_is_unknown(client: ClientBed) -> None:
    """Where the database takes no such password the gate is UNKNOWN, and the client is not asked."""
    config = replace(client.bed.config, password=Secret("Not-that-one-5"))
    done = client.gate(config=config)
    assert done.status == 10, done.shown
    assert done.first.startswith("UNKNOWN (upgrade gate); nothing was changed")
    assert client.stand_in.requests == []


def test_an_auditors_rights_are_enough(client: ClientBed) -> None:
    """Who may only read can run the gate; what they may not see is told, and is no secret."""
    reader = client.bed.account("gate_reader", "SELECT")
    done = client.gate(config=reader)
    assert done.status == 0, done.shown


def test_who_may_read_nothing_is_not_let_through(client: ClientBed) -> None:
    """Who may not read the tables is told what to grant, and the gate is never READY."""
    nobody = client.bed.account("gate_nobody", "INSERT")
    done = client.gate(config=nobody)
    unknown(done, "cannot be read")
    assert "--preflight names the GRANT" in done.said


@on_mysql
def test_drift_is_good_to_know(client: ClientBed) -> None:
    """A column that the manifest lacks is a remark, with its place, and the gate is READY."""
    client.bed.sql("ALTER TABLE messages ADD COLUMN peer_wa_id varchar(32)")
    try:
        done = client.gate()
    finally:
        client.bed.sql("ALTER TABLE messages DROP COLUMN peer_wa_id")
    assert done.status == 0, done.shown
    (told,) = [one for one in done.verdict["expected"] if one["kind"] == "drift"]
    assert told["column"] == "peer_wa_id"
    assert "before an erasure" in told["why"]
    assert "to know messageStore.messages.peer_wa_id: not in the manifest: give" in done.said


@on_mysql
def test_a_table_that_the_gate_reads_must_be_there(client: ClientBed) -> None:
    """Where the queue is missing the gate is UNKNOWN, with its place and a way out."""
    rename = "RENAME TABLE {}.{} TO {}.{}"
    store = f"{PREFIX}callbackStore"
    client.bed.sql(rename.format(store, "queue", store, "queue_of_old"))
    try:
        done = client.gate(api=False)
    finally:
        client.bed.sql(rename.format(store, "queue_of_old", store, "queue"))
    unknown(done, "describe this client's schema")
    assert "callbackStore.queue" in done.said
    assert "callbackStore.queue 1" not in done.said


@on_mysql
def test_logs_that_rotation_left_behind_are_told(client: ClientBed, tmp_path: Path) -> None:
    """A log larger than its limit, which rotation should have taken, is a finding."""
    logs = tmp_path / "log"
    logs.mkdir()
    with (logs / "web.log").open("wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    done = client.gate(f"--log-dir={logs}")
    assert done.status == 1, done.shown
    assert "rotat" in done.said


# --- settings and versions ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (("2.27.8", {"pass_through": True}, "2.35.2"), 0, "guide: an upgrade to v2.29.1"),
        (("2.27.8", {"pass_through": False}, "2.29.1"), 1, "guide: an upgrade to v2.29.1"),
        (("2.33.4", {"pass_through": False}, "2.35"), 0, "cannot be switched on again"),
        (
            ("2.45.1", {"garbagecollector_enable": {"messages": False}}, ""),
            1,
            "messages go only where",
        ),
    ],
    ids=["over-both", "over-2.29.1", "over-2.35", "grows"],
)
@on_postgres
def test_settings_are_audited_by_their_rule(
    client: ClientBed, asked: tuple[str, dict[str, Any], str], status: int, said: str
) -> None:
    """What an upgrade makes of the client's settings is told, with the rule that it rests on."""
    version, settings, to = asked
    with standing_over(client.bed, version=version, settings=settings) as stand_in:
        other = ClientBed(client.bed, stand_in)
        given = (f"--to-version={to}",) if to else ()
        done = other.gate(f"--from-version={version}", *given)
    assert done.status == status, done.shown
    assert said in done.said
    assert any("were restarted since" in one["why"] for one in done.verdict["expected"])
    assert "were restarted since" not in done.said
    assert ("itself changes of the settings (give --to-version)" in done.said) is (to == "")


@on_mysql
def test_the_version_must_be_the_clients(client: ClientBed) -> None:
    """A --from-version that the client contradicts, and a goal that is older, are findings."""
    done = client.gate("--from-version=2.27.8", "--to-version=2.29.1")
    assert done.status == 1, done.shown
    assert "correct --from-version" in done.said
    assert "correct --to-version" in done.said


# --- the client of another installation ------------------------------------------------------


@contextmanager
def elsewhere(
    client: ClientBed, config: RunConfig, described: Manifest, stores: str = "GateOther_"
) -> Iterator[ClientBed]:
    """A client over a store set of its own, and commands that take it for this one's."""
    config = replace(config, prefix=stores)
    store_set = connect(config, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, config.engine))
    with ExitStack() as held:
        held.callback(store_set.close)
        held.callback(store_set.drop)
        bed = Bed(config, store_set, client.bed.desk)
        yield ClientBed(client.bed, held.enter_context(standing_over(bed)))


@on_postgres
def test_a_client_over_another_kind_of_server_is_told(
    client: ClientBed, reached: Mapping[EngineKind, RunConfig], described: Manifest
) -> None:
    """A client over MySQL is not that of a PostgreSQL store set: UNKNOWN, and nothing is collected."""
    with elsewhere(client, reached[EngineKind.MYSQL], described) as other:
        done = other.gate("--run-gc")
        assert other.asked() == 0
    unknown(done, "the client's database is mysql, and the store set's postgres")
    assert done.first.split("; ")[1] == "nothing was changed"


@on_mysql
def test_a_client_over_other_messages_is_told(client: ClientBed, described: Manifest) -> None:
    """A client that counts far fewer messages than there are is not this store set's."""
    client.bed.store_set.insert(sent(1100))
    with elsewhere(client, client.bed.config, described) as other:
        done = other.gate(other.policy(large_rows=1000), "--run-gc", "--gc-any-time")
        assert other.asked() == 0
    assert done.status == 10, done.shown
    assert "does --webapp-url belong to this store set?" in done.said


# --- interruptions, and the screen ----------------------------------------------------------


@on_postgres
def test_an_interrupted_wait_leaves_evidence(client: ClientBed) -> None:
    """Ctrl-C while the client collects ends with exit 2, a verdict, and word of what was begun."""
    desk = client.bed.desk
    reports = desk.folder / "interrupted"
    slow = client.policy(wait_s=120, least_s=120)
    given = ("--upgrade-gate", desk.db_env(client.bed.config), client.url, slow, "--run-gc")
    with ExitStack() as held:
        held.enter_context(client.fault(Fault.STALLS))
        process = held.enter_context(client.started(*given, f"--reports={reports}"))
        until(lambda: client.asked() == 1)
        os.kill(process.pid, signal.SIGINT)
        shown, _ = process.communicate(timeout=60)
    done = Done(process.returncode, shown, reports)
    assert done.status == 2, shown
    assert not desk.leaks(done)
    assert done.first.startswith("UNKNOWN (upgrade gate); the client was asked")
    assert "what was begun goes on in the client" in done.said
    assert [one["complete"] for one in done.verdict["collections"]] == [False]
    assert (done.session / "gate.json").exists()
    assert next_command(done).endswith(" --run-gc")


@on_postgres
@pytest.mark.parametrize("columns", [40, 60, 200])
def test_a_screen_is_whole_at_any_width(client: ClientBed, columns: int) -> None:
    """On narrow and wide terminals no word is cut off; from 60 columns on only the command is longer."""
    around = {**client.around, "COLUMNS": str(columns)}
    done = client.gate("--run-gc", *(("-q",) if columns < SCREEN_COLUMNS else ()), around=around)
    assert done.status == 0, done.shown
    assert "…" not in done.shown
    (head,) = [line for line in done.shown.splitlines() if line.startswith("table ")]
    assert {"before", "rows", "size"} < set(head.split())
    long = [one for one in done.shown.splitlines() if len(one) > max(columns, 60)]
    assert all(one.startswith("  pytest ") or "waiting for the client" in one for one in long), long


@on_mysql
def test_it_runs_as_loud_as_wanted(client: ClientBed) -> None:
    """However loud pytest is it ends the same, and the screen has its answer."""
    done = client.gate("-vv", "-rA", "--tb=long")
    assert done.status == 0, done.shown
    assert re.search(r"^READY \(upgrade gate\)", done.shown, re.MULTILINE)
    assert "Traceback" not in done.shown
