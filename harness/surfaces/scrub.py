"""Every file that a sweep marked, masked: contents first, then names, from the inside out."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from harness.errors import HarnessError, MaskError, SurfaceError
from harness.identity import Representation
from harness.model import FileGap
from harness.surfaces.crew import Job, carried_out
from harness.surfaces.exchange import LEFTOVER, MovedError, beside, relink, rename_to
from harness.surfaces.fileset import FileKind, FileSet, Found, Place, open_file
from harness.surfaces.in_place import mask_in_place
from harness.surfaces.leftovers import tidy
from harness.surfaces.look import FileSearch, FileSeen, is_packed_file, look
from harness.surfaces.rewrite import rewrite
from harness.surfaces.sweep import FileSighting

_LINKED: Final = (
    "its content has another name outside of the folders (a hard link), and stays there as it was: "
    "remove that too"
)
_CRASHED: Final = "the process that masked it ended in the middle of it: look at it by hand"


@dataclass(slots=True)
class FileScrub:
    """What a scrub did; `left` are files in which something could not be masked, and why.

    `moved`: files were renamed or written to meanwhile, and are to be looked at again.
    """

    files: int = 0
    identifiers: int = 0
    names: int = 0
    moved: bool = False
    left: list[FileGap] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Masked:
    """What came of one file."""

    place: Place
    identifiers: int = 0
    moved: bool = False
    why: str = ""


def scrub_files(
    file_set: FileSet, search: FileSearch, sighting: FileSighting, *, withheld: bool = False
) -> FileScrub:
    """Mask what a sweep saw, in several processes if there is much; media are left as they are.

    Args:
        file_set: Where the files are.
        search: The closure with the masks of the run.
        sighting: What a sweep with the same closure saw.
        withheld: Make and compare every masked copy, and change nothing.
    """
    with _alone(file_set):
        return _scrubbed(file_set, search, sighting, withheld=withheld)


@contextmanager
def _alone(file_set: FileSet) -> Iterator[None]:
    """Wait until no other run of ours scrubs in the same folders."""
    with ExitStack() as held:
        for path in sorted(root.path for root in file_set.roots):
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, folder)
            with suppress(OSError):  # a share may know no locks
                fcntl.flock(folder, fcntl.LOCK_EX)
        yield


def _scrubbed(
    file_set: FileSet, search: FileSearch, sighting: FileSighting, *, withheld: bool
) -> FileScrub:
    scrub = FileScrub()
    if not withheld:
        _tidy(file_set, scrub)
    marked = [one for one in sighting.marked if _is_ours(file_set, one)]
    marked.sort(key=lambda one: one.size_bytes, reverse=True)
    linked = list(_linked_elsewhere(file_set, marked))
    job = Job(_mask, (file_set, search, withheld))
    size_bytes = 3 * sum(one.size_bytes for one in marked)
    for done in carried_out(job, [one.place for one in marked], size_bytes, _crashed):
        scrub.identifiers += done.identifiers
        scrub.files += bool(done.identifiers)
        scrub.moved |= done.moved
        if done.why:
            scrub.left.append(FileGap(file_set.shown(done.place), done.why))
    # What has been masked is nowhere any more from where its other name could be found.
    scrub.left += linked
    for found in sorted(sighting.named, key=lambda one: len(one.place.parts), reverse=True):
        _rename(file_set, found, search, scrub, withheld=withheld)
    return scrub


def _linked_elsewhere(file_set: FileSet, marked: Sequence[Found]) -> Iterator[FileGap]:
    """Yield the archives whose old content would have another name still, outside the folders."""
    linked = [one for one in marked if one.names > 1]
    names = Counter(one.key for one in file_set.walk() if _is_ours(file_set, one)) if linked else {}
    for one in linked:
        with suppress(OSError):  # gone by now
            if one.names > names[one.key] and is_packed_file(file_set, one.place):
                yield FileGap(file_set.shown(one.place), _LINKED, lasting=True)


def require_maskable(file_set: FileSet, sighting: FileSighting) -> None:
    """See that this user may change every file in which a sweep saw the subject.

    Raises:
        SurfaceError: Some may not be changed: nothing was touched.
    """
    shut = [one.place for one in sighting.marked if not _may_change(file_set, one)]
    shut += [one.place for one in sighting.named if not _may_rename(file_set, one)]
    if shut:
        more = f" and {len(shut) - 1} more" if len(shut) > 1 else ""
        raise SurfaceError(
            f"{file_set.shown(shut[0])}{more} holds the subject and may not be changed by this "
            "user: run as its owner or as root, or only report with --log-treatment=report; "
            "nothing was touched."
        )


def _may_rename(file_set: FileSet, found: Found) -> bool:
    try:
        return _may_replace(file_set, found)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _may_change(file_set: FileSet, found: Found) -> bool:
    if not _is_ours(file_set, found):
        return True
    try:
        if not is_packed_file(file_set, found.place):
            # Only opening tells: an attribute of the file may forbid what its mode allows.
            os.close(open_file(file_set, found.place, os.O_RDWR))
            return True
        mine = found.status is None or os.geteuid() in {0, found.status.st_uid}
        return mine and _may_replace(file_set, found)
    except FileNotFoundError:
        return True  # a rotation took it away
    except OSError:
        return False


def _may_replace(file_set: FileSet, found: Found) -> bool:
    """Tell whether a copy may be made beside a file, and removed again."""
    with file_set.folder(found.place) as folder:
        if found.status is None:
            return os.access(".", os.W_OK, dir_fd=folder)
        with beside(folder, found.status):
            return True


def masks_fit(file_set: FileSet, search: FileSearch, sighting: FileSighting) -> bool:
    """Tell whether the masks of a run fit wherever a sweep saw the subject, and stand nowhere yet.

    A mask that fits into one file by chance only may not into another, so all are asked.
    """
    marked = [one.place for one in sighting.marked if _is_ours(file_set, one)]
    size_bytes = sum(one.size_bytes for one in sighting.marked)
    seen = carried_out(Job(_look, (file_set, search)), marked, size_bytes, FileSeen)
    return all(not one.masks and not one.unfit for one in list(seen))


def _look(shared: tuple[FileSet, FileSearch], place: Place) -> FileSeen:
    return look(shared[0], place, shared[1])


def _is_ours(file_set: FileSet, found: Found) -> bool:
    kind = file_set.roots[found.place.root].kind
    return kind is FileKind.LOG and not LEFTOVER.fullmatch(found.place.parts[-1])


def _tidy(file_set: FileSet, scrub: FileScrub) -> None:
    """Finish what a killed run left, in every folder that has something of it."""
    left = {f.place.parts[:-1]: f.place for f in _leftovers(file_set)}
    for place in left.values():
        try:
            with file_set.folder(place) as folder:
                tidy(folder)
        except (HarnessError, OSError) as error:
            scrub.left.append(FileGap(file_set.shown(place), _reason(error)))


def _leftovers(file_set: FileSet) -> Iterator[Found]:
    for found in file_set.walk():
        if (found.is_file or found.target) and LEFTOVER.fullmatch(found.place.parts[-1]):
            yield found


def _mask(shared: tuple[FileSet, FileSearch, bool], place: Place) -> _Masked:
    file_set, search, withheld = shared
    try:
        packed = is_packed_file(file_set, place)
        masked = rewrite if packed else mask_in_place
        return _Masked(place, masked(file_set, place, search, withheld=withheld))
    except (MovedError, FileNotFoundError):
        return _Masked(place, moved=True)
    except (HarnessError, OSError) as error:
        return _Masked(place, why=_reason(error))
    except Exception as error:  # noqa: BLE001  # one strange file must not end the scrub of all
        why = f"masking it ended with {type(error).__name__}; it is as it was: report this"
        return _Masked(place, why=why)


def _crashed(place: Place) -> _Masked:
    return _Masked(place, why=_CRASHED)


def _reason(error: HarnessError | OSError) -> str:
    if isinstance(error, OSError):
        return f"it could not be masked ({error.strerror}): mend that, and resume"
    return str(error)


def _rename(
    file_set: FileSet, found: Found, search: FileSearch, scrub: FileScrub, *, withheld: bool
) -> None:
    """Give a file or folder whose name tells of the subject a masked one; a link another target."""
    name = found.place.parts[-1]
    try:
        new = _masked_name(search, name)
        target = _masked_name(search, found.target) if found.target else ""
        if withheld:
            scrub.names += 1
            return
        with file_set.folder(found.place) as folder:
            if target != found.target:
                relink(folder, name, new, target)
            else:
                rename_to(folder, name, new)
        scrub.names += 1
    except FileNotFoundError:
        scrub.moved = True
    except (HarnessError, OSError) as error:
        scrub.left.append(FileGap(file_set.shown(found.place), _reason(error)))


def _masked_name(search: FileSearch, name: str) -> str:
    if search.masks is None:
        raise MaskError("no masks were drawn for this run; this is a bug")
    return os.fsdecode(search.masks.mask(os.fsencode(name), Representation.FILE_NAME))
