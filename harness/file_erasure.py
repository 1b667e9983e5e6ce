"""The phase after the commit: logs and archives scrubbed, media removed, and all looked at again.

What is recorded is judged with the rows. Everything here may be repeated: a run that was
killed goes on where it was, with the masks and the media that its journal kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from harness.clock import now
from harness.identity import Closure
from harness.masks import Masks
from harness.model import FileGap, FilesObserved, FilesProven, FileTrace, Moment, Record, Scrubbed
from harness.surfaces import FileSearch, FileSet, FileSighting, masks_fit, scrub_files, sweep_files
from harness.surfaces.proof import prove

ROUNDS: Final = 4
"""How often lines that were written meanwhile may start another scrub."""
DRAWS: Final = 4
"""How often masks are drawn anew because those drawn do not fit into the files."""


@dataclass(slots=True)
class FileErasure:
    """Erases one subject from one file set; `record` takes facts.

    `masking` is False where traces in logs are only reported; `require_time` raises if the run
    is to end.
    """

    run: str
    file_set: FileSet
    record: Callable[[Record], None]
    masking: bool = True
    require_time: Callable[[], None] = field(default=lambda: None)
    _seen: FileSighting | None = None

    def begin(self, *, writes: bool) -> None:
        """See that every folder is there, and that the search of files sees.

        Raises:
            SurfaceError: A folder is not there, or may not be read or changed.
        """
        self.file_set.require_there(writable=writes)
        proof = prove(masking=writes and self.masking)
        counts = (proof.formats, proof.planted, proof.seen, proof.left)
        self.record(FilesProven(self.run, *counts))

    def observe(self, moment: Moment, closure: Closure, masks: Masks | None = None) -> FileSighting:
        """Search every file, and record what was seen."""
        self.require_time()
        started_s = time.monotonic()
        seen = sweep_files(self.file_set, FileSearch(closure, masks))
        self.record(self._observed(moment, seen, started_s))
        self._seen = seen
        return seen

    def fits(self, closure: Closure, masks: Masks) -> bool:
        """Tell whether masks can be put wherever the files were seen to hold the subject."""
        if not (self._seen and self.masking):
            return True
        return masks_fit(self.file_set, FileSearch(closure, masks), self._seen)

    def rehearse(self, closure: Closure, masks: Masks) -> None:
        """Make every masked copy, compare it, throw it away; record what would be left."""
        seen = self._seen or self.observe(Moment.BEFORE, closure)
        left = self._scrub(closure, masks, seen, withheld=True)
        stays = {gap.file for gap in left}
        would = [one for one in seen.traces if one.kept or one.file in stays or not self.masking]
        started_s = time.monotonic()
        observed = self._observed(Moment.INSIDE, seen, started_s)
        self.record(replace(observed, traces=tuple(would)))

    def erase(self, closure: Closure, masks: Masks) -> None:
        """Scrub, and look again, until nothing is left that can be masked, or it is not in time."""
        seen = self._seen or self.observe(Moment.AFTER, closure, masks)
        for _ in range(ROUNDS):
            before = _maskable(seen)
            self._scrub(closure, masks, seen, withheld=False)
            seen = self.observe(Moment.AFTER, closure, masks)
            # What could not be masked is told, and would not be the next time either.
            if not self.masking or _maskable(seen) in (before, frozenset()):
                return

    def _scrub(
        self, closure: Closure, masks: Masks, seen: FileSighting, *, withheld: bool
    ) -> list[FileGap]:
        self.require_time()
        started_s = time.monotonic()
        if not self.masking:
            self.record(Scrubbed(self.run, now(), 0.0, 0, 0, 0, withheld=withheld))
            return []
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
        return done.left

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


def _maskable(seen: FileSighting) -> frozenset[FileTrace]:
    return frozenset(one for one in seen.traces if not one.kept)
