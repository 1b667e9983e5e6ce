"""What `pytest --live` refuses before it reaches a server: exit 4, one sentence, nothing touched.

The store set of these tests is at a port where nobody listens: whoever tried it would exit 10.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness import keys
from harness.config import RunConfig
from harness.model import EngineKind, Secret

from .live_bed import REPOSITORY, SUBJECT, Desk, Done

NOWHERE = RunConfig(EngineKind.MYSQL, "127.0.0.1", 1, "nobody", Secret("Closed-door-11"))
ALL = "all or nothing"

# Options that make a part of a run look like the whole, or show what nobody may see.
PARTIAL = {
    "-k": (["-k", "remains"], ALL),
    "-m": (["-m", "live"], ALL),
    "--lf": (["--lf"], ALL),
    "--ff": (["--ff"], ALL),
    "--nf": (["--nf"], ALL),
    "--deselect": (["--deselect=scenarios/live"], ALL),
    "--maxfail": (["--maxfail=2"], ALL),
    "-x": (["-x"], ALL),
    "--stepwise": (["--stepwise"], ALL),
    "--ignore": (["--ignore=scenarios/erasure"], ALL),
    "--ignore-glob": (["--ignore-glob=*erasure*"], ALL),
    "--collect-only": (["--collect-only"], ALL),
    "--setup-only": (["--setup-only"], ALL),
    "--setup-plan": (["--setup-plan"], ALL),
    "--setup-show": (["--setup-show"], ALL),
    "--showlocals": (["--showlocals"], ALL),
    "--full-trace": (["--full-trace"], ALL),
    "--pdb": (["--pdb"], ALL),
    "--trace": (["--trace"], ALL),
    "--fixtures": (["--fixtures"], ALL),
    "--fixtures-per-test": (["--fixtures-per-test"], ALL),
    "--markers": (["--markers"], ALL),
    "--cache-show": (["--cache-show"], ALL),
    "--pastebin": (["--pastebin=all"], ALL),
    "a file": (["scenarios/live/test_live.py"], ALL),
    "a node id": (["scenarios/live/test_live.py::test_nothing_stands_in_the_way"], ALL),
    "-o addopts": (["-o", "addopts=-k remains"], ALL),
    "-o python_functions": (["-o", "python_functions=test_nothing_s*"], ALL),
    "-o testpaths": (["-o", "testpaths=scenarios/live"], ALL),
    "-c": (["-c", "pyproject.toml"], ALL),
    "an option of Allure's": (["--allure-severities=blocker"], ALL),
}
AMISS = {
    "--engine": (["--engine=mysql"], "disposable servers"),
    "--population": (["--population=5"], "disposable servers"),
    "--baseline": (["--baseline=v.json"], "disposable servers"),
    "two modes": (["--preflight", "--rehearse"], "exclude one another"),
    "two other modes": (["--audit", "--rehearse"], "exclude one another"),
    "--plan while rehearsing": (["--rehearse", f"--plan={'a' * 64}"], "leave the other mode"),
    "half a plan": (["--plan=abc"], "64 hexadecimal digits"),
    "--deadline in words": (["--deadline=soon"], "number of seconds"),
    "--deadline 0": (["--deadline=0"], "number of seconds"),
    "--deadline below 0": (["--deadline=-5"], "number of seconds"),
    "--deadline infinite": (["--deadline=inf"], "number of seconds"),
    "--resume and a subject": (["--resume=nonsense"], "no session's folder"),
    "--resume of /": (["--resume=/"], "no session's folder"),
    "--resume and a mode": (["--resume=x", "--audit"], "leave the other mode"),
    "no such holds": (["--hold-file=absent"], "cannot be read"),
    "no such treatments": (["--treatment=absent.toml"], "cannot be read"),
    "no such routine": (["--routine=absent.sql"], "cannot be read"),
    "a long ticket": (["--ticket=" + "x" * 201], "shorten it"),
}
REFUSED = PARTIAL | AMISS


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk with a subject and a store set that nobody can reach."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    _ = desk.key
    return desk


def given(desk: Desk) -> list[str]:
    """Return what would be a whole run, if it were not refused."""
    return [desk.db_env(NOWHERE), desk.ids(SUBJECT.number)]


@pytest.fixture(scope="module")
def refusals(desk: Desk) -> dict[str, Done]:
    """Every refusal, each in a process of its own, some at a time."""
    whole = given(desk)
    desks = {name: Desk(desk.folder / f"{n}") for n, name in enumerate(REFUSED)}

    def refused(name: str) -> Done:
        desks[name].folder.mkdir()
        desks[name].secrets |= desk.secrets
        return desks[name].run(*whole, *REFUSED[name][0], key=desk.key)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(REFUSED, pool.map(refused, REFUSED), strict=True))


def require_refused(done: Done, says: str) -> None:
    """See that a command was refused in one sentence, and left nothing."""
    assert done.status == 4, done.shown
    assert says in done.said
    errors = [line for line in done.shown.splitlines() if line.startswith("ERROR: ")]
    assert len(errors) == 1, done.shown
    assert re.search(r"[.:] [^.]*\.$|[:;] .*$", errors[0]), errors
    assert "Traceback" not in done.shown
    assert SUBJECT.number not in done.shown
    left = list(done.reports.glob("*")) if done.reports.exists() else []
    assert left == []


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(refusals: dict[str, Done], name: str) -> None:
    """The option is refused with exit 4 and the way out; no server is tried and nothing is left."""
    require_refused(refusals[name], REFUSED[name][1])
    option = REFUSED[name][0][0].split("=")[0]
    if name in PARTIAL and option.startswith("-") and "allure" not in option:
        assert option in refusals[name].said


def test_without_any_of_them_a_server_is_tried(desk: Desk) -> None:
    """The same command with none of these options tries the server, and exits 10: nobody listens."""
    for mode in ([], ["--preflight"]):
        done = desk.run(*given(desk), *mode, "-v", "--durations=3", "-p", "no:cacheprovider")
        assert done.status == 10, done.shown
        assert "could not be reached" in done.said
        assert "no row was changed" in done.said


def test_options_from_the_environment_are_refused_too(desk: Desk, tmp_path: Path) -> None:
    """PYTEST_ADDOPTS and Allure's test plan cannot make a run partial either."""
    plan = tmp_path / "plan.json"
    plan.write_text('{"tests": [{"selector": "scenarios.live.test_live#test_nothing"}]}', "utf-8")
    for around in (
        {"PYTEST_ADDOPTS": "-k remains"},
        {"PYTEST_ADDOPTS": "--deselect scenarios/live"},
        {"ALLURE_TESTPLAN_PATH": str(plan)},
    ):
        require_refused(desk.run(*given(desk), around=around), ALL)


def test_a_log_for_debugging_is_refused_and_removed(desk: Desk) -> None:
    """--debug writes the command line into a file before anybody can refuse it: so that is removed."""
    log = REPOSITORY / "pytestdebug.log"
    done = desk.run(*given(desk), f"--wa-id={SUBJECT.number}", "--debug")
    assert done.status == 4
    assert "--debug" in done.said
    assert not log.exists()


def test_help_is_help(desk: Desk) -> None:
    """--help and --version say what they say and leave nothing, also with --live."""
    for option in ("--help", "--version"):
        done = desk.run(*given(desk), option)
        assert done.status == 0, done.shown
        assert not done.reports.exists()


# --- files ----------------------------------------------------------------------------------


def test_no_subject_is_refused(desk: Desk) -> None:
    """Without a subject, or with a file that has none, the sentence names --wa-id-file."""
    env = desk.db_env(NOWHERE)
    require_refused(desk.run(env), "--wa-id-file")
    require_refused(desk.run(env, desk.ids("# nobody", name="none")), "--wa-id-file")
    require_refused(desk.run(env, "--wa-id-file=-"), "--wa-id-file")


@pytest.mark.parametrize(
    "text",
    [f"+{SUBJECT.number}", f"{SUBJECT.number}x", "١٢٣٤٥٦٧٨", "0044"],
    ids=["plus", "letter", "other digits", "short"],
)
def test_what_is_no_wa_id_is_refused_unseen(desk: Desk, text: str) -> None:
    """A line of a subjects' or holds' file that is no wa_id is refused without being shown."""
    env, bad = desk.db_env(NOWHERE), desk.file("bad", f"{text}\n")
    for options in ((f"--wa-id-file={bad}",), (desk.ids(SUBJECT.number), f"--hold-file={bad}")):
        done = desk.run(env, *options)
        require_refused(done, "7 to 15 digits")
        assert text not in done.shown


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606], ids=oct)
def test_a_db_env_that_everybody_may_read_is_refused(desk: Desk, mode: int) -> None:
    """A db.env with a password that the world may read is refused with the chmod to run."""
    done = desk.run(desk.db_env(NOWHERE, "open.env", mode), desk.ids(SUBJECT.number))
    require_refused(done, "chmod o= open.env")


def test_no_store_set_is_refused(desk: Desk) -> None:
    """With neither --db-env nor WA_DB_* the sentence names both."""
    require_refused(desk.run(desk.ids(SUBJECT.number)), "--db-env")


def test_several_store_sets_go_with_an_audit_only(desk: Desk) -> None:
    """Two --db-env are refused but for an audit, which tries them."""
    two = [*given(desk), desk.db_env(replace(NOWHERE, port=2), "two.env")]
    for mode in ([], ["--rehearse"], ["--preflight"]):
        require_refused(desk.run(*two, *mode), "--audit only")
    assert desk.run(*two, "--audit").status == 10


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604], ids=oct)
def test_a_key_that_others_reach_is_refused(desk: Desk, tmp_path: Path, mode: int) -> None:
    """A pseudonym key that group or world may reach is refused with the chmod to run."""
    keys.make(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    require_refused(desk.run(*given(desk), key=tmp_path / "k"), "chmod 600 k")


def test_what_is_no_key_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A --pseudonym-key that is absent, or is something else, is refused; none is made in its place."""
    require_refused(desk.run(*given(desk), key=tmp_path / "absent"), "keygen")
    assert not list(tmp_path.iterdir())
    other = desk.file("other", "AAAA\n")
    require_refused(desk.run(*given(desk), key=other), "holds no pseudonym key")


def test_the_sites_key_is_made_once(desk: Desk) -> None:
    """Without --pseudonym-key one is made in the home of whoever runs, 0600, and told; then it is used."""
    options = ("--live", *given(desk), f"--reports={desk.folder / 'first'}")
    told = [desk.pytest(*options).stdout for _ in range(2)]
    (key,) = (desk.folder / "home").rglob("pseudonym.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert ["made for this site" in " ".join(one.split()) for one in told] == [True, False]


STRAYS = (
    ["--preflight"],
    ["--rehearse"],
    ["--audit"],
    ["--accept-drift"],
    [f"--plan={'a' * 64}"],
    ["--resume=x"],
    ["--treatment=t.toml"],
    ["--hold-file=h"],
    ["--pseudonym-key=k"],
    ["--deadline=5"],
)


def test_live_options_without_live_are_refused(desk: Desk) -> None:
    """An option for real stores that was given without --live starts nothing, and the sentence names --live."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(lambda options: desk.pytest(*options), STRAYS):
            assert done.returncode == 4, done.stdout
            assert "add --live" in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
