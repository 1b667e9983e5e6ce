"""Records about files: what was searched, masked and removed in logs and media."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.nouns import Moment


@dataclass(frozen=True, slots=True, order=True)
class FileTrace:
    """Identifiers of the subject in one file, or in its name, by the forms in which they stand.

    `file` is the surface: the folder's label and the path in it; a part of an archive follows
    behind ` > `. `kept`: nothing of ours changes this file, so it would stay.
    """

    file: str
    hits: int
    forms: tuple[tuple[str, int], ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True, order=True)
class FileGap:
    """A file or folder that was not searched, or not masked, in full, and why.

    `lasting`: no later look can see it, so it counts whatever came after.
    """

    file: str
    why: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class FilesPlanted:
    """What was put into files on purpose: the search before the erasure must see it all.

    `media` is how many files there are to which rows of the subject alone lead, which must go.
    """

    run: str
    traces: tuple[FileTrace, ...]
    media: int = 0


@dataclass(frozen=True, slots=True)
class FilesObserved:
    """One pass over every file of the log folders and media volumes.

    `size_bytes` as they lie on the disk, `content_bytes` as they were searched, unpacked.
    """

    run: str
    moment: Moment
    at: str
    duration_s: float
    files: int
    size_bytes: int
    content_bytes: int
    traces: tuple[FileTrace, ...]
    gaps: tuple[FileGap, ...] = ()


@dataclass(frozen=True, slots=True)
class FilesProven:
    """The canary went through files of every format: planted, seen, and left after the scrub.

    A search that changes nothing proves itself on `planted` and `seen`, and `left` is 0.
    """

    run: str
    formats: int
    planted: int
    seen: int
    left: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """Identifiers were masked in files and their names; `left` are those that could not be.

    `withheld`: a rehearsal, which made every masked copy, compared it, and threw it away.
    """

    run: str
    at: str
    duration_s: float
    files: int
    identifiers: int
    names: int
    left: tuple[FileGap, ...] = ()
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class MediaRemoved:
    """Files of a media volume to which the subject's rows led, and what became of them.

    `referred` are files, and rows without one; of these `shared` stay, since rows of others
    lead to them too, and `absent` were not in the volume; `left` should have gone and did not,
    or their content is still there under another name. `withheld`: a rehearsal, in which
    `removed` would be.
    """

    run: str
    referred: int
    removed: int
    shared: tuple[str, ...]
    absent: int
    left: tuple[FileGap, ...] = ()
    withheld: bool = False
