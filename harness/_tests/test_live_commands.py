"""`pytest --live`, run as an operator runs it and checked by clients that are not the harness's."""

from __future__ import annotations

import base64
import json
import re
import shlex
import stat
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from harness.config import RunConfig
from harness.identity import variant_of
from harness.manifest import Manifest
from harness.model import EngineKind, Secret
from harness.population.cases import showcase
from harness.population.people import mapped_person, person
from harness.population.rows import rows_of
from harness.stores import connect, ddl
from harness.stores.exclusion import exclusive

from .live_bed import SCREEN_COLUMNS, SUBJECT, Bed, Desk, Done, Dump, Row, granted, traces_of

PREFIX = "Live_"
ABSENT = person(303)
MAPPED = mapped_person(0)
on_mysql = pytest.mark.parametrize(
    "kind", [EngineKind.MYSQL], indirect=True, ids=str, scope="session"
)
on_postgres = pytest.mark.parametrize(
    "kind", [EngineKind.POSTGRES], indirect=True, ids=str, scope="session"
)
ERASER = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER")


@pytest.fixture(scope="module")
def made(
    reached: Mapping[EngineKind, RunConfig],
    kind: EngineKind,
    described: Manifest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bed]:
    """A store set of these tests' own."""
    config = replace(reached[kind], prefix=PREFIX)
    store_set = connect(config, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, kind))
    yield Bed(config, store_set, Desk(tmp_path_factory.mktemp("desk")))
    store_set.drop()
    store_set.close()


@pytest.fixture
def bed(made: Bed, tmp_path: Path) -> Iterator[Bed]:
    """The store set with the showcase in it, and a desk in a folder of the test's own."""
    made.desk = Desk(tmp_path)
    made.seed()
    yield made
    made.forget_accounts()


# --- the yardsticks -------------------------------------------------------------------------


def touching(row: Row) -> bool:
    """Tell whether a row names the subject: in digits, or in a message id's packed decimals."""
    return any(
        SUBJECT.number.encode() in cell or SUBJECT.number in _unpacked(cell) for cell in row if cell
    )


def _unpacked(cell: bytes) -> str:
    if not re.fullmatch(rb"[A-Za-z0-9+/]{16,}", cell) or len(cell) % 4:
        return ""
    return base64.b64decode(cell).hex()


def others(dump: Dump) -> dict[tuple[str, str], Counter[Row]]:
    """Return the rows that do not name the subject."""
    return {
        place: Counter({row: count for row, count in rows.items() if not touching(row)})
        for place, rows in dump.items()
    }


def named(dump: Dump) -> int:
    """Count the rows that name the subject."""
    return sum(count for rows in dump.values() for row, count in rows.items() if touching(row))


def missing(before: Dump, after: Dump) -> list[tuple[str, str]]:
    """Return the tables in which a row of somebody else's is gone, or is not the same."""
    then = others(before)
    return [place for place in then if then[place] - after[place]]


class Writer:
    """Somebody who works all the time, in rows of others, by a plain connection."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.written: dict[str, str] = {}
        self.failed = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        people, messages = self._bed.connect("waweb"), self._bed.connect("messageStore")
        try:
            serial = 0
            while not self._over.wait(0.005):
                serial += 1
                number, name = person(400 + serial % 900).number, f"n{serial}"
                with people.cursor() as cursor, messages.cursor() as other:
                    if number in self.written:
                        cursor.execute(
                            "UPDATE contacts SET name = %s WHERE wa_id = %s", (name, number)
                        )
                    else:
                        cursor.execute(
                            "INSERT INTO contacts (wa_id, name) VALUES (%s, %s)", (number, name)
                        )
                    other.execute(
                        "INSERT INTO messages (key_remote_jid, key_id, data) VALUES (%s, %s, %s)",
                        (f"{number}@s.whatsapp.net", name, name),
                    )
                self.written[number] = name
        except Exception as error:  # noqa: BLE001  # told by the test
            self.failed = type(error).__name__
        finally:
            people.close()
            messages.close()

    def there(self) -> dict[str, str]:
        """Return which of the writer's rows are in the stores now."""
        rows = self._bed.sql("SELECT wa_id, name FROM contacts", "waweb")
        return {number: name for number, name in rows if number in self.written}


def test_the_yardsticks_see_what_they_are_for(bed: Bed) -> None:
    """A row that is gone, one that is changed, and one that names the subject are each seen."""
    before = bed.dump()
    assert named(before) > 50
    assert missing(before, before) == []
    bed.sql(f"UPDATE contacts SET name = 'x' WHERE wa_id = '{person(1).number}'", "waweb")
    assert missing(before, bed.dump()) == [("waweb", "contacts")]
    bed.sql(f"DELETE FROM contacts WHERE wa_id = '{person(1).number}'", "waweb")
    assert missing(before, bed.dump()) == [("waweb", "contacts")]


# --- what is done ---------------------------------------------------------------------------


def test_the_subject_goes_and_everybody_else_stays_while_somebody_writes(bed: Bed) -> None:
    """A plain client finds no row of the subject, all of others' as before, and all of a writer's."""
    before = bed.dump()
    account = bed.account("eraser_live", *ERASER)
    with Writer(bed) as writer:
        done = bed.run(config=account)
    after = bed.dump()
    assert done.status == 0, done.shown
    assert "rows were COMMITTED" in done.said
    assert named(after) == 0
    assert missing(before, after) == []
    assert not writer.failed
    assert writer.written
    assert writer.there() == writer.written
    assert (done.verdict["rows"], done.verdict["held"]) == ("committed", True)
    changes = done.verdict["runs"][0]["changes"]
    gone = {
        (one["store"], one["table"]): one["deleted_rows"] for one in changes if one["deleted_rows"]
    }
    for place, deleted in gone.items():
        came = len(writer.written) if place == ("waweb", "contacts") else 0
        came = (
            after[place].total() - before[place].total() + deleted
            if place[1] == "messages"
            else came
        )
        assert before[place].total() + came - after[place].total() == deleted, place


def test_a_rehearsal_changes_nothing_and_its_plan_is_carried_out(bed: Bed) -> None:
    """After a rehearsal rows and counters are identical; its plan is refused once a row came, then a new one holds."""
    before, counters = bed.dump(), bed.counters()
    rehearsed = bed.run("--rehearse")
    assert rehearsed.status == 0, rehearsed.shown
    assert (bed.dump(), bed.counters()) == (before, counters)
    assert rehearsed.verdict["rows"] == "untouched"
    bed.sql(f"INSERT INTO messages (key_remote_jid, key_id) VALUES ('{SUBJECT.jid}', 'late')")
    late = bed.dump()
    refused = bed.run(f"--plan={rehearsed.plan}")
    assert refused.status == 4
    assert "no longer those that were rehearsed" in refused.said
    assert "READY" not in refused.said
    assert next_command(refused).startswith("pytest --live --rehearse ")
    assert bed.dump() == late
    again = bed.run("--rehearse")
    assert again.plan != rehearsed.plan
    assert f"--plan={again.plan}" in next_command(again)
    done = bed.run(f"--plan={rehearsed.plan}", f"--plan={again.plan}")
    assert done.status == 0, done.shown
    assert named(bed.dump()) == 0


def test_a_preflight_leaves_what_it_saw_and_no_verdict(bed: Bed) -> None:
    """It needs no subject, changes nothing, and leaves preflight.json with no verdict about anybody."""
    before, counters = bed.dump(), bed.counters()
    done = bed.run("--preflight", people=())
    assert done.status == 0, done.shown
    assert "READY" in done.said
    assert not (done.session / "verdict.json").exists()
    assert json.loads((done.session / "preflight.json").read_text("utf-8"))["ready"] is True
    assert (bed.dump(), bed.counters()) == (before, counters)
    assert "--wa-id-file=FILE" in next_command(done)


def test_an_audit_reads_as_a_reader_and_changes_nothing(bed: Bed) -> None:
    """A user who may only SELECT finds the subject, in several store sets at once, and nobody else."""
    reader = bed.account("reader_live", "SELECT")
    before, counters = bed.dump(), bed.counters()
    replica = bed.desk.db_env(reader, "replica.env")
    found = bed.run("--audit", replica, config=reader)
    assert found.status == 1, found.shown
    assert "the subject is there" in found.said
    assert "after the erasure" not in found.said
    assert len(found.verdict["runs"]) == 2
    assert not list(found.session.glob("*.sealed"))
    absent = bed.run("--audit", config=reader, people=(ABSENT,))
    assert absent.status == 0, absent.shown
    assert "no trace of the subject" in absent.said
    assert (bed.dump(), bed.counters()) == (before, counters)


def test_whoever_is_nowhere_is_not_erased(bed: Bed) -> None:
    """Nothing is held of a stranger nor, the second time, of the subject; no row is changed for them."""
    assert bed.run().status == 0
    before = bed.dump()
    for people in ((SUBJECT,), (ABSENT,)):
        done = bed.run(people=people)
        assert done.status == 0, done.shown
        assert "nothing held" in done.said
        assert "erased: nothing" not in done.said
        assert (done.verdict["held"], done.verdict["rows"]) == (False, "untouched")
    assert bed.dump() == before


# --- several subjects -----------------------------------------------------------------------


@on_postgres
def test_a_hold_on_one_of_several_stops_all_of_them(bed: Bed) -> None:
    """If the last of three is under a hold, nobody is touched: not even those before."""
    before = bed.dump()
    hold = bed.desk.file("holds", f"# since May\n{person(101).number}\n")
    people = (SUBJECT, person(1), person(101))
    done = bed.run(f"--hold-file={hold}", people=people)
    assert done.status == 4, done.shown
    assert "legal hold" in done.said
    assert bed.dump() == before
    done = bed.run(f"--hold-file={hold}", people=people[:2])
    assert done.status == 0, done.shown
    assert len(done.verdict["subjects"]) == 2
    assert named(bed.dump()) == 0


@on_postgres
def test_one_person_given_by_two_numbers_is_one(bed: Bed) -> None:
    """A number twice, and the same person's other number, make one run; the screen says so."""
    bed.seed(rows_of(showcase(MAPPED)))
    bed.desk.numbers |= MAPPED.numbers
    ids = bed.desk.ids(MAPPED.number, MAPPED.number, MAPPED.jid_number)
    done = bed.run(ids, people=())
    assert done.status == 0, done.shown
    assert len(done.verdict["runs"]) == 1
    assert "1 of the numbers given" in done.said
    needles = traces_of(MAPPED.numbers)
    cells = (cell for rows in bed.dump().values() for row in rows for cell in row if cell)
    assert not [cell for cell in cells if any(one in cell.lower() for one in needles)]


@on_mysql
def test_a_plan_is_one_subjects(bed: Bed) -> None:
    """A plan with two subjects is refused: the first one's erasure would change the second one's."""
    before = bed.dump()
    done = bed.run(f"--plan={'a' * 64}", people=(SUBJECT, person(1)))
    assert done.status == 4
    assert "one subject" in done.said
    assert bed.dump() == before


# --- refusals that the stores decide --------------------------------------------------------


@pytest.mark.parametrize("by", ["the JID", "the phone number", "the other form"])
def test_a_hold_is_found_by_any_number(bed: Bed, by: str) -> None:
    """A hold on an alias that the stores tie, or on a form that a country changed, refuses the subject."""
    bed.seed(rows_of(showcase(MAPPED)))
    bed.desk.numbers |= MAPPED.numbers
    before = bed.dump()
    asked, held = {
        "the JID": (MAPPED.number, MAPPED.jid_number),
        "the phone number": (MAPPED.jid_number, MAPPED.number),
        "the other form": (MAPPED.number, variant_of(MAPPED.number) or ""),
    }[by]
    assert held
    done = bed.run(bed.desk.ids(asked), f"--hold-file={bed.desk.file('holds', held)}", people=())
    assert done.status == 4, done.shown
    assert "legal hold" in done.said
    assert bed.dump() == before


@on_mysql
def test_a_hold_on_somebody_else_refuses_nobody(bed: Bed) -> None:
    """The check above does not refuse a subject whose neighbour is under a hold."""
    hold = bed.desk.file("holds", f"{SUBJECT.number[:-1]}1\n")
    done = bed.run("--rehearse", f"--hold-file={hold}")
    assert done.status == 0, done.shown


def test_only_one_operator_at_a_time(bed: Bed) -> None:
    """While somebody has the lock a second operator is refused, and nothing is touched."""
    before = bed.dump()
    with exclusive(bed.config, list(bed.store_set.databases()), wait_s=0):
        done = bed.run()
    assert done.status == 4, done.shown
    assert "Another operator" in done.said
    assert bed.dump() == before
    assert bed.run().status == 0


def test_no_such_store_set(bed: Bed) -> None:
    """With a prefix that nobody has, the sentence names WA_DB_NAME_PREFIX."""
    for given in ((), ("--audit",)):
        done = bed.run(*given, config=replace(bed.config, prefix="Nobodys_"))
        assert done.status == 4, done.shown
        assert "WA_DB_NAME_PREFIX" in done.said


def test_a_wrong_password_is_unknown_and_not_shown(bed: Bed) -> None:
    """Refused credentials exit 10 with what to look at, and once; neither password is shown."""
    wrong = replace(bed.config, password=Secret("Wrong-horse-91"))
    for given in ((), ("--preflight",)):
        done = bed.run(*given, config=wrong)
        assert done.status == 10, done.shown
        assert "WA_DB_* are right" in done.said
        assert "never run" not in done.said


def test_drift_is_refused_accepted_or_treated(bed: Bed) -> None:
    """An unknown column refuses the run; accepted it is shown as expected; treated it is no drift."""
    column, typed = "note", "LONGTEXT" if bed.kind is EngineKind.MYSQL else "text"
    bed.sql(f"ALTER TABLE chats ADD COLUMN {column} {typed}")
    try:
        before = bed.dump()
        refused = bed.run()
        assert refused.status == 4, refused.shown
        assert "--accept-drift" in refused.said
        assert bed.dump() == before
        accepted = bed.run("--rehearse", "--accept-drift")
        assert accepted.status == 0, accepted.shown
        assert [one["column"] for one in accepted.verdict["expected"]] == [column]
        assert "--accept-drift" in next_command(accepted)
        text = f'[messageStore.chats]\n{column} = "mask"\n'
        treated = bed.run("--rehearse", f"--treatment={bed.desk.file('t.toml', text)}")
        assert treated.status == 0, treated.shown
        assert treated.verdict["expected"] == []
        assert bed.dump() == before
    finally:
        bed.sql(f"ALTER TABLE chats DROP COLUMN {column}")


# --- blindness ------------------------------------------------------------------------------


BLIND = """
from harness.identity.matcher import Matcher
Matcher.hits = lambda self, cell, kind: []
"""
DIM = """
from harness.stores import sweep
seen = sweep.TablePass.traces
def traces(self):
    return [one for one in seen(self) if one.column != "parameters"]
sweep.TablePass.traces = traces
"""


@pytest.mark.parametrize("plugin", [BLIND, DIM], ids=["matcher", "column"])
@pytest.mark.parametrize("given", [(), ("--rehearse",)], ids=["live", "rehearse"])
def test_what_is_blind_erases_nobody(bed: Bed, plugin: str, given: tuple[str, ...]) -> None:
    """With a matcher that finds nothing, or a column that is not seen, the verdict is UNKNOWN and all rows stay."""
    bed.desk.file("blinding.py", plugin)
    before = bed.dump()
    done = bed.run("-p", "blinding", *given)
    assert done.status == 10, done.shown
    assert "no row was changed" in done.said
    assert done.verdict["verdict"] == "UNKNOWN"
    assert bed.dump() == before


def test_a_blind_audit_is_unknown(bed: Bed) -> None:
    """With a matcher that finds nothing an audit does not find its witnesses, and says so."""
    bed.desk.file("blinding.py", BLIND)
    done = bed.run("--audit", "-p", "blinding")
    assert done.status == 10, done.shown
    assert "were not found" in done.said


REVOKING = """
import os
from harness.plugin import live_stage
look = live_stage.look
def looked(*given, **how):
    seen = look(*given, **how)
    from bed_connection import revoke
    revoke()
    return seen
live_stage.look = looked
"""


@pytest.mark.parametrize("given", [(), ("--audit",)], ids=["live", "audit"])
def test_a_right_that_is_lost_on_the_way_is_unknown(bed: Bed, given: tuple[str, ...]) -> None:
    """When SELECT on a store is taken away after the preflight, no row is changed and exit is 10."""
    account = bed.account("waning_live", *ERASER)
    store = "jobqueueStore"
    database = bed.store_set.databases()[store]
    on_mysql = bed.kind is EngineKind.MYSQL
    taken = (
        f"REVOKE SELECT ON {granted(database)}.* FROM 'waning_live'@'%'"
        if on_mysql
        else "REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM waning_live"
    )
    bed.desk.file("revoking.py", REVOKING)
    bed.desk.file("bed_connection.py", plain_connection(bed, store, taken))
    before = bed.dump()
    done = bed.run("-p", "revoking", *given, config=account)
    assert done.status == 10, done.shown
    assert "jobqueueStore" in done.said, done.shown
    assert bed.dump() == before


def test_a_right_that_is_not_there_is_asked_for(bed: Bed) -> None:
    """An account without SELECT on a store, which MySQL then hides from it, is refused with the GRANT."""
    account = bed.account("lacking_live", *ERASER)
    database = bed.store_set.databases()["jobqueueStore"]
    if bed.kind is EngineKind.MYSQL:
        bed.sql(f"REVOKE ALL ON {granted(database)}.* FROM 'lacking_live'@'%'")
    else:
        bed.sql("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM lacking_live", "jobqueueStore")
    before = bed.dump()
    for mode in ("--rehearse", "--audit"):
        done = bed.run(mode, config=account)
        assert done.status == 4, done.shown
        assert "GRANT SELECT" in done.said
        assert "jobqueueStore" in done.said
    assert bed.dump() == before


def test_a_view_in_a_tables_place_hides_nothing(bed: Bed) -> None:
    """Where a table is renamed and a view without the subject put in its place, an audit finds them."""
    bed.sql("ALTER TABLE jobs RENAME TO jobs_real", "jobqueueStore")
    try:
        bed.sql("CREATE VIEW jobs AS SELECT * FROM jobs_real WHERE 1 = 0", "jobqueueStore")
        for table in ("chats", "messages"):
            bed.sql(f"DELETE FROM {table}")
        done = bed.run("--audit")
        assert done.status == 1, done.shown
        assert "jobqueueStore.jobs_real" in done.said
    finally:
        bed.sql("DROP VIEW jobs", "jobqueueStore")
        bed.sql("ALTER TABLE jobs_real RENAME TO jobs", "jobqueueStore")


@on_postgres
def test_row_security_blinds_nobody_unnoticed(bed: Bed) -> None:
    """On PostgreSQL a policy that hides rows from an auditor is refused or UNKNOWN, never CLEAR."""
    reader = bed.account("policed_live", "SELECT")
    bed.sql("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY", "jobqueueStore")
    try:
        done = bed.run("--audit", config=reader, people=(ABSENT,))
        assert done.status in {4, 10}, done.shown
        assert "BYPASSRLS" in done.said
    finally:
        bed.sql("ALTER TABLE jobs DISABLE ROW LEVEL SECURITY", "jobqueueStore")


# --- nobody is named ------------------------------------------------------------------------


def plain_connection(bed: Bed, store: str, statement: str) -> str:
    """Return a module whose `revoke()` runs a statement by a plain connection of its own."""
    config = bed.config
    where = {
        "host": config.hostname,
        "port": config.port,
        "user": config.username,
        "password": config.password.reveal(),
        "database": bed.store_set.databases()[store],
    }
    driver = "pymysql" if bed.kind is EngineKind.MYSQL else "psycopg2"
    return f"""
import {driver}
def revoke():
    connection = {driver}.connect(**{where!r})
    connection.cursor().execute({statement!r})
    connection.commit()
    connection.close()
"""


CRASHING = """
from harness import erasure, live
def crash(self, *given, **how):
    wa_id = self._mission.wa_id.number
    print("printed", wa_id)
    raise ValueError(f"row of {wa_id}@s.whatsapp.net: {wa_id.encode().hex()} {self._held.closure.numbers}")
live.LiveRun._in_rounds = crash
"""
CUT = """
from harness import live
saw = live.LiveRun._saw
def cutting(self, *given):
    from bed_connection import revoke
    try:
        revoke()
    except Exception:
        pass
    return saw(self, *given)
live.LiveRun._saw = cutting
"""


@on_mysql
@pytest.mark.parametrize(
    "loud",
    [
        (),
        ("-v",),
        ("-vv", "-rA", "-s"),
        ("--tb=long", "--full-trace", "-l"),
        ("--log-cli-level=DEBUG", "--log-level=DEBUG", "--durations=0"),
    ],
    ids=["quiet", "v", "vv-rA-s", "tb-long", "log"],
)
def test_a_crash_of_our_own_shows_nobody(bed: Bed, loud: tuple[str, ...]) -> None:
    """An error of ours that quotes a row exits 10 however loud pytest is, and names nobody anywhere."""
    bed.desk.file("crashing.py", CRASHING)
    before = bed.dump()
    done = bed.run(
        "-p",
        "crashing",
        *loud,
        f"--junitxml={bed.desk.folder / 'reports-1' / 'junit.xml'}",
        f"--log-file={bed.desk.folder / 'reports-1' / 'log.txt'}",
    )
    if "-l" in loud:
        assert done.status == 4
        assert "--showlocals" in done.said
    else:
        assert done.status == 10, done.shown
        assert "ValueError" in done.said
        assert (bed.desk.folder / "reports-1" / "junit.xml").exists()
    assert bed.dump() == before


def test_a_server_that_goes_away_shows_nobody(bed: Bed) -> None:
    """When the server ends our connections half way, exit is 10, rows stay, and nobody is named."""
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND usename = 'cut_live'"
    )
    account = bed.account("cut_live", *ERASER)
    bed.desk.file("cutting.py", CUT)
    text = plain_connection(bed, "messageStore", statement)
    if bed.kind is EngineKind.MYSQL:
        text = text.replace(
            f"connection.cursor().execute({statement!r})",
            "cursor = connection.cursor()\n"
            "    cursor.execute(\"SELECT id FROM information_schema.processlist WHERE user = 'cut_live'\")\n"
            "    for (one,) in cursor.fetchall(): cursor.execute(f'KILL {one}')",
        )
    bed.desk.file("bed_connection.py", text)
    before = bed.dump()
    done = bed.run("-p", "cutting", "-v", config=account)
    assert done.status == 10, done.shown
    assert "no row was changed" in done.said
    assert bed.dump() == before


PLANTING = """
from harness.plugin import live_stage
finished = live_stage.LiveStage._act
def act(self):
    finished(self)
    number = self.request.subjects[0].number
    (self.session.folder / "left.bin").write_bytes({planted})
live_stage.LiveStage._act = act
"""


@on_mysql
@pytest.mark.parametrize(
    "planted",
    [
        "f'note: {number}'.encode()",
        "number.encode('utf-16-le')",
        "number.encode().hex().encode()",
        "__import__('base64').b64encode(b'x' + number.encode())",
        "self.request.configs[0].password.reveal().encode()",
    ],
    ids=["digits", "utf-16", "hex", "base64", "password"],
)
def test_a_number_in_the_evidence_is_reported(bed: Bed, planted: str) -> None:
    """A number or password that came into the session's folder is seen by the last sweep, and by ours."""
    bed.desk.file("planting.py", PLANTING.format(planted=planted))
    done = bed.run("--rehearse", "-p", "planting", searched=False)
    assert done.status == 10, done.shown
    assert "left.bin" in done.said
    assert done.verdict["verdict"] == "UNKNOWN"
    assert bed.desk.leaks(done) == [str(done.session / "left.bin")]


@on_mysql
def test_a_number_on_the_screen_would_be_seen(bed: Bed) -> None:
    """The search for numbers above finds one on the terminal, and is silent without."""
    good = Done(0, "all is well", bed.desk.folder / "none")
    assert bed.desk.leaks(good) == []
    assert bed.desk.leaks(replace(good, shown=f"E  {SUBJECT.jid}")) == ["the terminal"]


# --- what an operator reads -----------------------------------------------------------------


def next_command(done: Done) -> str:
    """Return the next command, which stands in one piece on the last line."""
    last = done.shown.rstrip().splitlines()[-1]
    assert last.startswith("  pytest --live "), done.shown
    return last.strip()


def test_the_next_command_can_be_copied(bed: Bed, tmp_path: Path) -> None:
    """What a preflight, a rehearsal and an erasure tell to type next does the next thing, to the end."""
    folder = tmp_path / "with a space"
    folder.mkdir()
    bed.desk = Desk(folder)
    done = bed.run("--rehearse", "--operator=Ops on call", "--ticket=GDPR 7")
    said = []
    while True:
        said.append((done.status, done.verdict["mode"]))
        if len(said) == 3:
            break
        words = shlex.split(next_command(done))[1:]
        (reports,) = {
            one.removeprefix("--reports=") for one in words if one.startswith("--reports=")
        }
        fresh = Path(f"{reports}-next-{len(said)}")
        words = [one for one in words if not one.startswith("--reports=")]
        ended = bed.desk.pytest(*words, f"--reports={fresh}")
        done = Done(ended.returncode, ended.stdout + ended.stderr, fresh)
        assert not bed.desk.leaks(done)
    assert said == [(0, "rehearse"), (0, "live"), (0, "audit")]
    assert done.verdict["operator"] == "Ops on call"


def test_the_first_line_says_what_became_of_the_rows(bed: Bed) -> None:
    """Below the rule every screen begins with the verdict, the rows and the exit code, within 80 columns."""
    seen = []
    for given in (("--preflight",), ("--rehearse",), ("--audit",), (), ("--audit",)):
        done = bed.run(*given, "--operator", "me")
        rules = [n for n, line in enumerate(done.shown.splitlines()) if set(line) == {"─"}]
        first, *rest = done.shown.splitlines()[rules[-1] + 1 :]
        seen.append(first)
        long = [line for line in rest if len(line) > SCREEN_COLUMNS]
        assert all(line.startswith("  pytest --live ") for line in long), long
    assert seen == [
        "READY; no row was changed; exit 0",
        "CLEAR (rows); no row was changed; exit 0",
        "TRACE (rows); no row was changed; exit 1",
        "CLEAR (rows); rows were COMMITTED; exit 0",
        "CLEAR (rows); no row was changed; exit 0",
    ]


@on_postgres
def test_all_that_is_left_is_the_owners_alone(bed: Bed) -> None:
    """No file of a session can be read by others, and nothing sealed is left once it is attested."""
    done = bed.run()
    left = [done.session, *done.session.rglob("*")]
    assert [path for path in left if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert not list(done.session.glob("*.sealed"))
    assert re.search("attested", (done.session / "journal.jsonl").read_text("ascii"))


@on_mysql
def test_subjects_are_read_from_standard_input(bed: Bed) -> None:
    """With --wa-id-file=- a number typed with a comment is taken, and the next command asks for it again."""
    done = bed.run(
        "--rehearse", "--wa-id-file=-", people=(), stdin=f"# by phone\n\n{SUBJECT.number}\n"
    )
    assert done.status == 0, done.shown
    assert next_command(done).endswith("--wa-id-file=-")
