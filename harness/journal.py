"""The durable state of a live session: what was decided, before it is done; and how to go on.

`journal.jsonl` in the session's folder has a line for each step of each run, on the disk
before the step is taken and after it. What a run needs to be finished by somebody else (the
frozen closure, the masks' seed, the fingerprints' key) stands beside it, sealed under the
site's key, and is destroyed when the run is attested. Neither names a person.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cattrs import Converter

from harness.errors import EvidenceError, RefusalError
from harness.identity import Closure, WaId
from harness.keys import SiteKey
from harness.model import MediaReference, MediaReferences, TableChange

NAME: Final = "journal.jsonl"
_CONVERTER: Final = Converter(forbid_extra_keys=True)


class State(StrEnum):
    """How far a run has come; from COMMITTING on it is finished, before that it is undone."""

    BEGUN = "begun"
    LOCATED = "located"
    ERASING = "erasing"
    PREPARING = "preparing"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    SWEPT = "swept"
    COLLECTING = "collecting"
    SCRUBBING = "scrubbing"
    CLOSED = "closed"
    ATTESTED = "attested"


_OVER: Final = (State.CLOSED, State.ATTESTED)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `names` are transactions about to be prepared, `tables` what is to be committed.

    `token` is one attempt's. `stores` are those already committed one by one, where one
    decision cannot commit them all.
    """

    run: str
    state: State
    at: str = ""
    round: int = 0
    names: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    tables: tuple[TableChange, ...] = ()
    token: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what the session is about, to be recognised when it is resumed.

    `server` is a digest of what the server calls itself, `treatments` one of the manifest with
    the operator's own; `plans` are the digests of plans that were asked for, if any. The folders
    are absolute paths, so that whoever resumes need not name them again; so are the client's API
    and what it is to collect.
    """

    session: str
    mode: str
    engine: str
    prefix: str
    routine: str
    server: str = ""
    stores: tuple[str, ...] = ()
    treatments: str = ""
    plans: tuple[str, ...] = ()
    log_dirs: tuple[str, ...] = ()
    media_dirs: tuple[str, ...] = ()
    log_treatment: str = "mask"
    webapp_url: str = ""
    webapp_ca: str = ""
    garbage: tuple[str, ...] = ()
    marks_read: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """What finishing a run takes, and nobody but the site may read.

    `media` are the files to which erased rows led, of all rounds so far.
    """

    closure: Closure
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    digest_key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    media: MediaReferences = field(default_factory=MediaReferences)

    def __repr__(self) -> str:
        return "Held(***)"

    def with_new_masks(self) -> Held:
        """Return the same with another seed, from which other masks are drawn."""
        return replace(self, seed=secrets.token_bytes(32))

    def with_media(self, media: MediaReferences) -> Held:
        """Return the same with more files: rounds of one erasure add up."""
        return replace(self, media=self.media | media)


@dataclass(frozen=True, slots=True)
class Progress:
    """All entries of one run, and what they say."""

    run: str
    entries: tuple[Entry, ...]

    @property
    def last(self) -> Entry:
        """The newest entry."""
        return self.entries[-1]

    @property
    def over(self) -> bool:
        """Whether the run was judged: there is nothing to finish."""
        return self.last.state in _OVER

    @property
    def attested(self) -> bool:
        """Whether its verdict was written, and what was sealed is destroyed."""
        return self.last.state is State.ATTESTED

    @property
    def decided(self) -> Entry | None:
        """The newest decision to commit that was not taken back, or None."""
        revoked = {one.token for one in self.entries if one.state is State.ROLLED_BACK}
        decisions = [one for one in self.entries if one.state is State.COMMITTING]
        return next((one for one in reversed(decisions) if one.token not in revoked), None)

    @property
    def committed(self) -> bool:
        """Whether the newest decision is known to have been carried out."""
        return self.decided is not None and any(
            one.state is State.COMMITTED and one.token == self.decided.token for one in self.entries
        )

    def prepared(self, *, decided: bool) -> tuple[str, ...]:
        """Return the names of transactions that may stand prepared: to be committed, or undone."""
        tokens = {self.decided.token} if self.decided else set()
        preparing = (one for one in self.entries if one.state is State.PREPARING)
        return tuple(
            name for one in preparing if (one.token in tokens) is decided for name in one.names
        )


class Journal:
    """The journal of one session, in its folder."""

    def __init__(self, folder: Path, key: SiteKey) -> None:
        self._folder = folder
        self._key = key

    def open(self, header: Header) -> None:
        """Begin the journal of a new session.

        Raises:
            EvidenceError: It cannot be written.
        """
        self._append(_CONVERTER.unstructure(header))

    def begin(self, run: str, held: Held) -> None:
        """Note that a run is to be; what undoing it takes is sealed before.

        Raises:
            EvidenceError: It cannot be written.
        """
        self.keep(run, held)
        self.note(Entry(run, State.BEGUN))

    def note(self, entry: Entry) -> None:
        """Add an entry; it is on the disk when this returns.

        Raises:
            EvidenceError: It cannot be written: what it announces must not be done.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._append(_CONVERTER.unstructure(replace(entry, at=at)))

    def keep(self, run: str, held: Held) -> None:
        """Seal what the run needs to be finished, in place of what was sealed before.

        Raises:
            EvidenceError: It cannot be written.
        """
        closure = held.closure
        plain = {
            "wa_id": closure.wa_id.number,
            "aliases": sorted(closure.aliases),
            "lids": sorted(closure.lids),
            "seed": held.seed.hex(),
            "digest_key": held.digest_key.hex(),
            "media": {"gone": _plain(held.media.gone), "kept": _plain(held.media.kept)},
        }
        sealed = self._key.seal(json.dumps(plain).encode("ascii"), run=run)
        path = self._sealed(run)
        aside = path.with_suffix(".new")
        try:
            aside.unlink(missing_ok=True)
            with _private(aside) as stream:
                stream.write(sealed)
                os.fsync(stream.fileno())
            aside.replace(path)
            _sync(self._folder)
        except OSError as error:
            raise _unwritable(error) from None

    def held(self, run: str) -> Held:
        """Return what was sealed for a run.

        Raises:
            EvidenceError: It is gone, or was sealed with another key.
        """
        try:
            sealed = self._sealed(run).read_bytes()
        except OSError as error:
            raise EvidenceError(
                f"What the interrupted run sealed cannot be read ({error.strerror}): without it "
                "the run cannot be finished; run an audit, and erase again."
            ) from None
        plain = json.loads(self._key.unseal(sealed, run=run))
        closure = Closure(
            WaId(plain["wa_id"]), frozenset(plain["aliases"]), frozenset(plain["lids"])
        )
        seed, digest_key = (bytes.fromhex(plain[name]) for name in ("seed", "digest_key"))
        media = MediaReferences(**{name: _read(one) for name, one in plain["media"].items()})
        return Held(closure, seed, digest_key, media)

    def attest(self, run: str) -> None:
        """Destroy what was sealed for a run: its masks can never be turned back any more.

        Raises:
            EvidenceError: It cannot be removed.
        """
        self._destroy(self._sealed(run))
        self.note(Entry(run, State.ATTESTED))

    def tidy(self) -> None:
        """Cut off a last line that was never finished, and destroy what no entry tells of.

        What an unfinished line announced was not done, and a run that was sealed and never
        noted did not begin. To be called by whoever alone may write here.

        Raises:
            EvidenceError: Something cannot be removed.
        """
        mend(self._folder / NAME)
        _, progresses = self.read()
        known = {self._sealed(one.run) for one in progresses if not one.attested}
        there = [*self._folder.glob("*.sealed"), *self._folder.glob("*.new")]
        for path in {one.with_suffix(".sealed") for one in there} - known:
            self._destroy(path)

    def _destroy(self, path: Path) -> None:
        try:
            if path.exists():
                # Overwritten as far as a file system lets us; the key that sealed it is apart.
                with path.open("r+b") as stream:
                    stream.write(b"\0" * path.stat().st_size)
                    stream.flush()
                    os.fsync(stream.fileno())
                path.unlink()
            path.with_suffix(".new").unlink(missing_ok=True)
            _sync(self._folder)
        except OSError as error:
            raise _unwritable(error) from None

    def read(self) -> tuple[Header, tuple[Progress, ...]]:
        """Return the header and every run in the order in which they began.

        A last line that was never finished does not count, and another session may be writing it.

        Raises:
            RefusalError: There is no journal in the folder, or it is not one of ours.
        """
        path = self._folder / NAME
        try:
            lines = path.read_bytes().split(b"\n")[:-1]
        except OSError:
            lines = []
        if not lines:
            raise RefusalError(
                "This session ended before it began with anybody, so nothing was touched and "
                "there is nothing to finish: run it again."
            )
        try:
            header = _CONVERTER.structure(json.loads(lines[0]), Header)
            entries = [_CONVERTER.structure(json.loads(line), Entry) for line in lines[1:]]
        except Exception:  # noqa: BLE001  # whatever it is, it quotes the content
            raise RefusalError(
                f"The {NAME} of this session cannot be read: name the folder of an interrupted "
                "live session, as it was left."
            ) from None
        return header, tuple(_by_run(entries))

    def _append(self, document: dict[str, Any]) -> None:
        line = json.dumps(document).encode("ascii") + b"\n"
        mend(self._folder / NAME)
        try:
            with _private(self._folder / NAME) as stream:
                # Half a line of a full disk does not count, and is cut off before the next one.
                stream.write(line)
                os.fsync(stream.fileno())
        except OSError as error:
            raise _unwritable(error) from None

    def _sealed(self, run: str) -> Path:
        return self._folder / f"{run}.sealed"


def _plain(references: Iterable[MediaReference]) -> list[tuple[list[str], list[str]]]:
    return sorted(
        (sorted(one.names), sorted(digest.hex() for digest in one.digests)) for one in references
    )


def _read(plain: Iterable[tuple[list[str], list[str]]]) -> frozenset[MediaReference]:
    return frozenset(
        MediaReference(frozenset(names), frozenset(map(bytes.fromhex, digests)))
        for names, digests in plain
    )


def header_of(folder: Path) -> Header:
    """Return what the session of a folder was about, or nothing in particular if none is told."""
    try:
        first = (folder / NAME).read_bytes().partition(b"\n")[0]
        return _CONVERTER.structure(json.loads(first), Header)
    except Exception:  # noqa: BLE001  # whoever resumes it is told why it cannot be read
        return Header("", "", "", "", "")


def mend(path: Path) -> None:
    """Cut off what a kill left of a last line; a file that is not there is left so.

    Raises:
        EvidenceError: The file cannot be written.
    """
    try:
        with path.open("r+b") as stream:
            content = stream.read()
            if content.endswith(b"\n"):
                return
            whole = content.rpartition(b"\n")[0]
            stream.truncate(len(whole) + 1 if whole else 0)
            os.fsync(stream.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(error) from None


def _by_run(entries: Iterable[Entry]) -> Iterable[Progress]:
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    return [Progress(run, tuple(own)) for run, own in runs.items()]


@contextmanager
def _private(path: Path) -> Iterator[_Durable]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        yield _Durable(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Durable:
    """A file that is written without a buffer, whose rest could be written after an error."""

    descriptor: int

    def fileno(self) -> int:
        return self.descriptor

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.descriptor, data) :]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(error: OSError) -> EvidenceError:
    return EvidenceError(
        f"The session's journal could not be written ({error.strerror}), so nothing was begun that "
        "it could not vouch for: make room and run again."
    )
