"""Media files: found from rows that go, kept where rows that stay lead to them, else removed.

Called after the commit, with what the rows led to before it. Everything here may be repeated:
what a kill left is found and removed by the next call.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Final

from harness.errors import ConflictError, StoreError, SurfaceError
from harness.model import FileGap, MediaReference, MediaReferences, MediaRemoved
from harness.stores.media_references import named_by_rows
from harness.stores.media_words import encoded, keys
from harness.stores.protocol import StoreSet
from harness.surfaces.volume import Entry, Volume, opened, walk

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNKNOWN: Final = (
    "it stays, since a table could not be searched and rows of others may lead to it: see that "
    "every table can be read, and resume"
)
_Version = tuple[int, int, int, int, int]
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file to which rows lead; `digest` is SHA-256 of its content, or empty without any."""

    entry: Entry
    digest: bytes

    @property
    def identity(self) -> tuple[int, int]:
        """What is the same for all names of one file."""
        return self.entry.status.st_dev, self.entry.status.st_ino


@dataclass(slots=True)
class Finder:
    """Finds files in volumes; a content that was read once is not read again."""

    volumes: Sequence[Volume]
    _digests: dict[_Version, bytes] = field(default_factory=dict)

    def find(self, references: Iterable[MediaReference]) -> list[MediaFile]:
        """Return every file to which one of the references leads, by name or by content.

        Raises:
            SurfaceError: A folder or file cannot be read, so nobody knows what it is.
        """
        wanted = list(references)
        names = {key for one in wanted for name in one.names for key in keys(name)}
        digests = {digest for one in wanted for digest in one.digests}
        return list(self._found(names, digests))

    def _found(self, names: set[str], digests: set[bytes]) -> Iterator[MediaFile]:
        for volume in self.volumes:
            for entry, folder in walk(volume):
                named = bool(keys(entry.name) & names)
                if named or digests:
                    digest = self._digest(entry, folder)
                    if named or digest in digests:
                        yield MediaFile(entry, digest)

    def _digest(self, entry: Entry, folder: int) -> bytes:
        status = entry.status
        if not entry.is_regular or not status.st_size:
            return b""
        # A content that changes changes these.
        version = (
            *(status.st_dev, status.st_ino, status.st_size),
            *(status.st_mtime_ns, status.st_ctime_ns),
        )
        if version not in self._digests:
            self._digests[version] = _content_digest(entry, folder)
        return self._digests[version]


def _content_digest(entry: Entry, folder: int) -> bytes:
    try:
        descriptor = os.open(entry.name, _FLAGS, dir_fd=folder)
        with open(descriptor, "rb") as stream:  # noqa: PTH123  # a descriptor has no path
            return hashlib.file_digest(stream, "sha256").digest()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SurfaceError(
            f"A file of the media volume {entry.volume.label} cannot be read ({error.strerror}), "
            "so nobody knows whether rows lead to it: run as a user who may read every file."
        ) from None


def shared_files(
    store_set: StoreSet,
    files: Sequence[MediaFile],
    kept: Iterable[MediaReference] = (),
    masked: Callable[[bytes], bytes] = bytes,
) -> set[MediaFile]:
    """Return the files that stay, since rows lead to them that stay.

    The rows are read as the caller sees them; all that are left must be others'.

    Args:
        store_set: Where the rows are, without those of the subject.
        files: To which the subject's rows led.
        kept: Where rows led, before they were masked, that only mention the subject.
        masked: Returns a name as it is written in rows that were masked.

    Raises:
        StoreError: A table could not be searched, so nobody knows.
        MaskError: A name cannot be masked.
    """
    if not files:
        return set()
    written = {
        file: {file.entry.name, os.fsdecode(masked(encoded(file.entry.name)))} for file in files
    }
    names, digests = named_by_rows(
        store_set,
        sorted(set().union(*written.values())),
        sorted({file.digest for file in files if file.digest}),
    )
    known = _words(kept)
    return {
        file
        for file in files
        if written[file] & names or file.digest in digests or _words([_reference(file)]) & known
    }


@dataclass(frozen=True, slots=True)
class MediaRemoval:
    """Removes the files to which the subject's rows led, but for those that others lead to.

    To be carried out after the commit. `withheld` shows what would go and removes nothing: to
    be called inside the transaction that erased the rows, since afterwards they are back.
    `masked` returns a name as it is written in rows that were masked.
    """

    run: str
    volumes: Sequence[Volume]
    store_set: StoreSet
    masked: Callable[[bytes], bytes] = bytes
    withheld: bool = False

    def carried_out(self, references: MediaReferences) -> MediaRemoved:
        """Remove them, look again, and return what became of each; harmless when repeated.

        Raises:
            SurfaceError: A volume cannot be searched; nothing was removed.
            ConflictError: The transaction has to be tried again; nothing was removed.
            MaskError: A name cannot be masked; nothing was removed.
        """
        finder = Finder(self.volumes)
        files = finder.find(references.gone)
        shared = self._shared(files, references)
        if shared is None:
            gaps = {file.entry.place: FileGap(file.entry.surface, _UNKNOWN) for file in files}
            return self._became(references, files, [], gaps)
        going = [file for file in files if file not in shared]
        gaps = {} if self.withheld else _removed(finder, references, going, shared)
        return self._became(references, files, going, gaps)

    def _shared(
        self, files: Sequence[MediaFile], references: MediaReferences
    ) -> set[MediaFile] | None:
        """Return the files that stay, or None if nobody knows."""
        try:
            with nullcontext() if self.withheld else self.store_set.snapshot():
                return shared_files(self.store_set, files, references.kept, self.masked)
        except ConflictError:
            raise
        except StoreError:
            return None

    def _became(
        self,
        references: MediaReferences,
        files: Sequence[MediaFile],
        going: Sequence[MediaFile],
        gaps: Mapping[_Place, FileGap],
    ) -> MediaRemoved:
        absent = _absent(references, files)
        stay = {*going} | {file for file in files if file.entry.place in gaps}
        return MediaRemoved(
            run=self.run,
            referred=len(files) + absent,
            removed=sum(1 for file in going if file.entry.place not in gaps),
            shared=tuple(sorted(file.entry.surface for file in files if file not in stay)),
            absent=absent,
            left=tuple(sorted({*gaps.values(), *_elsewhere(files, going)})),
            withheld=self.withheld,
        )


def _absent(references: MediaReferences, files: Sequence[MediaFile]) -> int:
    """Return how many files that rows lead to are not there; rows that lead to one count once."""
    there = _words(_reference(file) for file in files)
    missing: set[str | bytes] = set()
    count = 0
    for one in sorted(references.gone, key=lambda one: (sorted(one.names), sorted(one.digests))):
        words = _words([one])
        if not words & there:
            count += not words & missing
            missing |= words
    return count


def _words(references: Iterable[MediaReference]) -> set[str | bytes]:
    """Return all names' keys and all digests."""
    words: set[str | bytes] = set()
    for one in references:
        words.update(*map(keys, one.names), one.digests)
    return words


def _reference(file: MediaFile) -> MediaReference:
    """Return what a row would say of a file."""
    digests = frozenset({file.digest} if file.digest else ())
    return MediaReference(frozenset({file.entry.name}), digests)


def _removed(
    finder: Finder,
    references: MediaReferences,
    going: Sequence[MediaFile],
    shared: set[MediaFile],
) -> dict[_Place, FileGap]:
    """Remove files, look for them again, and return those that are there all the same."""
    gaps = {file.entry.place: gap for file in going if (gap := _unlink(file))}
    for volume, folder in {(file.entry.volume, file.entry.folder) for file in going}:
        _sync(volume, folder)
    stay = {file.entry.place for file in shared}
    why = "it was removed, or came meanwhile, and is there: resume, or remove it by hand"
    try:
        for file in finder.find(references.gone):
            if file.entry.place not in stay:
                gaps.setdefault(file.entry.place, FileGap(file.entry.surface, why))
    except SurfaceError as error:
        gaps["", ""] = FileGap("media volumes", f"what was removed was not looked for: {error}")
    return gaps


def _unlink(file: MediaFile) -> FileGap | None:
    """Remove one file; return why not, if it is still there."""
    entry = file.entry
    if not entry.is_regular:
        why = "it is a link or no ordinary file, and stays: see where it leads, remove it by hand"
        return FileGap(entry.surface, why)
    try:
        with opened(entry.volume, entry.folder) as folder:
            now = os.lstat(entry.name, dir_fd=folder)
            if (now.st_dev, now.st_ino) != file.identity:
                return FileGap(entry.surface, "another file has taken its name: resume")
            os.unlink(entry.name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"it could not be removed ({error.strerror}): make its folder writable, and resume"
        return FileGap(entry.surface, why)
    return None


def _sync(volume: Volume, folder: str) -> None:
    try:
        with opened(volume, folder) as descriptor:
            os.fsync(descriptor)
    except OSError:
        # Looking again tells what is there; that it stays so is more than some shares promise.
        return


def _elsewhere(files: Sequence[MediaFile], going: Sequence[MediaFile]) -> Iterator[FileGap]:
    """Yield files that go whose content has a name that none of the files has."""
    names = Counter(file.identity for file in files)
    why = "its content has another name (a hard link), and stays there: find it and decide"
    for file in going:
        if file.entry.is_regular and file.entry.status.st_nlink > names[file.identity]:
            yield FileGap(file.entry.surface, why, lasting=True)
