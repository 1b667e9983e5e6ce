"""A session's folder under the reports folder: private, redacted, durable, searched at the end.

Several sessions may share one reports folder at the same time. Each has a folder of its
own, and `latest` is a link that is replaced, never changed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal

from harness.errors import EvidenceError, RefusalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.redaction import Redactor

Mode = Literal["verify", "gate", "preflight", "rehearse", "audit", "live"]

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
# Consonants only: neither a word nor a digit run can come out.
_LETTERS: Final = "bcdfghjkmnpqrstvwxz"
SESSION_NAME: Final = re.compile(
    r"[0-9]{8}T[0-9]{6}Z-(?:verify|gate|preflight|rehearse|audit|live)-[a-z]{8}"
)
_PROBE_SIZE_BYTES: Final = 64 * 1024


class Session:
    """One session's folder, readable by its owner only."""

    def __init__(self, folder: Path, mode: Mode, redactor: Redactor) -> None:
        """Take over a folder that `create` has made, here or in another process.

        Raises:
            EvidenceError: There is no such folder, or it is not a session's.
        """
        if not folder.is_dir():
            message = "the session's folder is gone; nothing can be written to it"
            raise EvidenceError(message)
        self._folder = folder.resolve()
        # Taking the reports folder for a session's would publish and sweep the wrong place.
        if not SESSION_NAME.fullmatch(self._folder.name):
            message = "this is not a session's folder; make one with Session.create"
            raise EvidenceError(message)
        self._mode: Mode = mode
        self._redactor = redactor

    @classmethod
    def create(cls, reports: Path, mode: Mode, redactor: Redactor) -> Session:
        """Create ``<reports>/<UTC time>-<mode>-<random>`` and make sure that it can be filled.

        Raises:
            RefusalError: The reports folder is a file, cannot be written or is full.
        """
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = reports / f"{started}-{mode}-{_random_name()}"
        try:
            reports.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            _make_private_folder(folder)
            _probe(folder)
        except OSError as error:
            message = (
                f"the reports folder {redactor.redact(str(reports))} cannot be used "
                f"({error.strerror}): name another one with --reports"
            )
            raise RefusalError(message) from None
        return cls(folder, mode, redactor)

    def __repr__(self) -> str:
        """Name the folder without its place on the machine."""
        return f"Session({self.name})"

    # --- places -----------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The session's own folder, absolute."""
        return self._folder

    @property
    def name(self) -> str:
        """The folder's name, which names the session in evidence."""
        return self._folder.name

    @property
    def mode(self) -> Mode:
        """What kind of session this is."""
        return self._mode

    @property
    def allure_folder(self) -> Path:
        """Where Allure results go; made when first asked for."""
        return self._subfolder("allure-results")

    def run_folder(self, number: int) -> Path:
        """Return ``runs/<number>``; made when first asked for."""
        self._subfolder("runs")
        return self._subfolder(f"runs/{number}")

    def _subfolder(self, name: str) -> Path:
        folder = self._folder / name
        try:
            if not folder.is_dir():
                _make_private_folder(folder, exist_ok=True)
        except OSError as error:
            raise _unwritable(name, error) from None
        return folder

    # --- writing ----------------------------------------------------------------------------

    def write_json(self, name: str, document: object) -> Path:
        """Write a redacted JSON document, whole or not at all, and return its path.

        Raises:
            EvidenceError: The file cannot be written.
            HarnessError: The document holds something that JSON cannot.
        """
        redacted = self._redactor.redact_structure(document)
        text = json.dumps(redacted, indent=2, ensure_ascii=False, allow_nan=False)
        return self.write_bytes(name, f"{text}\n".encode("utf-8", errors="backslashreplace"))

    def write_text(self, name: str, text: str) -> Path:
        """Write redacted text, whole or not at all, and return its path.

        Raises:
            EvidenceError: The file cannot be written.
        """
        redacted = self._redactor.redact(text)
        return self.write_bytes(name, redacted.encode("utf-8", errors="backslashreplace"))

    def write_bytes(self, name: str, data: bytes, *, durable: bool = True) -> Path:
        """Write bytes that the caller has redacted; with `durable` they are on the disk after.

        Raises:
            EvidenceError: The name leads out of the folder, or the file cannot be written.
        """
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or not parts.name:
            message = "a session writes only into its own folder"
            raise EvidenceError(message)
        path = self._folder / parts
        try:
            _replace_file(path, data, durable=durable)
        except OSError as error:
            raise _unwritable(self._redactor.redact(name), error) from None
        return path

    def publish(self) -> Path:
        """Point ``<reports>/latest`` at this session and return the link.

        The link is made aside and renamed over the old one, so that a reader finds one
        session or the other, also when several finish at once; the last to finish stays.

        Raises:
            EvidenceError: The link cannot be replaced.
        """
        reports = self._folder.parent
        aside = reports / f".latest-{_random_name()}"
        try:
            aside.symlink_to(self.name, target_is_directory=True)
            try:
                aside.replace(reports / "latest")
            finally:
                aside.unlink(missing_ok=True)
            _sync_folder(reports)
        except OSError as error:
            raise _unwritable("latest", error) from None
        return reports / "latest"

    def discard(self) -> None:
        """Remove the folder: the request was refused, and nothing was done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the last act -----------------------------------------------------------------------

    def sweep(self) -> tuple[str, ...]:
        """Return the own files that hold a registered number or secret, by relative name.

        Names are searched like contents, and returned redacted.

        Raises:
            EvidenceError: A file could not be read, so that nothing can be said about it.
        """
        found = []
        for path in self._files():
            name = path.relative_to(self._folder).as_posix()
            try:
                data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
            except OSError as error:
                message = (
                    f"{self._redactor.redact(name)} in the session's folder cannot be searched "
                    f"({error.strerror}): look at it before handing the folder on"
                )
                raise EvidenceError(message) from None
            if self._redactor.leaks(os.fsencode(name)) or self._redactor.leaks(data):
                found.append(self._redactor.redact(name))
        return tuple(found)

    def _files(self) -> Iterator[Path]:
        """Yield all files and links below the folder, in a stable order, following no link."""
        for folder, subfolders, names in os.walk(self._folder):
            subfolders.sort()
            here = Path(folder)
            links = [name for name in subfolders if (here / name).is_symlink()]
            yield from (here / name for name in sorted([*names, *links]))


def _random_name() -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def _make_private_folder(folder: Path, *, exist_ok: bool = False) -> None:
    """Make a folder with mode 0700 whatever the umask; only the last part may be missing."""
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=exist_ok)
    folder.chmod(_FOLDER_MODE)


def _probe(folder: Path) -> None:
    """Write and remove a file: a full disk still makes folders, and root may write anywhere."""
    probe = folder / ".probe"
    try:
        _replace_file(probe, b"\0" * _PROBE_SIZE_BYTES, durable=True)
        probe.unlink()
    except OSError:
        probe.unlink(missing_ok=True)
        folder.rmdir()
        raise


def _replace_file(path: Path, data: bytes, *, durable: bool) -> None:
    """Write aside with mode 0600, then rename: a crash leaves the old file or the new one."""
    aside = path.with_name(f".{path.name}.{_random_name()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), _FILE_MODE)
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make renames in the folder survive a power cut.

    Source: fsync(2): the directory entry is only on the disk after fsync on the directory.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(name: str, error: OSError) -> EvidenceError:
    """Return the error for something that could not be written into the session's folder."""
    return EvidenceError(
        f"{name} could not be written to the session's folder ({error.strerror}): "
        "the evidence is incomplete; make room and run again"
    )
