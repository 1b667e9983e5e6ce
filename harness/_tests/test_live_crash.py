"""Live runs that are killed, interrupted and taken up again; judged by a plain client's dump."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import keys
from harness.model import EngineChoice, EngineKind
from harness.population.people import person

from .crashes import bed as beds
from .crashes.bed import NO_JOURNAL, SUBJECT, Bed, Session
from .crashes.dumps import AFTER, BEFORE, MIXED, Dump, Row, Yardstick
from .crashes.starter import REPOSITORY
from .crashes.trials import Aim, Victim, aimed, carry_out, phases

MESSAGES = 60
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FOUND = {BEFORE: "no row was changed", AFTER: "rows were COMMITTED"}
EVERY_PHASE = [(kind, phase) for kind in EngineKind for phase in phases(kind)]


def on(kind: EngineKind) -> pytest.MarkDecorator:
    """Run a test on one engine only: what it is about is the same, or is not, on the other."""
    return pytest.mark.parametrize("kind", [kind], indirect=True, ids=str)


@pytest.fixture(scope="module")
def served(choice: EngineChoice) -> Iterator[Bed]:
    """A server of the tests' own, to be killed, with a subject on it."""
    with beds.made(choice, MESSAGES) as made:
        yield made


@pytest.fixture
def bed(served: Bed) -> Iterator[Bed]:
    """The same; the stores are as they were at first again, whatever a test did to them."""
    yield served
    served.restore()


def state_of(bed: Bed) -> str:
    """Return whether all stores are before the erasure or after it, with nobody harmed."""
    seen = bed.yardstick.see(bed.client.dump())
    assert seen.harmed_rows == 0
    return seen.state


def stopped(session: Session, *states: str) -> Session:
    """Have a session stand still where its journal first says one of these, or soon after."""
    session.until(frozenset(states))
    session.stop()
    return session


def killed(bed: Bed, *states: str, subjects: Path | None = None) -> Session:
    """Start an erasure and kill it where its journal says one of these."""
    session = stopped(bed.start(subjects=subjects), *states)
    session.kill()
    return session


def killed_while(bed: Bed, state: str) -> Session:
    """Kill an erasure while its journal says this, and not a moment later."""
    while (session := killed(bed, state)).state() != state:
        bed.resume(session).wait()
        bed.restore()
    return session


def contents(folder: Path | None) -> dict[str, bytes]:
    """Return the files that say what became of a session."""
    assert folder
    names = ("journal.jsonl", "verdict.json", "preflight.json")
    files = [*folder.glob("runs/*/*"), *folder.glob("*.sealed"), *map(folder.joinpath, names)]
    return {str(path): path.read_bytes() for path in files if path.exists()}


def patched(bed: Bed, session: Session, patch: str) -> subprocess.CompletedProcess[str]:
    """Resume in a process in which something of the harness's was replaced."""
    program = f"import sys, pytest\n{patch}\nsys.exit(pytest.main(sys.argv[1:]))"
    arguments = bed.arguments(session.reports, f"--resume={session.folder}")
    return subprocess.run(
        [sys.executable, "-c", program, "-p", "no:cacheprovider", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- kill -9 --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "phase"), EVERY_PHASE, indirect=["kind"], ids=str, scope="session"
)
@pytest.mark.parametrize("victim", Victim)
def test_a_kill_in_any_phase_leaves_all_or_nothing(bed: Bed, victim: Victim, phase: str) -> None:
    """Killed wherever it is, a run that is taken up again has changed all stores or none, and says which."""
    draw = random.Random(phase)
    for _ in range(2):
        trial = carry_out(bed, victim, aimed(bed, phase, draw, attempt=1), twice=False)
        assert trial.faults == (), trial.screens
        assert trial.state in {BEFORE, AFTER}
        if trial.phase == phase:
            break


@on(EngineKind.POSTGRES)
@pytest.mark.parametrize("victim", Victim)
def test_a_kill_between_two_commits_is_finished(bed: Bed, victim: Victim) -> None:
    """Where PostgreSQL cannot prepare, a kill between the commits of two stores is finished by a resume."""
    with bed.no_room():
        trial = carry_out(bed, victim, Aim("committing", 0.3), hanging="jobqueueStore")
    assert trial.faults == (), trial.screens
    assert trial.half_way
    assert trial.state == AFTER


@on(EngineKind.POSTGRES)
def test_a_resume_that_does_nothing_is_seen(bed: Bed) -> None:
    """Half an erasure that nobody finishes is mixed to the plain client, and a fault."""
    with bed.no_room():
        trial = carry_out(
            bed,
            Victim.HARNESS,
            Aim("committing", 0.3),
            hanging="jobqueueStore",
            twice=False,
            resume=lambda on, _: on.look(),
        )
    assert trial.state == MIXED
    assert any("neither" in fault for fault in trial.faults)


def test_the_plain_client_sees_harm() -> None:
    """A bystander's row that is gone, changed, doubled or wrongly masked is counted as harm."""
    place = ("messageStore", "messages")
    kept, old, new = (b"1", b"hello"), (b"2", b"call 4915550001111"), (b"2", b"call 0123456789012")
    gone = (b"3", b"4915550001111")

    def dump(*rows: Row) -> Dump:
        return {place: Counter(rows)}

    number = "4915550001111"
    yardstick = Yardstick(dump(kept, old, gone), dump(kept, new), frozenset({number}))

    def seen(*rows: Row) -> tuple[str, int]:
        found = yardstick.see(dump(*rows))
        return found.state, found.harmed_rows

    assert seen(kept, old, gone) == (BEFORE, 0)
    assert seen(kept, (b"2", b"call 0999999999999")) == (AFTER, 0)
    assert seen(kept, new, gone) == (MIXED, 0)
    assert seen(new) == (MIXED, 1)
    assert seen((b"1", b"hallo"), new) == (MIXED, 2)
    assert seen(kept, kept, new) == (MIXED, 1)
    assert seen(kept, (b"2", b"call 012345")) == (MIXED, 1)
    assert seen(kept, (b"9", b"call 0123456789012")) == (MIXED, 1)


# --- what a kill leaves in the folder -------------------------------------------------------


@on(EngineKind.MYSQL)
@pytest.mark.parametrize(("phase", "state"), [("erasing", BEFORE), ("committed", AFTER)])
def test_torn_last_lines_do_not_stand_in_the_way(bed: Bed, phase: str, state: str) -> None:
    """Half a last line in the journal and in the history is left out, and the run taken up again."""
    session = killed(bed, phase)
    assert session.folder
    journal = session.folder / "journal.jsonl"
    run = journal.read_bytes().splitlines()[-1]
    torn = run.replace(f'"{phase}"'.encode(), b'"committing"')[:-9]
    for path in (journal, *session.folder.glob("runs/*/history.jsonl")):
        with path.open("ab") as stream:
            stream.write(torn)
    again = bed.resume(session)
    assert again.wait() == (0 if state == AFTER else 10), again.printed()
    assert FOUND[state] in again.printed()
    assert state_of(bed) == state
    assert torn not in journal.read_bytes().splitlines()


@on(EngineKind.MYSQL)
def test_what_was_sealed_and_never_noted_is_destroyed(bed: Bed) -> None:
    """A subject sealed by a run that was killed before it noted so is not left in the folder."""
    session = killed(bed, "committed")
    assert session.folder
    sealed = next(session.folder.glob("*.sealed")).read_bytes()
    for name in ("stray.sealed", "other.new"):
        (session.folder / name).write_bytes(sealed)
    assert bed.resume(session).wait() == 0
    assert not [*session.folder.glob("*.sealed"), *session.folder.glob("*.new")]


# --- a resume that cannot be ----------------------------------------------------------------


@on(EngineKind.MYSQL)
def test_another_key_is_refused(bed: Bed, tmp_path: Path) -> None:
    """With another pseudonym key a resume exits 4, touches nothing, and the right key still serves."""
    keys.make(tmp_path / "other.key")
    session = killed(bed, "committed")
    before = contents(session.folder)
    wrong = bed.resume(session, key=tmp_path / "other.key")
    assert wrong.wait() == 4, wrong.printed()
    assert "--pseudonym-key" in wrong.printed()
    assert "nothing was done" in wrong.printed()
    assert contents(session.folder) == before
    assert bed.resume(session).wait() == 0
    assert state_of(bed) == AFTER


@on(EngineKind.MYSQL)
def test_another_store_set_is_refused(bed: Bed, tmp_path: Path) -> None:
    """With a db.env of another prefix a resume exits 4 and leaves the evidence as it is."""
    path = tmp_path / "other.env"
    bed.write_db_env(path, prefix="other_")
    session = bed.start()
    assert session.wait() == 0
    before = contents(session.folder)
    wrong = bed.resume(session, db_env=path)
    assert wrong.wait() == 4, wrong.printed()
    assert "another store set" in wrong.printed()
    assert contents(session.folder) == before


@on(EngineKind.MYSQL)
def test_a_session_that_is_over_stays_as_it_is(bed: Bed) -> None:
    """Resuming what is finished changes no row and no journal, and exits as the session did."""
    session = bed.start()
    assert session.wait() == 0
    journal, rows = session.journal(), bed.client.dump()
    again = bed.resume(session)
    assert again.wait() == 0, again.printed()
    assert FOUND[AFTER] in again.printed()
    assert session.journal() == journal
    assert bed.client.dump() == rows


@on(EngineKind.MYSQL)
def test_a_session_that_never_began_has_nothing_to_finish(bed: Bed) -> None:
    """Without a journal, or with half a header, a resume exits 4 and says to run again."""
    reports = bed.fresh_reports()
    folder = reports / "20260101T000000Z-live-bcdfghjk"
    folder.mkdir(mode=0o700)
    session = Session(bed, 0, reports, reports, 0.0)
    for content in (b"", b'{"session": "2026'):
        if content:
            (folder / "journal.jsonl").write_bytes(content)
        again = bed.resume(session)
        assert again.wait() == 4, again.printed()
        assert "run it again" in again.printed()
    assert state_of(bed) == BEFORE


@on(EngineKind.MYSQL)
def test_a_server_that_is_away_does_not_hide_a_commit(bed: Bed, tmp_path: Path) -> None:
    """A resume that cannot reach the server exits 10 and still says that rows were committed."""
    session = bed.start()
    assert session.wait() == 0
    before = contents(session.folder)
    away = tmp_path / "away.env"
    bed.write_db_env(away)
    away.write_text(away.read_text().replace(f"={bed.server.port}\n", "=1\n"))
    again = bed.resume(session, db_env=away)
    assert again.wait() == 10, again.printed()
    assert FOUND[AFTER] in again.printed()
    assert contents(session.folder) == before


LOCKS = {
    EngineKind.MYSQL: "SELECT is_used_lock('waba_erase_crash_contactStore') IS NOT NULL",
    EngineKind.POSTGRES: "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
}


def test_two_resumes_at_once(bed: Bed) -> None:
    """While one resume is at work a second is refused with exit 4, and the first comes to its end."""
    session = killed(bed, "committed")
    first = bed.resume(session)
    while first.runs() and not bed.execute(LOCKS[bed.kind])[0][0]:
        pass
    first.stop()
    try:
        before = contents(session.folder)
        second = patched(
            bed, session, "from harness.plugin import live_work; live_work.RESUME_WAIT_S = 0.3"
        )
        assert second.returncode == 4, second.stdout + second.stderr
        assert "Another operator" in " ".join(second.stdout.split()), second.stdout
        assert contents(session.folder) == before
    finally:
        first.go_on()
    assert first.wait() == 0, first.printed()
    assert state_of(bed) == AFTER


def test_a_resume_that_fails_can_be_resumed(bed: Bed) -> None:
    """Where prepared transactions could not be undone the run stays open, and the next resume undoes them."""
    session = killed_while(bed, "preparing" if bed.kind is EngineKind.POSTGRES else "erasing")
    failed = patched(
        bed,
        session,
        "from harness.errors import UnsettledError\n"
        "from harness.stores import mysql, postgres\n"
        "def settle(*_, **__): raise UnsettledError('They still stand.')\n"
        "mysql.MySqlStoreSet.settle = postgres.PostgresStoreSet.settle = settle\n",
    )
    assert failed.returncode == 10, failed.stdout
    assert "--resume" in failed.stdout
    again = bed.resume(session)
    assert again.wait() == 10
    assert FOUND[BEFORE] in again.printed()
    assert bed.client.prepared() == 0
    assert state_of(bed) == BEFORE


@on(EngineKind.POSTGRES)
def test_what_is_prepared_too_late_is_undone_by_another_resume(bed: Bed) -> None:
    """Where a server prepares only after the resume was over, resuming once more rolls it back."""
    session = stopped(bed.start(), "erasing")
    sql = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = 'crash_waweb' AND state LIKE 'idle in transaction%'"
    )
    session.go_on()
    ((backend,),) = _until_one(bed, session, sql)
    session.until(frozenset({"preparing"}))
    os.kill(backend, signal.SIGSTOP)
    try:
        time.sleep(0.2)
        session.kill()
        first = bed.resume(session)
        assert first.wait() == 10, first.printed()
    finally:
        os.kill(backend, signal.SIGCONT)
    while bed.execute(f"SELECT 1 FROM pg_stat_activity WHERE pid = {backend}"):
        time.sleep(0.01)
    again = bed.resume(session)
    assert again.wait() == 10, again.printed()
    assert bed.client.prepared() == 0
    assert state_of(bed) == BEFORE


def _until_one(bed: Bed, session: Session, sql: str) -> list[tuple[int]]:
    while session.runs():
        if len(rows := bed.execute(sql)) == 1:
            return rows
    raise AssertionError(session.printed())


# --- several subjects -----------------------------------------------------------------------


def two_subjects(folder: Path) -> Path:
    """Return a file with the subject, and after them somebody else."""
    path = folder / "subjects"
    beds.write_private(path, f"{SUBJECT.number}\n{person(60).number}\n")
    return path


@on(EngineKind.MYSQL)
def test_a_subject_whose_turn_never_came_is_not_forgotten(bed: Bed, tmp_path: Path) -> None:
    """Killed with the first of two, a resume finishes the first and is UNKNOWN for the second."""
    session = killed(bed, "committed", subjects=two_subjects(tmp_path))
    again = bed.resume(session)
    assert again.wait() == 10, again.printed()
    assert FOUND[AFTER] in again.printed()
    assert "run it again" in again.printed()
    assert state_of(bed) == AFTER
    assert again.folder
    assert not list(again.folder.glob("*.sealed"))


@on(EngineKind.MYSQL)
def test_an_interruption_between_two_subjects(bed: Bed, tmp_path: Path) -> None:
    """Interrupted after the commit of the first of two, the second is not begun, and it is said."""
    session = stopped(bed.start(subjects=two_subjects(tmp_path)), "committed")
    os.kill(session.pid, signal.SIGTERM)
    session.go_on()
    assert session.wait() == 2, session.printed()
    assert FOUND[AFTER] in session.printed()
    assert "before this subject's turn" in " ".join(session.printed().split())
    assert state_of(bed) == AFTER
    assert session.folder
    assert not list(session.folder.glob("*.sealed"))


# --- signals and the deadline ---------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS, ids=lambda one: one.name)
def test_a_signal_before_the_commit_rolls_back(bed: Bed, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and SIGHUP before the commit exit 2 with every row as it was, and say so."""
    session = stopped(bed.start(), "begun", "erasing")
    os.kill(session.pid, number)
    session.go_on()
    assert session.wait() == 2, session.printed()
    assert FOUND[BEFORE] in session.printed()
    assert state_of(bed) == BEFORE
    assert session.folder
    assert not list(session.folder.glob("*.sealed"))


@pytest.mark.parametrize(
    ("number", "phase"),
    [*((one, "committing") for one in SIGNALS), (signal.SIGTERM, "closed")],
    ids=str,
)
def test_a_signal_after_the_decision_does_not_interrupt(
    bed: Bed, number: signal.Signals, phase: str
) -> None:
    """From the decision to commit on signals change nothing: the evidence is finished, exit 0."""
    session = stopped(bed.start(), phase)
    os.kill(session.pid, number)
    session.go_on()
    assert session.wait() == 0, session.printed()
    assert FOUND[AFTER] in session.printed()
    assert state_of(bed) == AFTER


@on(EngineKind.MYSQL)
def test_the_deadline_before_the_commit_rolls_back(bed: Bed) -> None:
    """When --deadline is over before the commit the run exits 10, says so, and no row is changed."""
    session = stopped(bed.start("--deadline=2"), "erasing")
    time.sleep(max(0.0, session.began_s + 2.5 - time.monotonic()))
    session.go_on()
    assert session.wait() == 10, session.printed()
    assert "--deadline was over" in session.printed()
    assert FOUND[BEFORE] in session.printed()
    assert state_of(bed) == BEFORE


@on(EngineKind.MYSQL)
def test_no_journal_is_needed_to_run_again(bed: Bed) -> None:
    """Killed before it has a journal, a session is simply run again."""
    trial = carry_out(bed, Victim.HARNESS, Aim("", 0.05))
    assert trial.phase == NO_JOURNAL
    assert (trial.state, trial.statuses, trial.faults) == (AFTER, (0, 0), ())
