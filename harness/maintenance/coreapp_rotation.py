"""Rotation of a Coreapp's log, which survives a kill at any step: the next run finishes it.

A log that is larger than its limit is renamed beside itself, under the name that its archive
will have; its writer starts a new one. Then everything of that kind that lies there, by this
run or by one that was killed, is packed into the archive folder: written aside, synced, given
its name, compared byte by byte, and only then is the plain one removed. The two folders may
be on different file systems. Needs nothing but Python, since it runs inside a container.
"""

from __future__ import annotations

import argparse
import fcntl
import glob
import gzip
import os
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final, cast

from harness.errors import MaintenanceError
from harness.maintenance import policy as policies
from harness.maintenance.policy import RotationPolicy

_CHUNK_BYTES: Final = 1 << 18
_PACKED: Final = ".gz"
_PART: Final = ".part"
_FOLDER_MODE: Final = 0o750


class Step(StrEnum):
    """What a rotation is about to do; a kill may fall into any of them."""

    LOOKING = "looking"
    RENAMING = "renaming"
    WAITING = "waiting for writers"
    PACKING = "packing"
    NAMING = "naming the archive"
    COMPARING = "comparing"
    REMOVING = "removing the plain file"
    THINNING = "deleting old archives"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Rotated:
    """What one run did, by names: logs rotated, archives made, and what was thrown away.

    `finished` are the archives that an earlier run had left half way.
    """

    rotated: tuple[str, ...]
    archived: tuple[str, ...]
    finished: tuple[str, ...]
    deleted: tuple[str, ...]


Told = Callable[[Step], None]


def rotate(policy: RotationPolicy, on_step: Told = lambda _step: None) -> Rotated:
    """Rotate each log that is larger than its limit, and finish what an earlier run left.

    Only one rotation is at work in an archive folder; a second one waits for it.

    Raises:
        MaintenanceError: Something could not be written or removed. Every line is still there,
            in the log, beside it or in the archive, and the next run goes on from there.
    """
    steps: list[Step] = []

    def step(which: Step) -> None:
        steps[:] = [which]
        on_step(which)

    step(Step.LOOKING)
    try:
        with _only_one(policy.archive):
            done = [_one_log(log, policy, step) for log in policy.logs]
    except OSError as error:
        raise MaintenanceError(
            f"The Coreapp's log could not be rotated ({error.strerror}, while {steps[0]}): no line "
            f"is lost; give {policy.archive} space and the right to write, and run it again."
        ) from None
    step(Step.DONE)
    return Rotated(
        rotated=tuple(name for one in done for name in one.rotated),
        archived=tuple(name for one in done for name in one.archived),
        finished=tuple(name for one in done for name in one.finished),
        deleted=tuple(name for one in done for name in one.deleted),
    )


def archives(policy: RotationPolicy, log: Path) -> list[Path]:
    """Return a log's archives, oldest first; a plain file that waits to be packed is one.

    An archive whose plain file is still there is not counted: it may not be whole.
    """
    waiting = _named(log.parent, policy, log, packed=False)
    return [path for _, path in sorted({**_archived(policy, log), **waiting}.items())]


def _one_log(log: Path, policy: RotationPolicy, step: Told) -> Rotated:
    """Rotate one log if it is too large, and finish what waits beside it."""
    if log.is_symlink():
        raise MaintenanceError(
            f"{log.name} is a symbolic link, and what it leads to would stay behind: "
            "name the file itself as the log to rotate."
        )
    for half in policy.archive.glob(f"{glob.escape(log.name)}*{_PART}"):
        half.unlink()
    left = _named(log.parent, policy, log, packed=False)
    rotated: list[str] = []
    if _size_bytes(log) > policy.larger_than_bytes:
        step(Step.RENAMING)
        aside = log.parent / _next_name(policy, log)
        log.rename(aside)
        _sync(log.parent)
        rotated.append(log.name)
    archived = []
    for serial, plain in sorted(_named(log.parent, policy, log, packed=False).items()):
        made = _finish(plain, policy, step)
        archived.append((serial, made.name))
    deleted = _thin(log, policy, step) if policy.deletes_old else []
    return Rotated(
        tuple(rotated),
        tuple(name for serial, name in archived if serial not in left),
        tuple(name for serial, name in archived if serial in left),
        tuple(deleted),
    )


def _finish(plain: Path, policy: RotationPolicy, step: Told) -> Path:
    """Pack a plain file into the archive, prove it, and remove the plain one."""
    step(Step.WAITING)
    with plain.open("rb") as stream:
        # Whoever still writes to it has this lock; later writers find that the path has moved.
        fcntl.flock(stream, fcntl.LOCK_EX)
    archive = policy.archive / f"{plain.name}{_PACKED if policy.compress else ''}"
    if not archive.exists() or _is_cut(archive, plain, compressed=policy.compress):
        _pack(plain, archive, step, compressed=policy.compress)
    step(Step.COMPARING)
    if _is_cut(archive, plain, compressed=policy.compress):
        raise MaintenanceError(
            f"{archive.name} is not what was just written: the disk that {archive.parent} is on "
            "does not keep what it is given; the plain file is kept beside the log."
        )
    step(Step.REMOVING)
    plain.unlink()
    _sync(plain.parent)
    return archive


def _pack(plain: Path, archive: Path, step: Told, *, compressed: bool) -> None:
    """Write an archive aside, with the plain file's rights and times, and give it its name."""
    step(Step.PACKING)
    part = archive.with_name(archive.name + _PART)
    status = plain.stat()
    try:
        with plain.open("rb") as source, part.open("xb") as target:
            os.fchmod(target.fileno(), status.st_mode & 0o7777)
            if os.geteuid() == 0:
                os.fchown(target.fileno(), status.st_uid, status.st_gid)
            if compressed:
                with gzip.GzipFile("", "wb", 6, target, mtime=status.st_mtime) as packer:
                    shutil.copyfileobj(source, packer, _CHUNK_BYTES)
            else:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
            target.flush()
            os.fsync(target.fileno())
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        step(Step.NAMING)
        part.replace(archive)
    finally:
        # On a full disk, half an archive takes the space that others need.
        part.unlink(missing_ok=True)
    _sync(archive.parent)


def _is_cut(archive: Path, plain: Path, *, compressed: bool) -> bool:
    """Tell whether an archive lacks something at its end; the plain file has all of it.

    Raises:
        MaintenanceError: It holds something else than the plain file: both are kept.
    """
    with plain.open("rb") as ours, _opened(archive, compressed=compressed) as packed:
        while True:
            try:
                got = packed.read(_CHUNK_BYTES)
            except (EOFError, gzip.BadGzipFile, zlib.error):
                return True
            if not got:
                return bool(ours.read(1))
            if got != ours.read(len(got)):
                raise MaintenanceError(
                    f"{archive.name} holds something else than {plain.name} beside the log: both "
                    "are kept; look at them, move one elsewhere, and run the rotation again."
                )


def _opened(archive: Path, *, compressed: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(archive, "rb")) if compressed else archive.open("rb")


def _thin(log: Path, policy: RotationPolicy, step: Told) -> list[str]:
    """Delete the oldest archives beyond those that are kept."""
    step(Step.THINNING)
    old = [path for _, path in sorted(_archived(policy, log).items())[: -policy.keep]]
    for path in old:
        path.unlink()
    if old:
        _sync(policy.archive)
    return [path.name for path in old]


def _next_name(policy: RotationPolicy, log: Path) -> str:
    """Return a name that no archive has had, so that two in a second are two."""
    used = {**_archived(policy, log), **_named(log.parent, policy, log, packed=False)}
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    serial = max(used, default=0) + 1
    return policy.archive_name.format(log=log.name, stamp=stamp, serial=f"{serial:06d}")


def _archived(policy: RotationPolicy, log: Path) -> dict[int, Path]:
    """Return what is in the archive folder of a log, packed or not, by serial number."""
    both = (_named(policy.archive, policy, log, packed=packed) for packed in (False, True))
    return {serial: path for one in both for serial, path in one.items()}


def _named(folder: Path, policy: RotationPolicy, log: Path, *, packed: bool) -> dict[int, Path]:
    """Return the files of a folder that are named like archives of a log, by serial number."""
    pattern = re.escape(policy.archive_name.format(log="\0", stamp="\1", serial="\2"))
    pattern = pattern.replace("\0", re.escape(log.name)).replace("\1", r"\d{8}T\d{6}Z")
    named = re.compile(pattern.replace("\2", r"(\d+)") + (re.escape(_PACKED) if packed else ""))
    matches = ((named.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match[1]): path for match, path in matches if match}


def _size_bytes(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0  # no writer has made it yet


@contextmanager
def _only_one(archive: Path) -> Iterator[None]:
    """Make the archive folder if need be, and hold its lock; the kernel drops it on a kill."""
    archive.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
    if not os.access(archive, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(None, "no right to write into the archive folder")
    descriptor = os.open(archive, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rotate once, and say what was done; 1 if it could not be done."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.maintenance.coreapp_rotation",
        description="Rotates a Coreapp's log once.",
    )
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--policy", type=Path, default=policies.FILE, metavar="FILE")
    parser.add_argument("--log", type=Path, action="append", help="instead of the policy's")
    asked = parser.parse_args(arguments)
    try:
        policy = policies.load(asked.policy).coreapp
        if asked.log:
            policy = replace(policy, logs=tuple(asked.log))
        done = rotate(policy.below(asked.root))
    except MaintenanceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for what in ("rotated", "archived", "finished", "deleted"):
        for name in getattr(done, what):
            sys.stdout.write(f"{what} {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
