"""The phase after the commit: logs and archives scrubbed, media removed, and all looked at again.

What is recorded is judged with the rows. Everything here may be repeated: a run that was
killed goes on where it was, with the masks and the media that its journal kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.clock import now
from harness.identity import Closure, Representation
from harness.masks import Masks
from harness.model import (
    FileGap,
    FilesObserved,
    FilesProven,
    FileTrace,
    MediaReferences,
    Moment,
    Record,
    Scrubbed,
)
from harness.stores import StoreSet
from harness.surfaces import (
    FileKind,
    FileScrub,
    FileSearch,
    FileSet,
    FileSighting,
    masks_fit,
    scrub_files,
    sweep_files,
    volume,
)
from harness.surfaces.media import MediaRemoval
from harness.surfaces.proof import prove
from harness.surfaces.scrub import require_maskable
from harness.surfaces.volume import Volume

ROUNDS: Final = 4
"""How often lines that were written meanwhile may start another scrub."""
DRAWS: Final = 4
"""How often masks are drawn anew because those drawn do not fit into the files."""


def look_at(file_set: FileSet, *, writes: bool, masking: bool) -> None:
    """See that every folder is there, and may be read, and changed where that is wanted.

    Raises:
        SurfaceError: One is not, or may not: nothing was touched.
    """
    file_set.require_there(writable=writes and masking)
    volume.look(volumes_of(file_set), writable=writes)


def volumes_of(file_set: FileSet) -> tuple[Volume, ...]:
    """Return the media volumes of a file set."""
    roots = file_set.of_kind(FileKind.MEDIA)
    return tuple(Volume(root.label, root.path) for root in roots)


@dataclass(slots=True)
class FileErasure:
    """Erases one subject from one file set; `record` takes facts.

    `masking` is False where traces in logs are only reported. Without any folder nothing is done.
    """

    run: str
    file_set: FileSet
    record: Callable[[Record], None]
    masking: bool = True
    _seen: FileSighting | None = None

    def begin(self, *, writes: bool) -> None:
        """See that every folder is there, and that the search of files sees.

        Raises:
            SurfaceError: A folder is not there, or may not be read or changed.
        """
        if not self.file_set:
            return
        look_at(self.file_set, writes=writes, masking=self.masking)
        proof = prove(masking=writes and self.masking)
        counts = (proof.formats, proof.planted, proof.seen, proof.left)
        self.record(FilesProven(self.run, *counts))

    def observe(self, moment: Moment, closure: Closure, masks: Masks | None = None) -> FileSighting:
        """Search every file, and record what was seen."""
        if not self.file_set:
            return FileSighting()
        started_s = time.monotonic()
        seen = sweep_files(self.file_set, FileSearch(closure, masks))
        self.record(self._observed(moment, seen, started_s))
        self._seen = seen
        return seen

    def require_maskable(self) -> None:
        """See that what is to be masked may be changed, while every row is still there.

        Raises:
            SurfaceError: It may not.
        """
        if self.masking and self._seen:
            require_maskable(self.file_set, self._seen)

    def require_removable(self, media: MediaReferences) -> None:
        """See that media can be removed, while every row is still there.

        Raises:
            SurfaceError: A volume is read-only, or empty although rows lead to it.
        """
        if self._volumes:
            volume.require_removable(self._volumes, media)

    def remove_media(
        self, store_set: StoreSet, media: MediaReferences, masks: Masks, *, withheld: bool = False
    ) -> None:
        """Remove the files to which only the subject's rows led, and record what became of them.

        Raises:
            SurfaceError: A volume cannot be searched; nothing was removed.
            StoreError: Nobody knows who else leads to them; nothing was removed.
        """
        if not self._volumes:
            return

        def masked(name: bytes) -> bytes:
            return masks.mask(name, Representation.TEXT)

        removal = MediaRemoval(self.run, self._volumes, store_set, masked, withheld)
        self.record(removal.carried_out(media))

    @property
    def _volumes(self) -> tuple[Volume, ...]:
        return volumes_of(self.file_set)

    def fitting(self, draw: Callable[[], Masks], closure: Closure) -> Masks:
        """Return masks that fit into the files too; the last that were drawn if none do."""
        for _ in range(DRAWS):
            masks = draw()
            if self.fits(closure, masks):
                break
        return masks

    def fits(self, closure: Closure, masks: Masks) -> bool:
        """Tell whether masks can be put wherever the files were seen to hold the subject."""
        if not (self._seen and self.masking):
            return True
        return masks_fit(self.file_set, FileSearch(closure, masks), self._seen)

    def rehearse(self, closure: Closure, masks: Masks) -> None:
        """Make every masked copy, compare it, throw it away; record what would be left."""
        if not self.file_set:
            return
        seen = self._seen or self.observe(Moment.BEFORE, closure)
        left = self._scrub(closure, masks, seen, withheld=True).left
        would = [one for one in seen.traces if not (self.masking and _goes(one, left))]
        started_s = time.monotonic()
        observed = self._observed(Moment.INSIDE, seen, started_s)
        self.record(replace(observed, traces=tuple(would)))

    def erase(self, closure: Closure, masks: Masks) -> None:
        """Scrub, and look again, until nothing is left that can be masked, or it is not in time."""
        if not self.file_set:
            return
        seen = self._seen or self.observe(Moment.AFTER, closure, masks)
        for _ in range(ROUNDS):
            left = self._scrub(closure, masks, seen, withheld=False).left
            seen = self.observe(Moment.AFTER, closure, masks)
            # What could not be masked is told, and would not be the next time either.
            if not (self.masking and any(_goes(one, left) for one in seen.traces)):
                return

    def _scrub(
        self, closure: Closure, masks: Masks, seen: FileSighting, *, withheld: bool
    ) -> FileScrub:
        started_s = time.monotonic()
        if not self.masking:
            self.record(Scrubbed(self.run, now(), 0.0, 0, 0, 0, withheld=withheld))
            return FileScrub()
        search = FileSearch(closure, masks)
        done = scrub_files(self.file_set, search, seen, withheld=withheld)
        self.record(
            Scrubbed(
                self.run,
                now(),
                round(time.monotonic() - started_s, 3),
                done.files,
                done.identifiers,
                done.names,
                tuple(done.left),
                withheld=withheld,
            )
        )
        return done

    def _observed(self, moment: Moment, seen: FileSighting, started_s: float) -> FilesObserved:
        return FilesObserved(
            run=self.run,
            moment=moment,
            at=now(),
            duration_s=round(time.monotonic() - started_s, 3),
            files=seen.files,
            size_bytes=seen.size_bytes,
            content_bytes=seen.content_bytes,
            traces=tuple(seen.traces),
            gaps=tuple(seen.gaps),
        )


def _goes(trace: FileTrace, left: Sequence[FileGap]) -> bool:
    """Tell whether a trace goes with a scrub: not from media, nor where it was told to stay."""
    told = (gap.file for gap in left)
    return not (trace.kept or any(f"{trace.file} > ".startswith(f"{file} > ") for file in told))
