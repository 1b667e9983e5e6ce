"""Every file of a file set, searched once, whatever rotation does to their names meanwhile."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final

from harness.model import FileGap, FileTrace
from harness.surfaces.crew import Job, carried_out
from harness.surfaces.fileset import FileKind, FileSet, Found, Place, version_of
from harness.surfaces.look import FileSearch, FileSeen, is_packed_file, look

_LISTINGS: Final = 5
"""How often the folders are listed anew, since a rotation may have renamed what was not read."""
_POSITIVE: Final = (1 << 62) - 1
_BATCH_FILES: Final = 20_000
"""How many files are listed before they are read: a media volume may have millions."""


@dataclass(slots=True)
class FileSighting:
    """What one pass over a file set saw; `marked` are files, `named` what has a telling name.

    `masks` counts places that bear a mask of the run's already.
    """

    files: int = 0
    size_bytes: int = 0
    content_bytes: int = 0
    traces: list[FileTrace] = field(default_factory=list)
    gaps: list[FileGap] = field(default_factory=list)
    marked: list[Found] = field(default_factory=list)
    named: list[Found] = field(default_factory=list)
    masks: int = 0


def sweep_files(file_set: FileSet, search: FileSearch) -> FileSighting:
    """Search every file and every name below the roots, in several processes if there is much."""
    sweep = _Sweep(file_set, search)
    for _ in range(_LISTINGS):
        listed = sweep.listed()
        batches = iter(lambda: list(islice(listed, _BATCH_FILES)), [])  # noqa: B023  # used up here
        if not sum(sweep.read(batch) for batch in batches):
            break
    else:
        sweep.note_restless()
    return sweep.sighting()


class _Sweep:
    """One pass in progress; of a file that holds nothing no more than its inode is kept."""

    def __init__(self, file_set: FileSet, search: FileSearch) -> None:
        self._files = file_set
        self._search = search
        self._read: dict[int, int] = {}
        self._names: dict[Place, tuple[Found, Counter[str]]] = {}
        self._marked: dict[int, Found] = {}
        self._traces: dict[int, list[FileTrace]] = {}
        self._gaps: dict[FileGap, None] = {}
        self._sums = FileSighting()

    def listed(self) -> Iterator[Found]:
        """Yield the files that were not read yet; judge all names on the way."""
        self._names.clear()
        for found in self._files.walk():
            if found.broken:
                self._gap(found.place, found.broken)
                continue
            self._judge_name(found)
            if found.target:
                self._judge_link(found)
            elif found.is_file and not self._knows(found):
                yield found

    def _knows(self, found: Found) -> bool:
        """Tell whether a file was read; what was written to its end since is for a later look."""
        known = self._read.get(found.key)
        if known is None or found.status is None:
            return False
        _, size_bytes, written_ns = version_of(found.status)
        if known == _version(size_bytes, written_ns):
            return True
        # A negative number is the size of a plain file, which others may be writing to.
        grown_bytes = size_bytes + 1 + known
        if known >= 0 or grown_bytes < 0:
            return False
        return grown_bytes == 0 or not self._is_packed(found.place)

    def _is_packed(self, place: Place) -> bool:
        try:
            return is_packed_file(self._files, place)
        except OSError:
            return False

    def note_restless(self) -> None:
        """Say that there was no end to files that are new."""
        for number, _ in enumerate(self._files.roots):
            why = (
                "files were made or renamed faster than they could be read: look again when it is "
                "quiet"
            )
            self._gap(Place(number, ()), why)

    def read(self, new: Sequence[Found]) -> int:
        """Search these files, the largest first; return how many there were."""
        ordered = sorted(new, key=lambda one: one.size_bytes, reverse=True)
        job = Job(_look, (self._files, self._search))
        size_bytes = sum(one.size_bytes for one in ordered)
        places = {one.place: one for one in ordered}
        for seen in carried_out(job, list(places), size_bytes, _crashed):
            self._note(seen, places[seen.place])
        return len(new)

    def _note(self, seen: FileSeen, found: Found) -> None:
        sums = self._sums
        key = self._opened(seen, found)
        if key != found.key:
            # Another file has the name by now: that one was read, and this one is yet to come.
            found = replace(found, status=None)
        sums.size_bytes += seen.size_bytes
        sums.content_bytes += seen.content_bytes
        sums.masks += seen.masks
        shown = self._files.shown(seen.place)
        for part, why in seen.gaps:
            self._gaps[FileGap(f"{shown}{part}", why)] = None
        kept = self._files.roots[seen.place.root].kind is FileKind.MEDIA
        # What is a log by any of its names is one, and is to be masked.
        if seen.hits and not (kept and key in self._marked):
            self._marked[key] = found
            self._traces[key] = [
                _trace(f"{shown}{part}", forms, kept=kept) for part, forms in seen.hits.items()
            ]

    def _opened(self, seen: FileSeen, found: Found) -> int:
        """Note which file was read, by whatever name; return its key."""
        version = seen.opened
        if version is None and seen.gaps and found.status:
            version = version_of(found.status)  # it could not be opened, and never will be
        if version is None:
            return found.key
        key, size_bytes, written_ns = version
        self._sums.files += key not in self._read
        packed = seen.packed or seen.opened is None
        self._read[key] = _version(size_bytes, written_ns) if packed else -1 - size_bytes
        return key

    def sighting(self) -> FileSighting:
        """Return what was seen, in the order of places."""
        result = self._sums
        result.gaps = sorted(self._gaps)
        result.marked = sorted(self._marked.values(), key=lambda found: found.place)
        result.traces = [
            one
            for key, found in sorted(self._marked.items(), key=lambda entry: entry[1].place)
            for one in self._traces[key]
        ]
        for place, (found, forms) in sorted(self._names.items(), key=lambda entry: entry[0]):
            result.named.append(found)
            result.traces.append(_trace(self._files.shown(place), forms))
        return result

    def _judge_name(self, found: Found) -> None:
        texts = [(found.place.parts[-1], "name")]
        texts += [(found.target, "link")] if found.target else []
        forms: Counter[str] = Counter()
        for text, what in texts:
            forms.update(f"{hit.form} in the {what}" for hit in self._search.in_name(text))
        if forms:
            self._names[found.place] = (found, forms)

    def _judge_link(self, found: Found) -> None:
        """See that what a link leads to is searched: itself, or not at all."""
        root = self._files.roots[found.place.root].path
        leads_to = Path(os.path.realpath(root.joinpath(*found.place.parts)))
        inside = any(leads_to.is_relative_to(one.path) for one in self._files.roots)
        if not inside and _may_exist(leads_to):
            self._gap(
                found.place,
                "it is a link out of the folder, and was not followed: give the folder that it "
                "leads to as well",
            )

    def _gap(self, place: Place, why: str) -> None:
        self._gaps[FileGap(self._files.shown(place), why)] = None


def _version(size_bytes: int, written_ns: int) -> int:
    """Return what changes when an archive is another one, in one number that is not negative."""
    return hash((size_bytes, written_ns)) & _POSITIVE


def _may_exist(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True


def _look(shared: tuple[FileSet, FileSearch], place: Place) -> FileSeen:
    return look(shared[0], place, shared[1])


def _crashed(place: Place) -> FileSeen:
    why = "the process that read it ended in the middle of it: look at it by hand"
    return FileSeen(place, gaps=[("", why)])


def _trace(file: str, forms: Counter[str], *, kept: bool = False) -> FileTrace:
    return FileTrace(file, forms.total(), tuple(sorted(forms.items())), kept=kept)
