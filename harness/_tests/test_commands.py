"""The command line, run as people run it: exit status, screen, evidence, and no number anywhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from harness import history
from harness.judge import judge
from harness.population.cases import CASES

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((REPOSITORY / "fixtures" / "verdict.schema.json").read_text(encoding="utf-8"))
ONE_CASE = "everywhere"
FOLDERS = "waba-erasure-harness-*/*"
SEEDED = {number for case in CASES for number in case.numbers()}


def command(*arguments: str, reports: Path) -> list[str]:
    """Return the command line of a session of its own."""
    return [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"--reports={reports}",
        *arguments,
    ]


def run(
    *arguments: str, reports: Path, cwd: Path = REPOSITORY, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a session to its end."""
    return subprocess.run(
        command(*arguments, reports=reports),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def verdict(reports: Path) -> dict[str, object]:
    """Return the newest session's verdict, checked against its schema."""
    document: dict[str, object] = json.loads(
        (reports / "latest" / "verdict.json").read_text(encoding="utf-8")
    )
    jsonschema.validate(document, SCHEMA)
    return document


def numbers_in(*places: Path | str) -> set[str]:
    """Return the seeded numbers that stand anywhere in texts, or in files and their names."""
    found = set()
    for place in places:
        files = (
            [path for path in place.rglob("*") if path.is_file()] if isinstance(place, Path) else []
        )
        texts = (
            [place]
            if isinstance(place, str)
            else [f"{p}\n{p.read_bytes().decode('latin-1')}" for p in files]
        )
        for text in texts:
            found |= SEEDED & set(re.findall(r"[0-9]{7,15}", text))
    return found


@pytest.mark.parametrize(
    ("engine", "named"),
    [("postgres", "axolotlStore.sender_keys"), ("mysql", "contactStore.wa_phones")],
)
def test_the_documented_routine_is_found_out(tmp_path: Path, engine: str, named: str) -> None:
    """Judged as a candidate, the documented routine exits 1 and the screen names what it forgets."""
    case = ONE_CASE if engine == "postgres" else "mapped"
    done = run(
        "--engine",
        engine,
        "--routine",
        "documented",
        "-k",
        case,
        "-v",
        f"--junitxml={tmp_path}/junit.xml",
        reports=tmp_path,
    )
    assert done.returncode == 1, done.stdout
    assert "TRACE (rows" in done.stdout
    assert named in done.stdout
    document = verdict(tmp_path)
    assert (document["verdict"], document["mode"], document["rows"]) == (
        "TRACE",
        "verify",
        "untouched",
    )
    assert any(f"{one['store']}.{one['table']}" == named for one in document["findings"])  # type: ignore[attr-defined]
    assert numbers_in(tmp_path, done.stdout, done.stderr) == set()


def test_as_a_control_it_is_clear_and_its_faults_are_expected(tmp_path: Path) -> None:
    """Without a candidate the same faults are expected, the verdict CLEAR, and its history says so again."""
    chosen = f"{ONE_CASE} and leaves_exactly"
    done = run("--engine", "mysql", "-k", chosen, reports=tmp_path)
    assert done.returncode == 0, done.stdout
    document = verdict(tmp_path)
    assert document["findings"] == []
    assert document["expected"]
    assert document["partial"]
    assert "partial" in done.stdout
    saved = history.read(next((tmp_path / "latest" / "runs").rglob("history.jsonl")))
    again = judge(saved)
    assert again.verdict.value == "CLEAR"
    assert len(again.expected) == len(document["expected"])  # type: ignore[arg-type]
    assert numbers_in(tmp_path, done.stdout, done.stderr) == set()
    assert ((tmp_path / "latest").stat().st_mode & 0o777) == 0o700


def test_a_number_in_the_evidence_would_be_seen(tmp_path: Path) -> None:
    """The search for numbers above finds one that is planted in a file, and one in a file's name."""
    number = min(SEEDED)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "note.json").write_text(f'{{"from":"{number}"}}', encoding="utf-8")
    assert numbers_in(tmp_path) == {number}
    assert numbers_in(f"E   assert '{number}@s.whatsapp.net'") == {number}


ROUTINES = REPOSITORY / "harness" / "_tests" / "routines"


@pytest.mark.parametrize("engine", ["mysql", "postgres"])
def test_a_routine_file_is_judged_like_the_plan(tmp_path: Path, engine: str) -> None:
    """A complete FILE is CLEAR on its own engine, named with its digest, and no password is shown."""
    path = ROUTINES / f"reference_{engine}.sql"
    done = run(f"--routine={path}", "-k", f"{ONE_CASE} or rely", reports=tmp_path)
    assert done.returncode == 0, done.stdout
    assert path.name in done.stdout
    document = verdict(tmp_path)
    runs: list[dict[str, str]] = document["runs"]  # type: ignore[assignment]
    assert {one["routine"] for one in runs} == {path.name}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert {one["routine_digest"] for one in runs} == {digest}
    assert {one["engine"].partition(":")[0] for one in runs} == {engine}
    assert numbers_in(tmp_path, done.stdout, done.stderr) == set()
    written = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert b"change-me" not in written + done.stdout.encode()


def test_the_vendors_map_as_a_file_is_found_out(tmp_path: Path) -> None:
    """The published map on disk exits 1; the screen names what it forgets and how it behaves."""
    path = ROUTINES / "vendor_postgres.sql"
    done = run(f"--routine={path}", "-k", f"{ONE_CASE} or rely", reports=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "axolotlStore.sender_keys" in done.stdout
    assert "called with NULL" in done.stdout
    assert "not carried out: line" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--routine=/absent/erase.sql"], "cannot be read"),
        ([f"--routine={ROUTINES / 'vendor_mysql.sql'}", "--engine=postgres"], "written for MySQL"),
        ([f"--routine={REPOSITORY / '.gitignore'}"], "no CREATE PROCEDURE"),
    ],
    ids=["absent", "other engine", "no routine"],
)
def test_a_file_that_cannot_serve_is_refused(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    """A FILE that is absent, for another engine, or no routine exits 4 and leaves nothing."""
    done = run(*arguments, reports=tmp_path)
    assert done.returncode == 4
    assert sentence in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", ["mysql", "postgres"])
def test_the_hardened_plan_is_clear(tmp_path: Path, engine: str) -> None:
    """Judged by name, the hardened plan is CLEAR, expects nothing, and is all that runs."""
    done = run("--engine", engine, "--routine=hardened", "-k", ONE_CASE, reports=tmp_path)
    assert done.returncode == 0, done.stdout
    document = verdict(tmp_path)
    assert document["findings"] == document["expected"] == []
    assert {one["routine"] for one in document["runs"]} == {"hardened"}  # type: ignore[attr-defined]
    assert numbers_in(tmp_path, done.stdout, done.stderr) == set()


@pytest.mark.parametrize(
    "arguments",
    [["--setup-only"], ["--maxfail=1", "-p", "no:erasure-interruption"], ["--collect-only"]],
    ids=str,
)
def test_a_session_that_runs_nothing_is_never_clear(tmp_path: Path, arguments: list[str]) -> None:
    """Whatever option leaves scenarios out, the verdict is UNKNOWN, marked partial, or absent."""
    done = run("--engine=mysql", "-k", ONE_CASE, *arguments, reports=tmp_path)
    if "--collect-only" in arguments:
        assert not list(tmp_path.iterdir())
    elif "--setup-only" in arguments:
        assert done.returncode == 10, done.stdout
        assert "never run" in done.stdout
    else:
        assert verdict(tmp_path)["partial"]


def test_a_subject_with_200_000_messages_is_erased(tmp_path: Path) -> None:
    """Among a crowd, a subject with 200 000 messages of their own is erased and nobody is hurt."""
    done = run("--routine=hardened", "--population=20000", "-k", "many or crowd", reports=tmp_path)
    assert done.returncode == 0, done.stdout
    cases = {(one["engine"], one["case"]) for one in verdict(tmp_path)["runs"]}  # type: ignore[attr-defined]
    assert {case for _, case in cases} == {"many-messages", "crowd"}
    assert len(cases) == 4
    assert numbers_in(tmp_path, done.stdout, done.stderr) == set()


def test_one_file_of_scenarios_is_a_partial_run(tmp_path: Path) -> None:
    """Naming less than all scenarios is said in the verdict's own line."""
    place = "scenarios/erasure/test_erasure.py::test_nobody_else_is_changed"
    done = run(place, "--engine=mysql", reports=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "partial" in done.stdout
    assert verdict(tmp_path)["partial"]


def test_a_path_that_does_not_exist_leaves_nothing(tmp_path: Path) -> None:
    """A usage error that pytest finds late leaves no session behind."""
    done = run("scenarios/absent.py", reports=tmp_path)
    assert done.returncode == 4
    assert not list(tmp_path.iterdir())


def test_evidence_that_cannot_be_written_is_unknown(tmp_path: Path) -> None:
    """When the reports folder is lost half way the session exits 10 and says so, never 0 or 1."""
    scenario = "import pytest, shutil, pathlib\ndef test_planted(pytestconfig):\n"
    scenario += "    for one in pathlib.Path(pytestconfig.getoption('reports')).iterdir():\n"
    scenario += "        shutil.rmtree(one, ignore_errors=True)\n"
    done = planted_scenario(tmp_path, scenario)
    assert done.returncode == 10, done.stdout + done.stderr
    assert "UNKNOWN" in done.stdout


def test_it_runs_from_another_folder(tmp_path: Path) -> None:
    """Started elsewhere with a path to the scenarios, a session does the same."""
    done = run(
        f"{REPOSITORY}/scenarios/erasure/test_documented.py",
        "--engine=mysql",
        "-k",
        ONE_CASE,
        reports=tmp_path / "r",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict(tmp_path / "r")["verdict"] == "CLEAR"


PIECE = "1541" + "555"
REFUSED = {
    "letters": (["--wa-id", PIECE + "abcd"], "7 to 15 digits"),
    "plus": (["--wa-id=+" + PIECE + "0123"], "7 to 15 digits"),
    "own identity": (["--wa-id=-1"], "7 to 15 digits"),
    "empty": (["--wa-id="], "7 to 15 digits"),
    "SQL": (["--wa-id", PIECE + "0123; drop table messages"], "7 to 15 digits"),
    "16 digits": (["--wa-id", "1" * 16], "7 to 15 digits"),
    "good but not live": (["--wa-id", PIECE + "0123"], "disposable servers"),
    "live": (["--live"], "needs a subject"),
    "no such file of wa_ids": (["--wa-id-file", "absent.txt"], "cannot be read"),
    "engine": (["--engine", "oracle"], "mysql"),
    "engine version": (["--engine", "postgres:9"], "postgres:10"),
    "routine": (["--routine", "mine.sql"], "--routine takes"),
    "no such db.env": (["--db-env", "absent.env"], "absent.env cannot be read"),
    "alluredir": (["--alluredir", "elsewhere"], "alluredir"),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_refused_in_one_sentence(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    """Bad input exits 4 with one sentence; nothing is started, and the value is not shown."""
    done = run(*arguments, reports=tmp_path / "reports")
    assert done.returncode == 4, done.stdout
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    value = arguments[-1].removeprefix("--wa-id=").strip()
    if "--wa-id" in arguments[0] and "file" not in arguments[0]:
        assert not value or value not in done.stdout + done.stderr
    assert not list(tmp_path.glob("reports/*/runs"))


def test_wa_ids_from_standard_input_are_checked(tmp_path: Path) -> None:
    """A malformed line on standard input is refused without being shown."""
    done = run(
        "--wa-id-file", "-", reports=tmp_path, stdin=f"# asked on Monday\n{PIECE}0123\n{PIECE}x\n"
    )
    assert done.returncode == 4
    assert "7 to 15 digits" in done.stderr
    assert PIECE not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("WA_DB_ENGINE=ORACLE\n", "must be MYSQL or PGSQL"),
        (
            "WA_DB_ENGINE='MYSQL'\r\nWA_DB_HOSTNAME=db\r\nWA_DB_USERNAME=wa\r\n",
            "WA_DB_PASSWORD is missing",
        ),
        (
            "# good\nWA_DB_ENGINE=MYSQL\nWA_DB_HOSTNAME=db\nWA_DB_USERNAME=wa\nWA_DB_PASSWORD=hushhush\n",
            "needs a subject",
        ),
    ],
    ids=["unknown engine", "missing password", "good"],
)
def test_a_db_env_is_checked(tmp_path: Path, content: str, says: str) -> None:
    """A db.env is read and checked before anything else is refused, and no password is shown."""
    path = tmp_path / "db.env"
    path.write_bytes(content.encode())
    path.chmod(0o600)
    done = run("--live", f"--db-env={path}", reports=tmp_path / "reports")
    assert done.returncode == 4
    assert says in done.stderr
    assert "hushhush" not in done.stdout + done.stderr


def test_an_unusable_reports_folder_is_refused(tmp_path: Path) -> None:
    """A reports folder that is a file is refused before a server is started."""
    (tmp_path / "file").touch()
    done = run(reports=tmp_path / "file")
    assert done.returncode == 4
    assert "--reports" in done.stderr


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for servers whose sockets' paths stay short, open to the servers' user."""
    folder = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def running_session(tmp_path: Path, short_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A session on both engines, in the middle of its runs, its servers in the short folder."""
    process = subprocess.Popen(
        command("-v", reports=tmp_path / "reports"),
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(short_folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "PASSED" in line:
            break
    assert list(short_folder.glob(FOLDERS))
    with process:
        yield process
        process.kill()


def servers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the server processes that a session started."""
    children = (
        Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    )
    return [int(child) for child in children]


def gone(pids: list[int]) -> bool:
    """Tell whether all of these processes end within a few seconds."""
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_a_server_killed_in_the_middle_is_unknown(
    running_session: subprocess.Popen[str], tmp_path: Path
) -> None:
    """When a server dies in the middle, the session ends with exit 10 and says why and what next."""
    pids = servers_of(running_session)
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    output, _ = running_session.communicate(timeout=60)
    assert running_session.returncode == 10, output
    assert "UNKNOWN" in output
    assert "stopped answering" in output or "could not be reached" in output
    assert verdict(tmp_path / "reports")["verdict"] == "UNKNOWN"
    assert gone(pids)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_an_interruption_leaves_nothing_behind(
    running_session: subprocess.Popen[str],
    tmp_path: Path,
    short_folder: Path,
    number: signal.Signals,
) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end the servers, remove their folders and leave an UNKNOWN verdict."""
    pids = servers_of(running_session)
    running_session.send_signal(number)
    output, _ = running_session.communicate(timeout=60)
    assert running_session.returncode == 2, output
    assert gone(pids)
    assert not list(short_folder.glob(FOLDERS))
    assert verdict(tmp_path / "reports")["verdict"] == "UNKNOWN"


def test_a_killed_session_leaves_no_server(
    running_session: subprocess.Popen[str], tmp_path: Path, short_folder: Path
) -> None:
    """After kill -9 the servers end by themselves; the next session removes the folders."""
    pids = servers_of(running_session)
    running_session.kill()
    assert gone(pids)
    left = set(short_folder.glob(FOLDERS))
    assert left
    subprocess.run(
        command("--engine=mysql", "-k", ONE_CASE, reports=tmp_path / "reports"),
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(short_folder)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert not {path for path in left if path.exists()}


def test_hypothesis_shows_nobody(tmp_path: Path) -> None:
    """Neither Hypothesis's most talkative setting nor its export of examples shows a number."""
    environment = {**os.environ, "HYPOTHESIS_EXPERIMENTAL_OBSERVABILITY": "1"}
    environment["HYPOTHESIS_STORAGE_DIRECTORY"] = str(tmp_path / "hypothesis")
    done = subprocess.run(
        command(
            *("--engine=mysql", "--routine=hardened", "-k", "any_world", "-s"),
            "--hypothesis-verbosity=debug",
            reports=tmp_path / "reports",
        ),
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    synthetic = re.compile(
        r"(?<!\d)(1[2-7]\d\d55501\d\d|447700900\d{3}|3363998\d{4}|55209?5550\d{4})"
    )
    exported = [p.read_text("utf-8") for p in tmp_path.rglob("*.jsonl")]
    assert not [text for text in (done.stdout, done.stderr, *exported) if synthetic.search(text)]


def planted_scenario(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run a session with one scenario of the test's own beside a good one."""
    scenario = tmp_path / "test_planted.py"
    scenario.write_text(f"import pytest\n{body}", encoding="utf-8")
    return run(
        str(scenario),
        f"{REPOSITORY}/scenarios/erasure/test_documented.py",
        f"--rootdir={REPOSITORY}",
        f"--confcutdir={REPOSITORY}",
        "-c",
        f"{REPOSITORY}/tox.ini",
        "--engine=mysql",
        "-k",
        f"planted or {ONE_CASE}",
        reports=tmp_path / "reports",
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def test_planted():\n    pytest.skip('no time')\n", "was skipped"),
        ("@pytest.mark.xfail\ndef test_planted():\n    assert False\n", "was skipped"),
        ("def test_planted():\n    {}['x']\n", "ended with KeyError"),
        (
            "@pytest.fixture\ndef broken():\n    raise OSError\ndef test_planted(broken):\n    pass\n",
            "ended with OSError",
        ),
    ],
    ids=["skip", "xfail", "crash", "broken fixture"],
)
def test_what_pytest_calls_green_or_red_is_unknown(tmp_path: Path, body: str, says: str) -> None:
    """A skip, an expected failure or a crash of a scenario leaves the verdict UNKNOWN."""
    done = planted_scenario(tmp_path, body)
    assert done.returncode == 10, done.stdout + done.stderr
    assert says in done.stdout


def test_a_number_in_an_assertion_never_shows(tmp_path: Path) -> None:
    """A scenario that fails with a row in its assertion shows no number, on screen or in evidence."""
    number = min(SEEDED)
    parts = f"'{number[:4]}' + '{number[4:]}'"
    done = planted_scenario(
        tmp_path, f"def test_planted():\n    row = {parts}\n    print(row)\n    assert row == ''\n"
    )
    assert done.returncode == 10
    assert numbers_in(done.stdout, done.stderr, tmp_path / "reports") == set()
    assert "[number]" in done.stdout
