"""Every file of a file set, searched once, whatever rotation does to their names meanwhile."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.model import FileGap, FileTrace
from harness.surfaces.crew import Job, carried_out
from harness.surfaces.fileset import FileKind, FileSet, Found, Place
from harness.surfaces.look import FileSearch, FileSeen, look

_LISTINGS: Final = 5
"""How often the folders are listed anew, since a rotation may have renamed what was not read."""


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
        if not (new := list(sweep.listed())):
            break
        sweep.read(new)
    return sweep.sighting()


class _Sweep:
    """One pass in progress: what was read already, by device and inode."""

    def __init__(self, file_set: FileSet, search: FileSearch) -> None:
        self._files = file_set
        self._search = search
        self._read: dict[tuple[int, int], Found] = {}
        self._names: dict[Place, tuple[Found, Counter[str]]] = {}
        self._seen: list[FileSeen] = []
        self._gaps: dict[FileGap, None] = {}

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
            elif found.is_file and found.key not in self._read:
                self._read[found.key] = found
                yield found

    def read(self, new: Sequence[Found]) -> None:
        """Search these files, the largest first."""
        ordered = sorted(new, key=lambda one: one.size_bytes, reverse=True)
        job = Job(_look, (self._files, self._search))
        size_bytes = sum(one.size_bytes for one in ordered)
        places = [one.place for one in ordered]
        self._seen += carried_out(job, places, size_bytes, _crashed)

    def sighting(self) -> FileSighting:
        """Return what was seen."""
        files = {found.place: found for found in self._read.values()}
        result = FileSighting(files=len(self._read), gaps=list(self._gaps))
        for seen in sorted(self._seen, key=lambda one: one.place):
            result.size_bytes += seen.size_bytes
            result.content_bytes += seen.content_bytes
            result.masks += seen.masks
            shown = self._files.shown(seen.place)
            result.gaps += [FileGap(f"{shown}{part}", why) for part, why in seen.gaps]
            result.traces += self._traces(seen, shown)
            if seen.hits:
                result.marked.append(files[seen.place])
        for place, (found, forms) in sorted(self._names.items()):
            result.named.append(found)
            result.traces.append(_trace(self._files.shown(place), forms))
        return result

    def _traces(self, seen: FileSeen, shown: str) -> Iterator[FileTrace]:
        kept = self._files.roots[seen.place.root].kind is FileKind.MEDIA
        for part, forms in seen.hits.items():
            yield _trace(f"{shown}{part}", forms, kept=kept)

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
        if not inside and leads_to.exists():
            self._gap(
                found.place,
                "it is a link out of the folder, and was not followed: give the folder that it "
                "leads to as well",
            )

    def _gap(self, place: Place, why: str) -> None:
        self._gaps[FileGap(self._files.shown(place), why)] = None


def _look(shared: tuple[FileSet, FileSearch], place: Place) -> FileSeen:
    return look(shared[0], place, shared[1])


def _crashed(place: Place) -> FileSeen:
    why = "the process that read it ended in the middle of it: look at it by hand"
    return FileSeen(place, gaps=[("", why)])


def _trace(file: str, forms: Counter[str], *, kept: bool = False) -> FileTrace:
    return FileTrace(file, forms.total(), tuple(sorted(forms.items())), kept=kept)
