"""The acting part of the rotation scenarios: logs filled, rotated and counted, each in a folder."""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from harness.errors import MaintenanceError
from harness.maintenance import cleanup, schedule
from harness.maintenance.policy import Role
from harness.maintenance.schedule import Fault
from harness.plugin.rotation_bed import LINE_BYTES, RotationBed, bed
from harness.plugin.rotation_kills import KillTrials, kill_rotations
from harness.plugin.small_disk import small_disk

CONTAINERS: Final = {"waweb": Role.WEBAPP, "wacore1": Role.COREAPP, "master1": Role.MASTER}
_SMALL_BYTES: Final = 100 * LINE_BYTES
_LARGE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """What was there after a rotation: archives, packed ones, lines lost or changed; or why not."""

    archives: int
    packed: int
    lost: int
    refused: str


class RotationStage:
    """Gives each scenario a container's logs of its own, below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def filled(self, role: Role, over_bytes: int) -> Seen:
        """Rotate a log of the published limit and so many bytes more."""
        ours = self._bed(role)
        return _rotated(ours, ours.fill(ours.policy.larger_than_bytes + over_bytes))

    def empty(self, role: Role) -> Seen:
        """Rotate a log that is empty."""
        ours = self._bed(role)
        return _rotated(ours, ours.fill(0))

    def kept(self, role: Role, rotations: int, *, deletes_old: bool) -> list[int]:
        """Rotate so often, and return which rotations' archives are there, in their order."""
        ours = self._bed(role).limited_to(_SMALL_BYTES, deletes_old=deletes_old)
        for number in range(rotations):
            ours.fill(_SMALL_BYTES + 1, name=f"{number}")
            ours.rotate()
        return [int(gzip.decompress(path.read_bytes()).split()[0]) for path in ours.archives]

    def on_full_disk(self, role: Role) -> tuple[Seen, Seen]:
        """Rotate on a full disk, and once more, with another log, when it has space again."""
        folder = self._new()
        with small_disk(folder, 3 * _LARGE_BYTES) as disk:
            ours = bed(disk.path, role, self._new()).limited_to(_SMALL_BYTES)
            written = ours.fill(_LARGE_BYTES)
            with disk.full():
                full = _rotated(ours, written)
            written += ours.fill(_LARGE_BYTES, name="later")
            return full, _rotated(ours, written)

    def without_archive(self, role: Role) -> Seen:
        """Rotate where the archive's name is that of a file."""
        ours = self._bed(role).limited_to(_SMALL_BYTES)
        written = ours.fill(_SMALL_BYTES + 1)
        ours.policy.archive.parent.mkdir(parents=True, exist_ok=True)
        ours.policy.archive.touch()
        return _rotated(ours, written)

    def written_through(self, role: Role, rotations: int) -> list[str]:
        """Rotate so often while two writers go on, and return what is wrong with their lines."""
        ours = self._bed(role).limited_to(_SMALL_BYTES)
        with ours.writers("a", "b") as counts:
            for _ in range(rotations):
                while not ours.log.exists() or ours.log.stat().st_size <= _SMALL_BYTES:
                    time.sleep(0.002)
                ours.rotate()
        return ours.faults(a=counts[0], b=counts[1])

    def killed(self, *, per_step: int) -> KillTrials:
        """Kill a Coreapp's rotation at each step, beside two writers."""
        return kill_rotations(self._new(), at_random=2, per_step=per_step)

    def cleaned_up(self, role: Role) -> Seen:
        """Run the clean-up script of a container whose log is too large."""
        root = self._new()
        ours = bed(root, role)
        script = cleanup.install(root, role)
        written = ours.fill(ours.policy.larger_than_bytes + 1)
        try:
            cleanup.run(script)
        except MaintenanceError as error:
            return _seen(ours, written, str(error))
        return _seen(ours, written)

    def scheduled(self, crontab: str) -> set[Fault]:
        """Check a host with this crontab, and return what is wrong."""
        root = self._new()
        file = root / "etc" / "cron.d" / "whatsapp"
        file.parent.mkdir(parents=True)
        file.write_text(crontab, encoding="utf-8")
        return {one.fault for one in schedule.check(schedule.find(root), CONTAINERS)}

    def _bed(self, role: Role) -> RotationBed:
        return bed(self._new(), role)

    def _new(self) -> Path:
        folder = self._folder / f"{next(self._numbers)}"
        folder.mkdir()
        return folder


def _rotated(ours: RotationBed, written: Sequence[bytes]) -> Seen:
    try:
        ours.rotate()
    except MaintenanceError as error:
        return _seen(ours, written, str(error))
    return _seen(ours, written)


def _seen(ours: RotationBed, written: Sequence[bytes], refused: str = "") -> Seen:
    there, archives = ours.lines, ours.archives
    same = sum(one == other for one, other in zip(written, there, strict=False))
    lost = max(len(written), len(there)) - same
    packed = sum(path.suffix == ".gz" for path in archives)
    return Seen(len(archives), packed, lost, refused)
