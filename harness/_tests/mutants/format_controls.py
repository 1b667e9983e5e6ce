"""Controls of packed files: read to the last byte or told to be broken, and written as they were."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import itertools
import lzma
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from unittest import mock

import pytest

from harness._tests import file_faults as faults
from harness._tests.file_cases import CASES, FileCase
from harness._tests.file_makers import as_tar, as_zip
from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.file_bed import (
    BYTES,
    NOBODYS,
    NUMBER,
    TEXT,
    file_control,
    hits,
    masked,
    masking,
    scrubbed,
    swept,
)
from harness.errors import SurfaceError
from harness.surfaces import tar_format, zip_format
from harness.surfaces.codecs import (
    CODECS,
    GZIP,
    XZ,
    ZSTD,
    BrokenError,
    Codec,
    GzipHead,
    Packer,
    Sink,
    codec_of,
    gzip_head,
    unpacked,
)
from harness.surfaces.source import Source
from harness.surfaces.walk import Spot, Walk, is_packed

_LARGE: Final = 1 << 40
_SLOW: Final = frozenset({"being written", "gzip of several members", "zip, forty deep"})
_ZEROS: Final = bytes(3 << 20)


def format_controls() -> Iterator[Control]:
    """Yield the controls of formats."""
    for case in CASES:
        if not (case.heavy or case.powerless or case.name in _SLOW):
            yield file_control(partial(_is_told, case), f"a case: {case.name}")
    for codec in CODECS:
        for claim in _CLAIMS_OF_A_CODEC:
            yield Control(f"{codec.name}: {named(claim)}", partial(claim, codec))
    for one in _CLAIMS:
        yield Control(f"packed: {named(one)}", one)
    for kept in _CLAIMS_OF_A_COPY:
        yield file_control(kept)


def _is_told(case: FileCase, folder: Path) -> None:
    with case.planted(folder, NUMBER):
        seen = swept(folder)
    complaint = case.complaint(sum(one.hits for one in seen.traces), len(seen.gaps))
    assert not complaint
    assert all(gap.why for gap in seen.gaps)


# --- compressed streams ---------------------------------------------------------------------


def as_packed(codec: Codec, data: bytes) -> bytes:
    """Return data packed as we pack it."""
    sink = io.BytesIO()
    packer = Packer(sink, codec, _head().encode(b"", b"", b"") if codec is GZIP else b"")
    for at in range(0, len(data), 1000):
        assert packer.write(data[at : at + 1000]) == len(data[at : at + 1000])
    packer.finish()
    return sink.getvalue()


def _head() -> GzipHead:
    return GzipHead(b"\x1f\x8b\x08\0\1\2\3\4\0\3", b"", b"", b"")


def _chunks(codec: Codec, data: bytes, size: int = 100) -> Iterator[bytes]:
    source = Source(data[at : at + size] for at in range(0, len(data), size))
    return unpacked(source, codec, [])


_UNPACK: Final[dict[str, Callable[[bytes], Any]]] = {
    "gzip": gzip.decompress,
    "zstd": lambda data: ZSTD.unpacker().decompress(data),
    "bzip2": bz2.decompress,
    "xz": lzma.decompress,
}


def _what_is_packed_is_unpacked(codec: Codec) -> None:
    """What we pack is read by others and by us, in one member and in several."""
    assert _UNPACK[codec.name](as_packed(codec, TEXT)) == TEXT
    packed = (
        as_packed(codec, TEXT) + as_packed(codec, b"") + as_packed(codec, b"two") + bytes(70_000)
    )
    for size in (1, 7, 1 << 20):
        chunks = list(_chunks(codec, packed, size))
        assert b"".join(chunks) == TEXT + b"two"
        assert all(chunks)
    assert codec_of(packed[:9]) is codec
    assert b"".join(_chunks(codec, as_packed(codec, TEXT) + bytes(5))) == TEXT


def _what_is_damaged_is_told(codec: Codec) -> None:
    """What breaks off, is flipped, or has something behind, is told; what came before is given."""
    packed = as_packed(codec, TEXT)
    for broken, why in (
        (packed[: len(packed) // 2], "breaks off"),
        (packed[:-1], "breaks off"),
        (packed + as_packed(codec, b"two")[:-1], "breaks off"),
        (faults.flipped_inside(packed), "damaged"),
        (faults.garbage_behind(packed), "behind its end"),
        (packed + bytes(9) + b"rest", "behind its end"),
    ):
        with pytest.raises(BrokenError, match=why):
            list(_chunks(codec, broken))
    given: list[bytes] = []
    with pytest.raises(BrokenError):
        given.extend(_chunks(codec, packed + b"rest"))
    assert b"".join(given) == TEXT


def _no_more_is_held_than_needed(codec: Codec) -> None:
    """However much a stream unpacks to, it is unpacked piece by piece, as it is read."""
    packed = as_packed(codec, _ZEROS)
    given = 0
    for chunk in _chunks(codec, packed, 8):
        assert len(chunk) <= 256 << 10
        given += len(chunk)
    assert given == len(_ZEROS)


_CLAIMS_OF_A_CODEC: Final = (
    _what_is_packed_is_unpacked,
    _what_is_damaged_is_told,
    _no_more_is_held_than_needed,
)


def _input_is_taken_when_it_is_needed() -> None:
    """While there is something left to be unpacked, nothing more is read."""
    packed = as_packed(XZ, bytes(16 << 20))
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for at in range(0, len(packed), 100):
            taken += 1
            yield packed[at : at + 100]

    for number, _ in enumerate(unpacked(Source(counted()), XZ, [])):
        if number == 8:
            break
    assert taken <= 6


def _gzip_headers_are_kept() -> None:
    """Every field of a gzip header is read, and written with another name and comment."""
    fixed = b"\x1f\x8b\x08%b\1\2\3\4\2\3"
    fields = itertools.product((b"", b"EX\2\0ab"), (b"", b"web.log"), (b"", b"of old"))
    for extra, name, comment in fields:
        flags = 4 * bool(extra) | 8 * bool(name) | 16 * bool(comment)
        data = fixed % bytes((flags,))
        data += struct.pack("<H", len(extra)) + extra if extra else b""
        data += b"".join(one + b"\0" for one in (name, comment) if one)
        head = gzip_head(data + b"\x03\0behind")
        assert (head.extra, head.name, head.comment) == (extra, name, comment)
        assert head.encode(extra, name, comment) == data
        assert head.encode(extra, name and b"WEB.LOG", comment) == data.replace(
            b"web.log", b"WEB.LOG"
        )
    text = GzipHead(fixed % b"\x03", b"", b"", b"")
    assert text.encode(b"", b"", b"") == fixed % b"\x01"
    assert gzip_head(b"\x1f\x8b") == GzipHead(b"\x1f\x8b", b"", b"", b"")


# --- archives -------------------------------------------------------------------------------


class _Reader:
    """Notes what a walk comes to, and writes it in capitals."""

    def __init__(self) -> None:
        self.contents: list[tuple[str, bytes]] = []
        self.names: list[tuple[str, bytes]] = []
        self.gaps: list[tuple[str, str]] = []

    def content(self, where: str, chunks: Any, sink: Any) -> None:
        data = b"".join(map(bytes, chunks))
        self.contents.append((where, data))
        if sink:
            sink.write(data.upper())

    def name(self, where: str, name: bytes) -> bytes:
        if name:
            self.names.append((where, name))
        return name.upper()

    def gap(self, where: str, why: str) -> None:
        self.gaps.append((where, why))


def walked(data: bytes, limit_bytes: int = _LARGE, *, as_file: bool = True) -> _Reader:
    """Walk through a file, and return what was come to."""
    reader = _Reader()
    file = io.BytesIO(data)
    source = Source(iter(lambda: file.read(4096), b""), file if as_file else None)
    Walk(reader, limit_bytes).through(source, Spot(""))
    return reader


def as_written(data: bytes, limit_bytes: int = _LARGE) -> bytes:
    """Return a file as it is written again, in capitals."""
    file = io.BytesIO(data)
    source = Source(iter(lambda: file.read(4096), b""), file)
    with tempfile.TemporaryFile() as sink:
        Walk(_Reader(), limit_bytes).through(source, Spot("", cast("Sink", sink)))
        sink.seek(0)
        return sink.read()


def _deep(depth: int) -> bytes:
    data = b"text"
    for _ in range(depth):
        data = gzip.compress(data)
    return data


def _archives_in_archives_are_walked_through() -> None:
    """Four archives in one another are read, and of five it is told that they are too deep."""
    assert walked(_deep(4)).contents == [("", b"text")]
    (gap,) = walked(_deep(5)).gaps
    assert gap[0] == ""
    assert "more than 4 archives" in gap[1]
    bundle = as_zip({"a.gz": gzip.compress(b"one"), "b.tar": as_tar({"c": b"two"}), "d": b"3"})
    seen = walked(bundle)
    assert seen.contents == [(" > a.gz", b"one"), (" > b.tar > c", b"two"), (" > d", b"3")]
    assert [one for _, one in seen.names] == [b"a.gz", b"b.tar", b"c", b"d"]
    assert not seen.gaps


def _too_much_is_not_unpacked() -> None:
    """What unpacks to more than a limit, together, is told, and not written."""
    for data in (gzip.compress(bytes(2000)), as_zip({"a": bytes(1000), "b": bytes(1000)})):
        assert not walked(data, 2000).gaps
        (gap,) = walked(data, 1999).gaps
        assert "unpacks to so much more" in gap[1]
        as_written(data, 2000)
        with pytest.raises(SurfaceError, match="unpacks to so much more"):
            as_written(data, 1999)


def _what_cannot_be_read_is_not_written() -> None:
    """A broken part is a gap for who reads, and an end for who writes."""
    broken = {"a": b"one", "b.gz": gzip.compress(TEXT)[:-9], "c": b"two"}
    for pack in (as_zip, as_tar):
        seen = walked(pack(broken))
        assert [where for where, _ in seen.gaps] == [" > b.gz"]
        assert [where for where, _ in seen.contents] == [" > a", " > c"]
        with pytest.raises(SurfaceError, match="breaks off"):
            as_written(pack(broken))


def _an_archive_is_written_as_it_was() -> None:
    """Only contents and names are changed, and whatever else an archive has is kept."""
    for pack, read in ((gzip.compress, gzip.decompress), (bz2.compress, bz2.decompress)):
        assert read(as_written(pack(TEXT))) == TEXT.upper()
    assert lzma.decompress(as_written(lzma.compress(TEXT))) == TEXT.upper()
    stored = io.BytesIO()
    with gzip.GzipFile("web.txt", "wb", fileobj=stored, mtime=77) as one:
        one.write(TEXT)
    assert gzip_head(as_written(stored.getvalue())).name == b"WEB.TXT"
    nested = as_zip({"in.tgz": gzip.compress(as_tar({"x.zip": as_zip({"y": b"deep" * 9})}))})
    (content,) = walked(as_written(nested)).contents
    assert content == (" > IN.TGZ > X.ZIP > Y", b"DEEP" * 9)


# --- tar ------------------------------------------------------------------------------------


_LONG: Final = "folder/" * 20 + f"chat-{NUMBER}.txt"


def _tar(kind: int, **member: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=cast("Any", kind)) as archive:
        folder = tarfile.TarInfo("logs")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        info = tarfile.TarInfo("logs/web.log.gz")
        content = gzip.compress(TEXT)
        info.size, info.mtime, info.mode, info.uid, info.uname = len(content), 7, 0o640, 9, "who"
        for key, value in member.items():
            setattr(info, key, value)
        archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("logs/last.log")
        link.type, link.linkname = tarfile.LNKTYPE, "logs/web.log.gz"
        archive.addfile(link)
        after = tarfile.TarInfo("logs/after.log")
        after.size = 5
        archive.addfile(after, io.BytesIO(b"after"))
    return stream.getvalue()


def _members(data: bytes) -> list[tuple[Any, ...]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for one in archive:
            stream = archive.extractfile(one) if one.isreg() else None
            content = stream.read() if stream else b""
            text = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            kept: tuple[Any, ...] = (one.type, one.mtime, one.mode, one.uid, one.uname.upper())
            pax = {key: one.pax_headers[key] for key in one.pax_headers if key != "size"}
            kept += () if one.isreg() else (one.size,)
            found.append((one.name.upper(), one.linkname.upper(), text.upper(), *kept, sorted(pax)))
    return found


def _a_tar_is_kept() -> None:
    """Members of every kind, their owners, times and long names, in either format, to whole records."""
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for extra in ({}, {"name": _LONG}, {"pax_headers": {"comment": "who", "size": "0"}}):
            old = _tar(kind, **extra)
            if "pax_headers" in extra:
                size = len(gzip.compress(TEXT))
                old = _tar(kind, pax_headers={"comment": "who", "size": str(size)})
            new = as_written(old)
            assert _members(new) == _members(old)
            assert len(new) % 10_240 == 0
            assert new.endswith(bytes(1024))
            assert (new[257:265] == b"ustar  \0") is (kind == tarfile.GNU_FORMAT)
            seen = walked(old)
            assert [content for _, content in seen.contents] == [TEXT, b"after"]
            assert not seen.gaps


def _each_name_in_a_tar_is_read_once() -> None:
    """A long name stands in a tar twice, and is one name; so does a link's."""
    names = [one for _, one in walked(_tar(tarfile.PAX_FORMAT, name=_LONG)).names]
    assert names.count(_LONG.encode()) == 1
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, _LONG
        link.pax_headers = {"note": "for " + NUMBER}
        archive.addfile(link)
    names = [one for _, one in walked(stream.getvalue()).names]
    assert names == [b"link", _LONG.encode(), b"for " + BYTES]
    written = as_written(stream.getvalue())
    with tarfile.open(fileobj=io.BytesIO(written)) as made:
        (one,) = made.getmembers()
    assert (one.name, one.linkname) == ("LINK", _LONG.upper())
    assert one.pax_headers["note"] == f"FOR {NUMBER}"


def _a_broken_tar_is_told() -> None:
    """A tar that is cut off, flipped, or has something behind its end, is told and not written."""
    whole = as_tar({"a": TEXT, "b": TEXT})
    behind = whole + b"behind the end" + bytes(498)
    for broken, why in (
        (whole[:2000], "breaks off"),
        (behind, "behind its end"),
        (whole + bytes(20_480) + b"x", "behind its end"),
    ):
        assert any(why in told for _, told in walked(broken).gaps)
        with pytest.raises(BrokenError, match=why):
            as_written(broken)
    assert not walked(whole + bytes(20_480)).gaps


def _a_sparse_member_is_not_written() -> None:
    """A member with holes is read, and not written again."""
    head = tarfile.TarInfo("sparse")
    head.type, head.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(head.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = block[398:410] = b"%011o\0" % 0
    block[398:410] = b"%011o\0" % 512
    block[483:495] = b"%011o\0" % 512
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    archive = bytes(block) + NOBODYS.ljust(512, b".") + bytes(1024)
    (content,) = walked(archive).contents
    assert content[1].startswith(NOBODYS)
    with pytest.raises(SurfaceError, match="sparse"):
        as_written(archive)


def _a_member_of_an_unknown_kind_is_read() -> None:
    """What follows a header of an unknown kind is searched, and written again."""
    archive = b""
    for kind in (b"M", b"D"):
        block = bytearray(as_tar({"web.log": TEXT})[:512])
        block[156:157], block[148:156] = kind, b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        archive += block + TEXT + bytes(-len(TEXT) % 512)
    archive += bytes(1024)
    assert [content for _, content in walked(archive).contents] == [TEXT, TEXT]
    again = walked(as_written(archive))
    assert [content for _, content in again.contents] == [TEXT.upper()] * 2


def _what_is_no_tar_is_none() -> None:
    """Zeros, text, and what is shorter than a block, are no tar."""
    head = as_tar({"a": b"b"})
    assert tar_format.is_tar(head[:512])
    for other in (head[:511], bytes(512), (NOBODYS * 9)[:512], b""):
        assert not tar_format.is_tar(other)
        assert not is_packed(other)
    assert all(map(is_packed, (head[:512], as_zip({"a": b"b"}), gzip.compress(b""))))


# --- zip ------------------------------------------------------------------------------------


def _zip(*methods: int, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for method in methods:
            info = zipfile.ZipInfo(f"web-{method}.log", (2020, 2, 2, 2, 2, 2))
            info.comment, info.create_system = f"of {method}".encode(), 0
            info.external_attr, info.internal_attr = 0o640 << 16, 1
            info.compress_type = method
            archive.writestr(info, TEXT, method)
        archive.comment = comment
    return stream.getvalue()


_METHODS: Final = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
    zipfile.ZIP_BZIP2,
    zipfile.ZIP_LZMA,
)


def _entries(data: bytes) -> list[tuple[Any, ...]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        told = [(archive.comment.upper(),)]
        return told + [
            (
                *(one.filename.upper(), one.comment.upper(), archive.read(one).upper()),
                *(one.compress_type, one.date_time, one.external_attr, one.internal_attr),
                *(one.create_system, one.flag_bits),
            )
            for one in archive.infolist()
        ]


def _a_zip_is_kept() -> None:
    """Members packed by any method, their comments, times and modes, and the archive's own."""
    old = _zip(*_METHODS, comment=b"of all")
    assert _entries(as_written(old)) == _entries(old)
    seen = walked(old)
    assert [one for _, one in seen.names][:2] == [b"of all", b"web-0.log"]
    assert sorted(one for _, one in seen.names)[:4] == [b"of 0", b"of 12", b"of 14", b"of 8"]
    assert [content for _, content in seen.contents] == 4 * [TEXT]
    assert _entries(gzip.decompress(as_written(gzip.compress(old)))) == _entries(old)
    empty = _zip(comment=b"for " + BYTES)
    assert walked(empty).names == [("", b"for " + BYTES)]
    assert _entries(as_written(empty)) == [(b"FOR " + BYTES,)]


class _NoMemory(io.BytesIO):
    """Memory that nobody may ask for."""

    def __init__(self) -> None:
        raise AssertionError


def _a_zip_is_not_held_in_memory() -> None:
    """A zip that is a file is read and written as one; inside another archive it may not be large."""
    old = _zip(*_METHODS)
    with mock.patch.object(zip_format, "io", mock.Mock(BytesIO=_NoMemory)):
        assert len(walked(old).contents) == len(_METHODS)
        assert as_written(old)
    inside = gzip.compress(old)
    assert len(walked(inside).contents) == len(_METHODS)
    with mock.patch.object(zip_format, "_IN_MEMORY_BYTES", len(old) - 1):
        (gap,) = walked(inside).gaps
        assert "lies in another archive" in gap[1]
    with mock.patch.object(zip_format, "_IN_MEMORY_BYTES", len(old)):
        assert not walked(inside).gaps


def _a_broken_zip_is_told() -> None:
    """Whatever is wrong with a member is told, and the next one is read; nothing is written."""
    for method in _METHODS:
        last = next(one for one in _METHODS if one != method)
        old = bytearray(_zip(method, last))
        begin = old.index(b".log") + 4 + 4 * (method == zipfile.ZIP_LZMA)
        for at in (begin, old.index(b"PK\x03\x04", 4) - 30):
            broken = bytes([*old[:at], old[at] ^ 0xFF, *old[at + 1 :]])
            seen = walked(broken)
            ((where, why),) = seen.gaps
            assert where == f" > web-{method}.log"
            assert "damaged" in why
            assert seen.contents[-1] == (f" > web-{last}.log", TEXT)
            with pytest.raises(BrokenError):
                as_written(broken)
    short = bytearray(_zip(zipfile.ZIP_STORED))
    central = short.index(b"PK\x01\x02")
    for at in (central + 20, central + 24):
        short[at : at + 4] = struct.pack("<I", 1 << 20)
    lost = bytearray(_zip(zipfile.ZIP_STORED))
    lost[-6:-2] = struct.pack("<I", len(lost))
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(lost)
        reader = _Reader()
        Walk(reader, _LARGE).through(Source(iter([bytes(lost)]), cast("BinaryIO", file)), Spot(""))
    for gaps in (walked(bytes(short)).gaps, walked(bytes(lost)).gaps, reader.gaps):
        ((_, why),) = gaps
        assert "damaged" in why or "belong to no member" in why


class _Full(io.BytesIO):
    """A disk on which there is no room left."""

    def write(self, _: Any, /) -> int:
        raise OSError(errno.ENOSPC, "no room")


def _a_full_disk_is_no_damage() -> None:
    """What the disk refuses is told as the disk's."""
    source = Source(iter([_zip(zipfile.ZIP_STORED)]), io.BytesIO(_zip(zipfile.ZIP_STORED)))
    with pytest.raises(OSError, match="no room"):
        Walk(_Reader(), _LARGE).through(source, Spot("", _Full()))


def _a_zip_that_nobody_can_look_into_is_told() -> None:
    """A member that is encrypted, or packed in an unknown way, is told as such."""
    plain = as_zip({"a": TEXT})
    for made, why in (
        (faults.encrypted(plain), "encrypted"),
        (faults.of_no_method(plain), "way of"),
    ):
        ((where, told),) = walked(made).gaps
        assert where == " > a"
        assert why in told
        with pytest.raises(SurfaceError, match=why):
            as_written(made)
    assert zip_format.is_zip(plain)
    assert not zip_format.is_zip(TEXT)


_CLAIMS: Final = (
    _input_is_taken_when_it_is_needed,
    _gzip_headers_are_kept,
    _archives_in_archives_are_walked_through,
    _too_much_is_not_unpacked,
    _what_cannot_be_read_is_not_written,
    _an_archive_is_written_as_it_was,
    _a_tar_is_kept,
    _each_name_in_a_tar_is_read_once,
    _a_broken_tar_is_told,
    _a_sparse_member_is_not_written,
    _a_member_of_an_unknown_kind_is_read,
    _what_is_no_tar_is_none,
    _a_zip_is_kept,
    _a_zip_is_not_held_in_memory,
    _a_broken_zip_is_told,
    _a_full_disk_is_no_damage,
    _a_zip_that_nobody_can_look_into_is_told,
)


# --- scrubbed -------------------------------------------------------------------------------


def _copies_of_every_format_are_masked(folder: Path) -> None:
    """An archive of any format is masked, and read by others; nothing else in it is changed."""
    search = masking()
    new = masked(search, TEXT)
    packs: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
        "a.gz": (gzip.compress, gzip.decompress),
        "a.bz2": (bz2.compress, bz2.decompress),
        "a.xz": (lzma.compress, lzma.decompress),
        "a.zst": (partial(as_packed, ZSTD), _UNPACK["zstd"]),
    }
    for name, (pack, _) in packs.items():
        (folder / name).write_bytes(pack(TEXT))
    assert hits(folder) == dict.fromkeys(sorted(packs), 1)
    done = scrubbed(folder, search)
    assert (done.files, done.identifiers, done.left) == (4, 4, [])
    for name, (_, unpack) in packs.items():
        assert unpack((folder / name).read_bytes()) == new
    assert hits(folder) == {}


_CLAIMS_OF_A_COPY: Final = (_copies_of_every_format_are_masked,)
