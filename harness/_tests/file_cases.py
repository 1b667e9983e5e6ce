"""Every kind of file and fault that a folder of logs may have, and what a search has to say of it.

Faults are said, never passed over: UNKNOWN is a gap with a reason. What could be read before a
fault was met is found all the same.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from . import file_faults as faults
from . import file_makers as makers
from .file_faults import UNREAD
from .file_makers import AROUND, BOUNDARIES, MIB, Undo, as_tar, as_zip, log, with_stored_name

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_EACH: Final = len(BOUNDARIES) * (2 * AROUND + 1)


@dataclass(frozen=True, slots=True)
class FileCase:
    """A folder with one kind of file or fault.

    `found` is how often the number must be found, with a gap at least so often; `unknown` whether
    a gap must be told, and None leaves a choice: either all is found, or a gap is told. `heavy`
    takes a second or more. `powerless`: it shows only without the privileges of root.
    """

    name: str
    make: Callable[[Path, str], Undo | None]
    found: int
    unknown: bool | None = False
    note: str = ""
    heavy: bool = False
    powerless: bool = False

    @contextmanager
    def planted(self, folder: Path, number: str) -> Iterator[Path]:
        """Fill an empty folder, for as long as it is looked at."""
        undo = self.make(folder, number)
        try:
            yield folder
        finally:
            if undo:
                undo()

    def complaint(self, found: int, gaps: int) -> str:
        """Return what is wrong with what a search said, or nothing."""
        exact = found == self.found and not gaps
        told = bool(gaps) and (self.unknown is None or found >= self.found)
        right = {False: exact, True: told, None: exact or told}[self.unknown]
        said = f"found {found}, {gaps} gaps; wanted {self.found}, unknown: {self.unknown}"
        return "" if right else f"{self.name}: {said}"

    def __str__(self) -> str:
        return self.name


def _file(name: str, *steps: Callable[[Any], Any]) -> Callable[[Path, str], None]:
    """Return a maker of one file: each step works on what the one before returned.

    The first is given the number; in the file's name `#` stands for it.
    """

    def make(folder: Path, number: str) -> None:
        path = folder / name.replace("#", number)
        path.parent.mkdir(parents=True, exist_ok=True)
        content: Any = number
        for step in steps:
            content = step(content)
        path.write_bytes(content)

    return make


def _nobody(_: str) -> bytes:
    return log()


def _nothing(_: str) -> bytes:
    return b""


def _large(number: str) -> bytes:
    return log(number, 4 * MIB)


def _two(number: str) -> dict[str, bytes]:
    """Two members: a small one with the number, and a large one of nobody."""
    return {"web.log": log(number), "web.log.1": log(size_bytes=MIB)}


def _packed_two(number: str) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in _two(number).items()}


def _member(name: str) -> Callable[[bytes], dict[str, bytes]]:
    return lambda content: {name: content}


def _named(number: str) -> dict[str, bytes]:
    return {f"chat/{number}.txt": log()}


def _twice(pack: Callable[[bytes], bytes]) -> Callable[[str], bytes]:
    return lambda number: pack(log()) + pack(log(number))


def _encoded(codec: str) -> Callable[[bytes], bytes]:
    return lambda content: content.decode().encode(codec)


def _summed(content: bytes) -> bytes:
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


def _unread(suffix: str) -> Callable[[object], bytes]:
    return lambda _: faults.of_format(suffix)


FORMATS: Final = (
    FileCase("plain", _file("web.log", log), 1),
    FileCase("gzip", _file("web.log.1.gz", log, gzip.compress), 1),
    FileCase("gzip of several members", _file("web.log.1.gz", makers.several_members), 1),
    FileCase("gzip, number across members", _file("a.gz", makers.split_by_members), 1),
    FileCase("zip", _file("a.zip", _two, as_zip), 1),
    FileCase("tar", _file("a.tar", _two, as_tar), 1),
    FileCase("tar.gz", _file("a.tar.gz", _two, as_tar, gzip.compress), 1),
    FileCase("tgz", _file("a.tgz", _two, as_tar, gzip.compress), 1),
    FileCase("tar.zst", _file("a.tar.zst", _two, as_tar, zstd.compress), 1),
    FileCase("tar.xz", _file("a.tar.xz", _two, as_tar, lzma.compress), 1),
    FileCase("tar.bz2", _file("a.tar.bz2", _two, as_tar, bz2.compress), 1),
    FileCase("zstd", _file("web.log.1.zst", log, zstd.compress), 1),
    FileCase("zstd of several frames", _file("web.log.1.zst", makers.several_frames), 1),
    FileCase("bzip2", _file("web.log.1.bz2", log, bz2.compress), 1),
    FileCase("bzip2, twice", _file("web.log.1.bz2", _twice(bz2.compress)), 1),
    FileCase("xz", _file("web.log.1.xz", log, lzma.compress), 1),
    FileCase("xz, twice", _file("web.log.1.xz", _twice(lzma.compress)), 1),
    FileCase("gzip inside zip", _file("a.zip", _packed_two, as_zip), 1),
    FileCase("gzip inside tar.gz", _file("a.tar.gz", _packed_two, as_tar, gzip.compress), 1),
    FileCase("gzip called log", _file("web.log", log, gzip.compress), 1),
    FileCase("text called gz", _file("web.log.1.gz", log), 1),
    FileCase("gzip inside gzip", _file("a.gz.gz", log, gzip.compress, gzip.compress), 1, None),
    FileCase("zip, three deep", _file("a.zip", partial(makers.nested, depth=3)), 1, None),
    FileCase("zip, forty deep", _file("a.zip", partial(makers.nested, depth=40)), 1, None),
)

CONTENTS: Final = (
    FileCase("huge line", _file("web.log", makers.huge_line), 1, note="50 MB", heavy=True),
    FileCase("huge line, gzip", _file("a.gz", makers.huge_line, gzip.compress), 1, heavy=True),
    FileCase("digits without end", _file("web.log", makers.digits_without_end), 0),
    FileCase("sparse", makers.sparse, 1, note="a gibibyte of zeros", heavy=True),
    FileCase("across boundaries", makers.across(bytes), _EACH, heavy=True),
    FileCase("across boundaries, gzip", makers.across(gzip.compress), _EACH, heavy=True),
    FileCase(
        "across boundaries, UTF-16", makers.across(_encoded("utf-16-le"), 2), _EACH, heavy=True
    ),
    FileCase("UTF-16", _file("web.log", makers.lines_in_utf_16), 1),
    FileCase("UTF-16, big-endian", _file("web.log", log, _encoded("utf-16-be")), 1),
    FileCase("UTF-16, gzip", _file("a.gz", makers.lines_in_utf_16, gzip.compress), 1),
    FileCase("CR and LF", _file("web.log", log, lambda text: text.replace(b"\n", b"\r\n")), 1),
    FileCase("no newline at the end", _file("web.log", lambda number: log() + number.encode()), 1),
    FileCase("zeros in the middle", _file("a.log", lambda n: log() + bytes(5_000) + log(n)), 1),
    FileCase("empty", _file("web.log", _nothing), 0),
    FileCase("empty, called gz", _file("web.log.1.gz", _nothing), 0),
    FileCase("gzip of nothing", _file("web.log.1.gz", _nothing, gzip.compress), 0),
    FileCase("compression bomb", _file("a.gz", makers.bomb), 1, None, "10 GiB", heavy=True),
    FileCase("being written", makers.growing, 1),
    FileCase("half-rotated", makers.half_rotated, 2, unknown=True),
    FileCase("two names of one file", makers.hard_links, 1, note="searched once"),
)

NAMES: Final = (
    FileCase("number in a file's name", _file("chat-#.txt", _nobody), 1),
    FileCase("number in a folder's name", _file("chats/#/web.log", _nobody), 1),
    FileCase("number in an archive's name", _file("#.log.gz", _nobody, gzip.compress), 1),
    FileCase("number in a zip member's name", _file("a.zip", _named, as_zip), 1),
    FileCase("number in a tar member's name", _file("a.tgz", _named, as_tar, gzip.compress), 1),
    FileCase(
        "number in the name that gzip stores",
        _file("a.gz", lambda number: with_stored_name(f"{number}.txt")),
        1,
    ),
    FileCase("number in a link's target", makers.link_with_number, 1, None),
    FileCase("name that is no UTF-8", _file("web-\udcff.log", log), 1),
    FileCase("name with a newline", _file("web\n.log", log), 1),
)

DAMAGED: Final = (
    FileCase("gzip, cut off", _file("a.gz", _large, gzip.compress, faults.cut), 1, True),
    FileCase("zstd, cut off", _file("a.zst", _large, zstd.compress, faults.cut), 1, True),
    FileCase("xz, cut off", _file("a.xz", _large, lzma.compress, faults.cut), 1, True),
    FileCase("bzip2, cut off", _file("a.bz2", _large, bz2.compress, faults.cut), 1, True),
    FileCase("zip, cut off", _file("a.zip", _two, as_zip, faults.cut), 0, True, "no directory"),
    FileCase("tar, cut off", _file("a.tar", _two, as_tar, faults.cut), 1, True),
    FileCase("tar.gz, cut off", _file("a.tgz", _two, as_tar, gzip.compress, faults.cut), 1, True),
    FileCase("tar cut off, gz", _file("a.tgz", _two, as_tar, faults.cut, gzip.compress), 1, True),
    FileCase("gzip, flipped", _file("a.gz", _large, gzip.compress, faults.flipped_inside), 1, True),
    FileCase(
        "gzip, sum flipped", _file("a.gz", _large, gzip.compress, faults.flipped_sum), 1, True
    ),
    FileCase("zstd, flipped", _file("a.zst", _large, _summed, faults.flipped_inside), 1, True),
    FileCase("zip, flipped", _file("a.zip", _two, as_zip, faults.flipped_inside), 1, True),
    FileCase("garbage behind", _file("a.gz", log, gzip.compress, faults.garbage_behind), 1, True),
    FileCase("zeros behind", _file("a.gz", log, gzip.compress, faults.zeros_behind), 1, False),
    FileCase(
        "zip, encrypted", _file("a.zip", log, _member("a"), as_zip, faults.encrypted), 0, True
    ),
    FileCase(
        "zip, unknown method",
        _file("a.zip", log, _member("a"), as_zip, faults.of_no_method),
        0,
        True,
    ),
    *(FileCase(f"not read: {one}", _file(f"a.{one}", _unread(one)), 0, True) for one in UNREAD),
    FileCase("not read, in zip", _file("a.zip", _unread("7z"), _member("a.7z"), as_zip), 0, True),
    FileCase(
        "cut off gzip inside zip",
        _file("a.zip", _large, gzip.compress, faults.cut, _member("a.gz"), as_zip),
        1,
        True,
    ),
    FileCase("unreadable", makers.unreadable, 0, True, powerless=True),
    FileCase("unreadable folder", makers.unreadable_folder, 0, True, powerless=True),
)

SPECIAL: Final = (
    FileCase("links inside", makers.link_inside, 1, note="what they lead to is searched once"),
    FileCase("link to the outside", makers.link_outside, 0, True),
    FileCase("broken link", makers.link_broken, 0, None, "nothing is there to be searched"),
    FileCase("link to the folder above", makers.link_loop, 1),
    FileCase("links to each other", makers.links_to_each_other, 0, None),
    FileCase("FIFO", makers.fifo, 0, None, "holds nothing on the disk; opening it would hang"),
    FileCase("socket", makers.unix_socket, 0, None, "holds nothing on the disk"),
)

CASES: Final = (*FORMATS, *CONTENTS, *NAMES, *DAMAGED, *SPECIAL)
