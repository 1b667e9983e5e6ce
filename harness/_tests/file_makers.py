"""Files of every format that a log folder may hold, whole ones: each maker fills a folder.

Each takes the folder and the number to plant; what a search has to say of it stands in the
table `harness._tests.file_cases`.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import socket
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from harness.population.log_lines import Log, blocks, framed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Undo = Callable[[], None]
MIB: Final = 1 << 20
AROUND: Final = 16
"""How many bytes before and behind a boundary a number begins."""
BOUNDARIES: Final = tuple(MIB >> power for power in range(5))
_BOMB_BYTES: Final = 64 * MIB
_BOMB_MEMBERS: Final = 160
_FILLER: Final = b"nothing to be seen, again and again;\n"
_SKIPPED: Final = b"skipped by whoever reads the frames"


def log(number: str = "", size_bytes: int = 100_000, seed: int = 0) -> bytes:
    """Return lines of a log, the tenth of which names somebody."""
    lines = b"".join(blocks(Log.WEB, seed, size_bytes)).splitlines(keepends=True)
    if number:
        lines.insert(10, framed(Log.WEB, seed, f"Retrieved contact={number}"))
    return b"".join(lines)


def as_tar(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def as_zip(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of files, deflated."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_stored_name(name: str) -> bytes:
    """Return a gzip file of nobody's lines that keeps the name of what it was made of."""
    stream = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=stream) as packed:
        packed.write(log())
    return stream.getvalue()


# --- contents -------------------------------------------------------------------------------


def several_members(number: str) -> bytes:
    """A gzip file of three members, an empty one in the middle, the number in the last."""
    return gzip.compress(log()) + gzip.compress(b"") + gzip.compress(log(number))


def several_frames(number: str) -> bytes:
    """A zstd file of two frames with a skippable one between."""
    skipped = struct.pack("<II", 0x184D2A50, len(_SKIPPED)) + _SKIPPED
    return zstd.compress(log()) + skipped + zstd.compress(log(number))


def split_by_members(number: str) -> bytes:
    """A gzip file whose members end in the middle of the number."""
    first, last = log(number).split(number.encode())
    half = len(number) // 2
    return gzip.compress(first + number[:half].encode()) + gzip.compress(
        number[half:].encode() + last
    )


def bomb(number: str) -> bytes:
    """Ten gibibytes of zeros in ten megabytes, as gzip, the number behind them."""
    return gzip.compress(bytes(_BOMB_BYTES)) * _BOMB_MEMBERS + gzip.compress(log(number))


def nested(number: str, depth: int) -> bytes:
    """A zip in a zip in a zip."""
    content, name = log(number), "web.log"
    for _ in range(depth):
        content, name = as_zip({name: content}), "inner.zip"
    return content


def digits_without_end(number: str) -> bytes:
    """A megabyte of digits: the number in them is no number of anybody's."""
    drawn = random.Random(0)
    digits = "".join(drawn.choices("0123456789", k=MIB // 2))
    return f"{digits}{number}{digits}\n".encode()


def huge_line(number: str) -> bytes:
    """Fifty megabytes without a newline, the number in the middle."""
    half = b"".join(blocks(Log.WEB, 1, 25_000_000)).replace(b"\n", b" ")
    return half + f"contact={number};".encode() + half


def lines_in_utf_16(number: str) -> bytes:
    """A log as Windows writes it: UTF-16 with a mark, CR and LF."""
    return log(number).replace(b"\n", b"\r\n").decode().encode("utf-16")


# --- folders --------------------------------------------------------------------------------


def across(pack: Callable[[bytes], bytes], unit_bytes: int = 1) -> Callable[[Path, str], None]:
    """Return a maker of files where the number begins around each power of two, byte by byte."""

    def make(folder: Path, number: str) -> None:
        for offset in range(-AROUND, AROUND + 1):
            content = bytearray(_FILLER * (MIB // len(_FILLER) + 1000))
            for boundary in BOUNDARIES:
                start = boundary // unit_bytes + offset
                content[start - 1 : start + len(number) + 1] = f"={number};".encode()
            (folder / f"at{offset:+d}.log").write_bytes(pack(bytes(content)))

    return make


def sparse(folder: Path, number: str) -> None:
    """A hole of a gibibyte around the mention."""
    with (folder / "web.log").open("wb") as stream:
        stream.seek(512 * MIB)
        stream.write(f"\nRetrieved contact={number}\n".encode())
        stream.truncate(1024 * MIB)


def half_rotated(folder: Path, number: str) -> None:
    """A rotation that was ended in the middle: the file is there, and half of its archive."""
    content = log(number, MIB)
    packed = gzip.compress(content)
    (folder / "web.log.1").write_bytes(content)
    (folder / "web.log.1.gz").write_bytes(packed[: len(packed) // 2])


def growing(folder: Path, number: str) -> Undo:
    """A log to which somebody else's lines are added all the while."""
    path = folder / "web.log"
    path.write_bytes(log(number))
    line = "2025-03-01 00:00:00 [info] request=71c0 POST /v1/messages status=200"
    command = ("bash", "-c", 'while sleep 0.002; do echo "$0" >>"$1"; done', line, str(path))
    size_bytes = path.stat().st_size
    writer = subprocess.Popen(command)
    while path.stat().st_size == size_bytes:
        time.sleep(0.005)

    def stop() -> None:
        writer.kill()
        writer.wait()

    return stop


def unreadable(folder: Path, number: str) -> Undo:
    """A log that nobody may read, but whoever may read everything."""
    return _closed(folder / "web.log", folder / "web.log", number)


def unreadable_folder(folder: Path, number: str) -> Undo:
    """A folder that nobody may look into."""
    (folder / "archive").mkdir()
    return _closed(folder / "archive", folder / "archive" / "web.log", number)


def _closed(what: Path, path: Path, number: str) -> Undo:
    path.write_bytes(log(number))
    what.chmod(0)
    return lambda: what.chmod(0o700)


# --- links and special files ----------------------------------------------------------------


def link_inside(folder: Path, number: str) -> None:
    """A link to a file, and one to a folder, both inside."""
    (folder / "archive").mkdir()
    (folder / "archive" / "web.log.1").write_bytes(log(number))
    (folder / "latest.log").symlink_to("archive/web.log.1")
    (folder / "old").symlink_to("archive")


def link_outside(folder: Path, number: str) -> Undo:
    """A link to a log that lies beside the folder."""
    target = folder.parent / f"{folder.name}-outside.log"
    target.write_bytes(log(number))
    (folder / "web.log").symlink_to(target)
    return target.unlink


def link_broken(folder: Path, _: str) -> None:
    """A link to where nothing is."""
    (folder / "web.log").symlink_to("/nowhere/web.log")


def link_loop(folder: Path, number: str) -> None:
    """A folder that holds a link to the folder above, and two links to each other."""
    (folder / "archive").mkdir()
    (folder / "archive" / "web.log").write_bytes(log(number))
    (folder / "archive" / "up").symlink_to("..")


def links_to_each_other(folder: Path, _: str) -> None:
    """Two links that lead nowhere but to each other."""
    (folder / "a.log").symlink_to("b.log")
    (folder / "b.log").symlink_to("a.log")


def link_with_number(folder: Path, number: str) -> None:
    """A link whose target's name, which is stored in the link, holds the number."""
    (folder / "chat.txt").symlink_to(f"chat-{number}.txt")


def hard_links(folder: Path, number: str) -> None:
    """One file under two names."""
    (folder / "web.log").write_bytes(log(number))
    (folder / "web.log.1").hardlink_to(folder / "web.log")


def fifo(folder: Path, _: str) -> None:
    """A named pipe: whoever opens it waits for a writer."""
    os.mkfifo(folder / "pipe.log")


def unix_socket(folder: Path, _: str) -> None:
    """A socket, as the service's own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            # By way of the folder's descriptor: a socket's path may have 107 bytes only.
            bound.bind(f"/proc/self/fd/{descriptor}/coreapp.sock")
    finally:
        os.close(descriptor)
