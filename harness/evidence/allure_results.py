"""Allure results that hold no number: allure-pytest writes through our logger, or not at all.

allure-pytest puts raw parametrize values, assertion texts, captured streams and skip
reasons into its files, and hashes raw values into ids. `install` takes its place when it
configures itself: same listener, a logger that redacts. A second wrapper corrects its
account of an interrupted test, which it reports as passed.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import allure_commons
from allure_commons.logger import AllureFileLogger
from allure_commons.model2 import Status, StatusDetails, TestResult
from allure_pytest.listener import AllureListener
from attr import asdict
from pluggy import HookimplMarker

from harness.errors import HarnessError, RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from harness.evidence.session import Session
    from harness.redaction import Json, Redactor

_pytest_hook: Final = HookimplMarker("pytest")  # pytest itself is imported in the plugin only

# What is compressed cannot be searched: archives, compressed streams, PDF.
_SEALED: Final = (b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd", b"7z\xbc\xaf", b"%PDF")
_WITHHELD: Final = b"[withheld: binary content that is not, or cannot be, shown to be clean]\n"


class _Config(Protocol):
    """What is needed of a `pytest.Config`."""

    option: Any
    pluginmanager: Any

    def add_cleanup(self, func: Callable[[], None]) -> None: ...


class RedactingLogger(AllureFileLogger):
    """Writes what Allure reports into the session's folder, redacted, with mode 0600.

    A result that cannot be written does not stop the run, which may be holding stores:
    `lost` counts them, and a session that lost one cannot be CLEAR.
    """

    def __init__(self, session: Session, redactor: Redactor) -> None:
        """Write into the session's own results folder."""
        super().__init__(session.allure_folder)  # type: ignore[no-untyped-call]  # has no types
        self._session = session
        self._redactor = redactor
        self._same_parameters: Counter[str] = Counter()
        self.lost = 0

    def _report_item(self, item: Any) -> None:  # noqa: ANN401  # any of Allure's documents
        """Write a result, a container or global facts; all three of Allure's hooks end here."""
        raw = asdict(item, filter=lambda _, value: value or value is False)
        try:
            # Labels may be of any type; like allure-commons we can only hold their text.
            plain = json.loads(json.dumps(raw, default=str))
            document = cast("dict[str, Json]", self._redactor.redact_structure(plain))
        except (HarnessError, ValueError, TypeError):
            self.lost += 1
            return
        if isinstance(item, TestResult):
            self._identify(document, changed=document.get("parameters") != plain.get("parameters"))
        text = json.dumps(document, ensure_ascii=False)
        self._write(item.file_pattern.format(prefix=uuid.uuid4()), _encode(text))

    @allure_commons.hookimpl
    def report_attached_file(self, source: str | Path, file_name: str) -> None:
        """Write a file's content, unless it is binary and not clean."""
        try:
            body = Path(source).read_bytes()
        except OSError:
            self.lost += 1
            return
        self.report_attached_data(body, file_name)

    @allure_commons.hookimpl
    def report_attached_data(self, body: str | bytes, file_name: str) -> None:
        """Write an attachment, unless it is binary and not clean.

        The name's extension is the test's choice, so it is redacted like its mention in the
        result, and the two stay the same.
        """
        data = _encode(self._redactor.redact(body)) if isinstance(body, str) else self._clean(body)
        self._write(self._redactor.redact(file_name), data)

    def _clean(self, body: bytes) -> bytes:
        """Return redacted text, a clean binary as it is, or a note in its place."""
        if body.startswith(_SEALED):
            return _WITHHELD
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" not in text:
            return _encode(self._redactor.redact(text))
        return _WITHHELD if self._redactor.leaks(body) else body

    def _identify(self, document: dict[str, Json], *, changed: bool) -> None:
        """Replace the ids that Allure made from raw values: a hash of a number gives it away.

        Results whose parameters became the same by redaction are numbered in their order,
        or Allure would take all but one for retries.
        """
        full_name = str(document.get("fullName", ""))
        parameters = cast("list[dict[str, Json]]", document.get("parameters", []))
        values = sorted(
            (str(one.get("name")), str(one.get("value")))
            for one in parameters
            if not one.get("excluded")
        )
        identity = json.dumps([full_name, values])
        if changed:
            self._same_parameters[identity] += 1
            identity += f"#{self._same_parameters[identity]}"
        document["testCaseId"] = _digest(full_name)
        document["historyId"] = _digest(identity)

    def _write(self, name: str, data: bytes) -> None:
        try:
            folder = self._session.allure_folder.name
            # Not durable: the verdict rests on histories, and a fsync per file costs seconds.
            self._session.write_bytes(f"{folder}/{name}", data, durable=False)
        except HarnessError:
            self.lost += 1


class InterruptionMarker:
    """Says of a test that was interrupted that it is broken; allure-pytest says passed."""

    def __init__(self, listener: AllureListener) -> None:
        """Watch the tests that the listener reports."""
        self._listener = listener

    @_pytest_hook(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Mark the running test if anything ends the protocol early.

        pytest makes no report for Ctrl-C or `pytest.exit`, so the status of the set-up,
        passed, would stay. The listener's own wrapper is outermost and writes after us.
        """
        try:
            return (yield)
        except BaseException as error:
            self._mark(error)
            raise

    def _mark(self, error: BaseException) -> None:
        result = self._listener.allure_logger.get_test(None)
        if result is None:
            return
        result.status = Status.BROKEN
        message = f"interrupted: {type(error).__name__}"
        result.statusDetails = StatusDetails(
            message=f"{message}: {error}" if str(error) else message
        )


def install(config: _Config, session: Session, redactor: Redactor) -> RedactingLogger:
    """Make allure-pytest write into the session's folder, through the redactor.

    Call it from a `pytest_configure` that comes first (``tryfirst=True``): allure-pytest
    must not have opened a folder of its own.

    Raises:
        RefusalError: ``--alluredir`` was given, or allure-pytest is switched off.
    """
    if not config.pluginmanager.hasplugin("allure_pytest"):
        message = "the evidence needs allure-pytest: leave out -p no:allure_pytest"
        raise RefusalError(message)
    if config.option.allure_report_dir:
        # Honouring it would put results outside the folder that is searched at the end.
        message = (
            "--alluredir is not for this suite, whose Allure results go, redacted, into the "
            "session's folder: use --reports to say where that is"
        )
        raise RefusalError(message)
    listener = AllureListener(config)
    logger = RedactingLogger(session, redactor)
    config.pluginmanager.register(listener, "allure_listener")
    config.pluginmanager.register(InterruptionMarker(listener), "interruption_marker")
    for plugin in (listener, logger):
        allure_commons.plugin_manager.register(plugin)
        config.add_cleanup(_unregister(plugin))
    return logger


def write_environment(session: Session, properties: Mapping[str, str]) -> Path:
    """Write Allure's ``environment.properties``, redacted; call it once, in the controller.

    Raises:
        EvidenceError: The file cannot be written.
    """
    lines = (f"{_escape_key(key)}={_escape(value)}\n" for key, value in properties.items())
    return session.write_text(
        f"{session.allure_folder.name}/environment.properties", "".join(lines)
    )


def _unregister(plugin: object) -> Callable[[], None]:
    def unregister() -> None:
        allure_commons.plugin_manager.unregister(plugin)

    return unregister


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="backslashreplace")).hexdigest()[:32]


def _encode(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")


def _escape(text: str) -> str:
    r"""Escape for a properties file: Latin-1 at most, so that the rest becomes ``\uXXXX``.

    Source: java.util.Properties.load.
    """
    one_line = " ".join(text.split()).replace("\\", "\\\\")
    units = one_line.encode("utf-16-be", errors="surrogatepass")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)  # noqa: PLR2004  # printable ASCII


def _escape_key(text: str) -> str:
    escaped = _escape(text)
    return "".join(f"\\{character}" if character in " =:#!" else character for character in escaped)
