"""Allure results hold no number, and an interrupted test is never passed.

Every claim is made about files that a pytest in a process of its own has written, and has
a negative control: the same run without our logger.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from harness.errors import HarnessError
from harness.evidence import allure_results
from harness.evidence.session import Session
from harness.redaction import NUMBER_MARK, Redactor

ROOT = Path(__file__).resolve().parents[2]


def fictional(last: int) -> str:
    """Return a number in the range for fiction; in pieces, for Hypothesis records constants."""
    return "".join(("1", "365", "555", f"{100 + last:04d}"))


@pytest.fixture
def redactor() -> Redactor:
    """Know the numbers that the tests below give away."""
    known = Redactor()
    for last in range(60):
        known.register_number(fictional(last))
    return known


@pytest.fixture
def session(tmp_path: Path, redactor: Redactor) -> Session:
    """Open a verify session in an empty reports folder."""
    return Session.create(tmp_path / "reports", "verify", redactor)


CONFTEST = """
import os
import signal
from pathlib import Path

import pytest

from harness.errors import RefusalError
from harness.evidence import allure_results
from harness.evidence.session import Session
from harness.redaction import Redactor


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if os.environ.get("SIGTERM_ROUTED"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    redactor = Redactor()
    for last in range(60):
        redactor.register_number("".join(("1", "365", "555", f"{100 + last:04d}")))
    session = Session.create(Path("reports"), "verify", redactor)
    try:
        allure_results.install(config, session, redactor)
    except RefusalError as refusal:
        raise pytest.UsageError(str(refusal)) from None
"""

PRELUDE = """
import base64
import logging
import os
import signal
import urllib.parse
from pathlib import Path

import allure
import pytest

def fictional(last):
    return "".join(("1", "365", "555", f"{100 + last:04d}"))

"""

# Each channel gives away the number of its own place in this list.
CHANNELS = """
@pytest.mark.parametrize("value", [fictional(0), int(fictional(1))])
def test_parameter(value):
    pass

@pytest.mark.parametrize("value", [None], ids=[fictional(2)])
def test_parameter_id(value):
    pass

def test_assertion():
    assert {"id": fictional(3)} == {}

def test_exception():
    raise RuntimeError(fictional(4))

def test_attached_text():
    allure.attach(fictional(5), "text", allure.attachment_type.TEXT)

def test_attached_bytes():
    allure.attach(fictional(6).encode(), "bytes", allure.attachment_type.JSON)

def test_attached_binary():
    allure.attach(b"\\xff\\x00" + fictional(7).encode(), fictional(8), allure.attachment_type.PNG)

def test_attached_file(tmp_path):
    file = tmp_path / "file"
    file.write_text(fictional(9))
    allure.attach.file(file, "file", extension=fictional(10))

def test_streams():
    print(fictional(11))
    import sys
    sys.stderr.write(fictional(12))
    logging.getLogger().warning(fictional(13))

@pytest.fixture
def failing_setup():
    raise ValueError(fictional(14))

def test_setup(failing_setup):
    pass

@pytest.fixture
def failing_teardown():
    yield
    raise ValueError(fictional(15))

def test_teardown(failing_teardown):
    pass

def test_skip():
    pytest.skip(fictional(16))

@pytest.mark.xfail(reason=fictional(17))
def test_expected_failure():
    raise AssertionError(fictional(18))

@allure.step("a step")
def a_step(wa_id):
    pass

def test_steps():
    with allure.step("about " + fictional(19)):
        a_step(fictional(20))
        a_step(int(fictional(21)))

def test_dynamic():
    allure.dynamic.title(fictional(22))
    allure.dynamic.description(fictional(23))
    allure.dynamic.parameter(fictional(24), fictional(25))
    allure.dynamic.parameter("masked", fictional(26), mode=allure.parameter_mode.MASKED)
    allure.dynamic.parameter("hidden", fictional(27), mode=allure.parameter_mode.HIDDEN)
    allure.dynamic.label("label", fictional(28))
    allure.dynamic.link("http://localhost/" + fictional(29), name=fictional(30))
    allure.dynamic.tag(fictional(31))

def test_globals():
    allure.global_attach(fictional(32), "global", allure.attachment_type.TEXT)
    allure.global_error(fictional(33), trace=fictional(34))

@pytest.mark.parametrize("value", [fictional(35), fictional(36)], ids=["one", "two"])
def test_named(value):
    pass

def test_encoded():
    allure.attach(base64.b64encode(fictional(37).encode()), "b64", allure.attachment_type.TEXT)
    print(" ".join(fictional(38)))
    print("".join(f"%{ord(digit):02X}" for digit in fictional(39)))

@pytest.mark.parametrize("value", ["same", "other"])
def test_harmless(value):
    allure.attach(b"\\x89PNG\\xff\\x00\\x01", "picture", allure.attachment_type.PNG)

def test_archive():
    allure.attach(b"PK\\x03\\x04\\xff\\x00", "archive", allure.attachment_type.ZIP)
"""
CHANNEL_COUNT = 40


def run_pytest(
    folder: Path, body: str, *arguments: str, conftest: str = CONFTEST, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest on a test module of its own in a process of its own."""
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_probe.py").write_text(PRELUDE + body)
    (folder / "pytest.ini").write_text("[pytest]\n")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "ALLURE"))}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--capture=fd",
            *arguments,
        ],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the test results below a folder by the test's name without parameters."""
    documents = (json.loads(path.read_text()) for path in folder.rglob("*-result.json"))
    return {document["fullName"].partition("#")[2]: document for document in documents}


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forms(number: str) -> list[bytes]:
    """Return how a number may stand in a file, the ids that Allure hashes from it included."""
    written = [number, " ".join(number), "".join(f"%{ord(digit):02X}" for digit in number)]
    written += [quote(f"+{number}", safe=""), base64.b64encode(number.encode()).decode()]
    hashed = [
        number,
        f"'{number}'",
        *(f"test_probe#{t}{number}" for t in ("test_parameter", "test_named")),
    ]
    written += [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in hashed]
    return [text.encode() for text in written]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the channels once with our logger."""
    folder = tmp_path_factory.mktemp("guarded")
    assert run_pytest(folder, CHANNELS).returncode == 1
    return folder / "reports"


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the channels once as allure-pytest does by itself."""
    folder = tmp_path_factory.mktemp("unguarded")
    assert run_pytest(folder, CHANNELS, "--alluredir=reports", conftest="").returncode == 1
    return folder / "reports"


def test_every_channel_leaks_without_us(unguarded: Path) -> None:
    """Negative control: without our logger each channel gives its number away, and so do ids."""
    found = files(unguarded)
    everything = b"".join((*(name.encode() for name in found), *found.values()))
    silent = [
        n for n in range(CHANNEL_COUNT) if not any(f in everything for f in forms(fictional(n)))
    ]
    assert silent == []
    assert forms(fictional(0))[-2] in everything
    assert forms(fictional(35))[-1] in everything


@pytest.mark.parametrize("channel", range(CHANNEL_COUNT))
def test_no_channel_leaks_with_us(guarded: Path, channel: int) -> None:
    """No file and no file's name holds the number, encoded or hashed."""
    found = files(guarded)
    assert found
    for name, content in found.items():
        for form in forms(fictional(channel)):
            assert form not in content, name
            assert form not in name.encode(), name


def test_our_own_search_agrees(guarded: Path, unguarded: Path, redactor: Redactor) -> None:
    """The last act of a session finds nothing with our logger, and plenty without it."""
    (session,) = guarded.iterdir()
    assert Session(session, "verify", redactor).sweep() == ()
    leaking = [name for name, content in files(unguarded).items() if redactor.leaks(content)]
    assert len(leaking) >= CHANNEL_COUNT // 2


def test_nothing_is_lost(guarded: Path, unguarded: Path) -> None:
    """As many results, containers, globals and attachments as allure-pytest writes itself."""
    kinds = ("*-result.json", "*-container.json", "*-globals.json", "*-attachment.*")
    for kind in kinds:
        ours, theirs = list(guarded.rglob(kind)), list(unguarded.rglob(kind))
        assert len(ours) == len(theirs) > 0, kind
    named = {path.name for path in guarded.rglob("*-attachment.*")}
    text = "".join(path.read_text() for path in guarded.rglob("*.json"))
    assert all(f'"source": "{name}"' in text for name in named)
    by_status = {name: result["status"] for name, result in results(guarded).items()}
    assert by_status == {name: result["status"] for name, result in results(unguarded).items()}


def test_results_are_private(guarded: Path) -> None:
    """Every file of the results has mode 0600."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in guarded.rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_binaries_are_kept_only_if_searchable_and_clean(guarded: Path) -> None:
    """A clean picture is kept; one that holds a number, and an archive, are withheld."""
    contents = list(files(guarded).values())
    assert contents.count(b"\x89PNG\xff\x00\x01") == 2
    assert sum(content.startswith(b"[withheld: ") for content in contents) == 2


def test_ids_are_stable_and_tell_cases_apart(guarded: Path, tmp_path: Path) -> None:
    """A second run has the same ids, and cases that redaction made equal keep apart."""
    assert run_pytest(tmp_path, CHANNELS).returncode == 1

    def ids(folder: Path) -> list[tuple[str, str]]:
        found = (json.loads(path.read_text()) for path in folder.rglob("*-result.json"))
        return sorted((one["testCaseId"], one["historyId"]) for one in found)

    assert ids(guarded) == ids(tmp_path)
    assert len({history for _, history in ids(guarded)}) == len(ids(guarded))


def test_alluredir_is_refused(tmp_path: Path) -> None:
    """--alluredir is refused with the way out, before any test, and makes no folder."""
    run = run_pytest(tmp_path, CHANNELS, "--alluredir=elsewhere")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--reports" in run.stderr
    assert not (tmp_path / "elsewhere").exists()
    run = run_pytest(tmp_path, CHANNELS, "-p", "no:allure_pytest", "-p", "no:allure")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR


# --- interruptions ----------------------------------------------------------------------

INTERRUPTIONS = {
    # A shell that runs its children in the background makes them ignore Ctrl-C.
    "Ctrl-C": "signal.signal(2, signal.default_int_handler); os.kill(os.getpid(), 2)",
    "exit": "pytest.exit('stopped by ' + fictional(1))",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "SystemExit": "raise SystemExit(0)",
}
PHASES = {
    "body": """
def test_interrupted():
    with allure.step("a step"):
        {}
""",
    "set-up": """
@pytest.fixture
def resource():
    {}

def test_interrupted(resource):
    pass
""",
    "tear-down": """
@pytest.fixture
def resource():
    yield
    {}

def test_interrupted(resource):
    pass
""",
}
FIRST = """
def test_finished():
    pass
"""


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("interruption", INTERRUPTIONS)
def test_an_interrupted_test_is_broken(tmp_path: Path, interruption: str, phase: str) -> None:
    """However and whenever a test is interrupted, its result is broken, and others stay."""
    body = FIRST + PHASES[phase].format(INTERRUPTIONS[interruption])
    run = run_pytest(tmp_path, body, SIGTERM_ROUTED="1")
    assert run.returncode != 0
    found = results(tmp_path)
    assert found["test_finished"]["status"] == "passed"
    assert found["test_interrupted"]["status"] == "broken", run.stdout
    assert fictional(1) not in json.dumps(found)


def test_an_unrouted_sigterm_leaves_no_result(tmp_path: Path) -> None:
    """SIGTERM with its default action ends pytest at once: the result is missing, not passed."""
    run = run_pytest(tmp_path, FIRST + PHASES["body"].format(INTERRUPTIONS["SIGTERM"]))
    assert run.returncode < 0
    assert set(results(tmp_path)) == {"test_finished"}


def test_allure_alone_calls_it_passed(tmp_path: Path) -> None:
    """Negative control: without our marker the interrupted test is reported as passed."""
    body = PHASES["body"].format(INTERRUPTIONS["exit"])
    run_pytest(tmp_path, body, "--alluredir=reports", conftest="")
    assert results(tmp_path)["test_interrupted"]["status"] == "passed"


# --- the logger by itself ---------------------------------------------------------------


def test_the_environment_is_redacted_and_escaped(session: Session) -> None:
    """Properties pass the redactor and keep the file's syntax, whatever is in them."""
    path = allure_results.write_environment(
        session, {"my engine": "MySQL 5.6.24", "tick=et": f"über\n{fictional(1)}"}
    )
    assert path.read_text() == f"my\\ engine=MySQL 5.6.24\ntick\\=et=\\u00fcber {NUMBER_MARK}\n"


def test_a_lost_result_is_counted(
    session: Session, redactor: Redactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that cannot be written does not raise into the run, but is counted."""
    logger = allure_results.RedactingLogger(session, redactor)
    assert logger.lost == 0

    def full(*_: object, **__: object) -> None:
        message = "no space left"
        raise HarnessError(message)

    monkeypatch.setattr(session, "write_bytes", full)
    logger.report_attached_data("text", "x-attachment.txt")
    logger.report_attached_file("missing", "y-attachment.txt")
    assert logger.lost == 2
