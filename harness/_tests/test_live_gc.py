"""`pytest --live --run-gc` as people run it: an erasure beside the client's own collection."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.population.people import person
from harness.population.rows import rows_of
from harness.stores import connect, ddl
from harness.webapp import Fault

from . import grep_proof
from .client_bed import (
    PASSWORD,
    ClientBed,
    history_of,
    next_command,
    sent,
    standing_over,
    until,
)
from .file_makers import log
from .live_bed import SUBJECT, WORLD, Bed, Desk, Done
from .test_gate_commands import on_mysql, on_postgres
from .test_live_commands import missing, named

PREFIX = "Live_gc_"
OTHER = next(one for one in WORLD.people if one != SUBJECT)
ABSENT = person(303)
NOT_COLLECTED = "UNKNOWN (rows); rows were COMMITTED, garbage NOT collected; exit "
ANY_TIME = "--gc-any-time"


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
    made.stand_in.remember(())


def logs_of(client: ClientBed) -> Path:
    """Make a folder of logs that name the subject."""
    folder = client.bed.desk.folder / "var-log"
    folder.mkdir()
    (folder / "web.log").write_bytes(log(SUBJECT.number, seed=1))
    return folder


# --- erasures -------------------------------------------------------------------------------


def test_an_erasure_with_a_collection_is_clear(client: ClientBed) -> None:
    """Rows are erased, the client collects once, every row is swept behind it, and all is told."""
    policy = client.policy()
    done = client.live(policy, "--run-gc")
    assert done.status == 0, done.shown
    assert done.first == "CLEAR (rows); rows were COMMITTED, garbage collected; exit 0"
    assert "waiting for the client to collect garbage" in done.said
    assert named(client.bed.dump()) == 0
    assert client.asked() == 1
    (told,) = done.verdict["collections"]
    assert (told["garbage"], told["complete"], told["confirmed"]) == ("messages", True, False)
    order = [(one["record"], one.get("moment")) for one in history_of(done)]
    at = [order.index(one) for one in (("Erased", None), ("Collected", None))]
    assert at == sorted(at)
    assert order.index(("Observed", "collected")) > at[1]
    assert "--audit" in next_command(done)
    assert "--run-gc" not in next_command(done)
    audited = client.again(done)
    assert audited.status == 0, audited.shown
    assert client.asked() == 1


def test_who_is_written_back_is_a_trace(client: ClientBed) -> None:
    """Where a Coreapp writes the subject back while it collects, exit is 1, and the way out works."""
    mine = [row for row in rows_of(WORLD) if SUBJECT.number in str(row.values)]
    client.stand_in.remember(mine, reinsert_on="collection")
    done = client.live("--run-gc")
    assert done.status == 1, done.shown
    assert done.first == "TRACE (rows); rows were COMMITTED, garbage collected; exit 1"
    assert "stop the Coreapps and erase again" in done.said
    assert named(client.bed.dump()) > 0
    assert client.asked() == 1
    client.stand_in.remember(())
    # Coreapps that are stopped collect nothing, and a second one in a day would be refused.
    assert not {"--run-gc", client.url} & set(shlex.split(next_command(done)))
    again = client.again(done)
    assert again.status == 0, again.shown
    assert named(client.bed.dump()) == 0


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(EngineKind.MYSQL, Fault.NEVER_COMPLETES), (EngineKind.POSTGRES, Fault.NO_COREAPP)],
    indirect=["kind"],
    ids=str,
    scope="session",
)
def test_without_an_end_the_rest_is_done_all_the_same(client: ClientBed, fault: Fault) -> None:
    """Where a collection does not end the files are scrubbed all the same, and exit is 10."""
    logs = logs_of(client)
    with client.fault(fault):
        done = client.live("--run-gc", f"--log-dir={logs}", "--ticket=GC 1")
    assert done.status == 10, done.shown
    told = "rows were COMMITTED and files scrubbed, garbage NOT collected"
    assert done.first == f"UNKNOWN (rows); {told}; exit 10"
    assert "Collect again with --run-gc" in done.said
    assert named(client.bed.dump()) == 0
    assert grep_proof.found(logs, SUBJECT.number) == []
    assert [one["complete"] for one in done.verdict["collections"]] == [False]
    assert not list(done.session.glob("*.sealed"))
    again = client.again(done)
    assert again.status == 0, again.shown
    assert again.first == "CLEAR (rows); no row was erased, garbage collected; exit 0"
    assert [one["complete"] for one in again.verdict["collections"]] == [True]


@on_postgres
def test_several_are_erased_around_one_collection(client: ClientBed) -> None:
    """Of several subjects each is erased after the one collection, or swept behind it."""
    done = client.live("--run-gc", people=(SUBJECT, OTHER, ABSENT))
    assert done.status == 0, done.shown
    assert client.asked() == 1
    runs = [
        [one for one in history_of(done) if one["run"] == run]
        for run in dict.fromkeys(one["run"] for one in history_of(done))
    ]
    assert len(runs) == 3
    collected = [n for n, one in enumerate(runs) if any(r["record"] == "Collected" for r in one)]
    assert collected == [0]
    assert any(one.get("moment") == "collected" for one in runs[0])
    assert all(any(one.get("moment") == "after" for one in run) for run in runs[1:])
    assert len(done.verdict["collections"]) == 1


# --- nothing is begun -----------------------------------------------------------------------


@on_mysql
def test_a_webapp_that_is_down_is_seen_before_anything(client: ClientBed) -> None:
    """Where the Webapp does not answer at the beginning no row is changed, and exit is 10."""
    before = client.bed.dump()
    done = client.bed.run("--webapp-url=http://127.0.0.1:1", "--run-gc", around=client.around)
    assert done.status == 10, done.shown
    assert done.first == "UNKNOWN (rows); no row was changed; exit 10"
    assert "Nothing listens where the Webapp should be" in done.said
    assert client.bed.dump() == before


def test_at_a_busy_time_nothing_is_touched(client: ClientBed) -> None:
    """At a busy time --run-gc is refused with every row in place; a rehearsal says so, and goes on."""
    client.bed.store_set.insert(sent(40))
    before = client.bed.dump()
    policy = client.policy(quiet_per_s=0.01)
    done = client.live(policy, "--run-gc")
    assert done.status == 4, done.shown
    assert done.first == "REFUSED; no row was changed; exit 4"
    assert ANY_TIME in done.said
    rehearsed = client.live(policy, "--run-gc", "--rehearse")
    assert rehearsed.status == 0, rehearsed.shown
    assert "would be refused now" in rehearsed.said
    assert "would be deleted" in rehearsed.said
    assert client.bed.dump() == before
    assert client.asked() == 0
    assert "--run-gc" in next_command(rehearsed)
    erased = client.live(policy, "--run-gc", ANY_TIME)
    assert erased.status == 0, erased.shown
    assert client.asked() == 1


@on_mysql
def test_an_audit_collects_nothing(client: ClientBed) -> None:
    """--audit and --run-gc exclude one another; with the URL alone the client is looked at."""
    refused = client.live("--audit", "--run-gc")
    assert refused.status == 4
    assert "--audit only reads" in refused.said
    audited = client.live("--audit", people=(ABSENT,))
    assert audited.status == 0, audited.shown
    assert client.asked() == 0
    assert "garbagecollector_enable.messages on" in audited.said


@on_postgres
def test_a_preflight_warns_of_settings(client: ClientBed) -> None:
    """A preflight warns of the client's settings that let its messages grow, with their rule."""
    settings = {"garbagecollector_enable": {"messages": False}}
    with standing_over(client.bed, settings=settings) as stand_in:
        done = ClientBed(client.bed, stand_in).live("--preflight", "--run-gc")
    assert done.status == 0, done.shown
    assert "messages go only where" in done.said
    assert "settings guide" in done.said
    assert client.asked() == 0


# --- interruptions --------------------------------------------------------------------------


def interrupted(client: ClientBed, number: signal.Signals, *given: str) -> Done:
    """Begin an erasure, and send it a signal while the client collects."""
    desk = client.bed.desk
    reports = desk.folder / "interrupted"
    asked, slow = client.asked(), client.policy(wait_s=120, least_s=120)
    options = (
        desk.db_env(client.bed.config),
        desk.ids(SUBJECT.number),
        f"--pseudonym-key={desk.key}",
        f"--reports={reports}",
    )
    with ExitStack() as held:
        held.enter_context(client.fault(Fault.STALLS))
        words = ("--live", *options, client.url, slow, "--run-gc", *given)
        process = held.enter_context(client.started(*words))
        until(lambda: client.asked() > asked)
        os.kill(process.pid, number)
        shown, _ = process.communicate(timeout=60)
    done = Done(process.returncode, shown, reports)
    assert not desk.leaks(done)
    assert named(client.bed.dump()) == 0
    return done


def resume(client: ClientBed, done: Done, *given: str, **around: str) -> Done:
    """Take a session up again, naming nothing of the client's API but its credentials."""
    desk = client.bed.desk
    words = ("--live", f"--resume={done.session}", desk.db_env(client.bed.config), *given)
    kept = (f"--pseudonym-key={desk.key}", f"--reports={done.reports}")
    shown = desk.pytest(*words, *kept, around=around)
    resumed = Done(shown.returncode, shown.stdout + shown.stderr, done.reports)
    assert not desk.leaks(resumed)
    return resumed


def test_a_killed_one_asks_again(client: ClientBed) -> None:
    """Killed while the client collects, a session is finished by --resume and the credentials."""
    before = client.bed.dump()
    logs = logs_of(client)
    killed = interrupted(client, signal.SIGKILL, f"--log-dir={logs}")
    assert killed.status == -signal.SIGKILL
    assert grep_proof.found(logs, SUBJECT.number) != []
    asked = client.asked()
    done = resume(client, killed, client.policy(), **client.around)
    assert done.status == 0, done.shown
    assert done.first.startswith("CLEAR (rows); rows were COMMITTED")
    assert client.asked() == asked + 1
    assert grep_proof.found(logs, SUBJECT.number) == []
    assert [one["complete"] for one in done.verdict["collections"]] == [True]
    assert not list(done.session.glob("*.sealed"))
    collected = {"messages", "messages_receipt_log", "receipts"}
    assert {table for _, table in missing(before, client.bed.dump())} <= collected


@on_postgres
@pytest.mark.parametrize(
    ("wrong", "said"),
    [("", "WA_WEB_USERNAME is missing"), ("Wrong-secret-89", "mend WA_WEB_USERNAME")],
    ids=["no credentials", "wrong ones"],
)
def test_a_client_that_lets_nobody_in_keeps_nothing_from_being_finished(
    client: ClientBed, wrong: str, said: str
) -> None:
    """Without the right credentials rows and files are finished, and the garbage is said not to be."""
    logs = logs_of(client)
    killed = interrupted(client, signal.SIGKILL, f"--log-dir={logs}")
    around = {**client.around, "WA_WEB_PASSWORD": wrong} if wrong else {}
    client.bed.desk.secrets.add(wrong or "Wrong-secret-89")
    done = resume(client, killed, client.policy(), **around)
    assert done.status == 10, done.shown
    assert "rows were COMMITTED and files scrubbed, garbage NOT collected" in done.first
    assert said in done.said
    assert grep_proof.found(logs, SUBJECT.number) == []
    assert not list(done.session.glob("*.sealed"))


@on_postgres
def test_an_interrupted_one_shows_how_to_go_on(client: ClientBed) -> None:
    """Ctrl-C while the client collects ends at once with exit 2, and the next command finishes it."""
    done = interrupted(client, signal.SIGINT)
    assert done.status == 2, done.shown
    assert done.first == f"{NOT_COLLECTED}2"
    assert "what was begun goes on in the client" in done.said
    assert "--resume=" in next_command(done)
    client.policy()
    resumed = client.again(done)
    assert resumed.status == 0, resumed.shown
    assert named(client.bed.dump()) == 0


@on_mysql
def test_what_has_ended_is_not_asked_for_again(client: ClientBed) -> None:
    """Killed after the collection was recorded, a session is finished without another one."""
    killing = (
        "import os, signal\n"
        "from harness.live import LiveRun\n"
        "seen = LiveRun._observe\n"
        "def observe(self, subject, moment='after'):\n"
        "    if moment == 'collected':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return seen(self, subject, moment)\n"
        "LiveRun._observe = observe\n"
    )
    client.bed.desk.file("killing.py", killing)
    killed = client.live("--run-gc", "-p", "killing")
    assert killed.status == -signal.SIGKILL, killed.shown
    assert any(one["record"] == "Collected" for one in history_of(killed))
    assert client.asked() == 1
    done = resume(client, killed, **client.around)
    assert done.status == 0, done.shown
    assert client.asked() == 1
    order = [(one["record"], one.get("moment")) for one in history_of(done)]
    assert order.index(("Collected", None)) < len(order) - order[::-1].index(("Observed", "after"))


@on_mysql
def test_a_resume_adds_no_collection(client: ClientBed) -> None:
    """--run-gc is refused for a session that was begun without it."""
    killing = (
        "import os, signal\n"
        "from harness.live import LiveRun\n"
        "def observe(self, *given):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "LiveRun._observe = observe\n"
    )
    client.bed.desk.file("killing.py", killing)
    killed = client.bed.run("-p", "killing")
    assert killed.status == -signal.SIGKILL, killed.shown
    refused = resume(client, killed, client.url, "--run-gc", **client.around)
    assert refused.status == 4, refused.shown
    assert "leave --run-gc away" in refused.said
    assert resume(client, killed).status == 0
    assert client.asked() == 0
