"""Controls of what formats can hide: behind headers, between members, in fields that nobody shows."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, Final

import pytest

from harness._tests.file_makers import as_tar, as_zip
from harness._tests.mutants.controls import Control, named
from harness._tests.mutants.file_bed import BYTES, TEXT
from harness._tests.mutants.format_controls import as_packed, as_written, walked
from harness.surfaces import zip_format
from harness.surfaces.codecs import GZIP, ZSTD, BrokenError, GzipHead, unpacked
from harness.surfaces.source import Source

_BLOCK: Final = 512
_MEMBER: Final = b"PK\x03\x04"


def hidden_controls() -> Iterator[Control]:
    """Yield the controls of what is hidden in packed files."""
    for claim in _CLAIMS:
        yield Control(f"packed: {named(claim)}", claim)


def _is_told(data: bytes, why: str) -> None:
    ((_, told),) = walked(data).gaps
    assert why in told
    with pytest.raises(BrokenError if "breaks off" in why else Exception, match=why):
        as_written(data)


# --- tar ------------------------------------------------------------------------------------


def _member(name: str, content: bytes = b"", **fields: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % _BLOCK)


def _owners_are_names() -> None:
    """The names of a member's owner and group are read, and written as they are to be."""
    old = _member("a", TEXT, uname="user-a", gname="group-b") + bytes(2 * _BLOCK)
    assert [one for _, one in walked(old).names] == [b"a", b"user-a", b"group-b"]
    with tarfile.open(fileobj=io.BytesIO(as_written(old))) as made:
        (one,) = made.getmembers()
    assert (one.uname, one.gname) == ("USER-A", "GROUP-B")


def _a_header_without_end_is_not_read() -> None:
    """A header of the next one's that is larger than any name is told, and not held in memory."""
    kinds = {
        tarfile.XHDTYPE: b"%d comment=%b\n",
        tarfile.XGLTYPE: b"%d comment=%b\n",
        tarfile.SOLARIS_XHDTYPE: b"%d comment=%b\n",
        tarfile.GNUTYPE_LONGNAME: b"",
        tarfile.GNUTYPE_LONGLINK: b"",
    }
    whole = _member("a", TEXT) + bytes(2 * _BLOCK)
    for kind, record in kinds.items():
        for size, is_told in ((1 << 20, False), ((1 << 20) + 1, True)):
            content = b"n" * size
            if record:
                content = record % (size, b"c" * (size - len(record % (size, b""))))
            assert len(content) == size
            seen = walked(_member("././@LongLink", content, type=kind) + whole)
            assert [gap for _, gap in seen.gaps if "breaks off" in gap] == [
                gap for _, gap in seen.gaps
            ]
            assert bool(seen.gaps) is is_told
            assert [one for _, one in seen.contents] == ([] if is_told else [TEXT])


def _a_tar_ends_as_it_should() -> None:
    """Where no header follows that is one, or none at all, the archive is told to be broken."""
    begun = _member("a", TEXT)
    for broken in (
        begun + TEXT[:_BLOCK].ljust(_BLOCK, b"x"),
        begun,
        begun + as_tar({"b": TEXT})[:500],
        begun + bytes(500),
        begun + _member("link", TEXT, type=tarfile.LNKTYPE, linkname="a"),
    ):
        _is_told(broken, "breaks off")
    assert not walked(begun + bytes(_BLOCK)).gaps


def _a_link_keeps_the_size_that_it_tells() -> None:
    """A link may tell the size of what it leads to, and holds nothing."""
    link = _member("link", type=tarfile.LNKTYPE, linkname="a", size=len(TEXT))
    made = as_written(_member("a", TEXT) + link + _member("b", b"b") + bytes(2 * _BLOCK))
    with tarfile.open(fileobj=io.BytesIO(made), mode="r|") as archive:
        assert [(one.name, one.size) for one in archive] == [
            ("A", len(TEXT)),
            ("LINK", len(TEXT)),
            ("B", 1),
        ]


# --- zip ------------------------------------------------------------------------------------


def _zip(*members: tuple[zipfile.ZipInfo, bytes], behind: bytes = b"", flag: int = 0) -> bytes:
    """Return a zip of stored members, with the same bytes behind each."""
    stream, listed = io.BytesIO(), []
    for info, content in members:
        info.flag_bits |= flag
        info.CRC, info.header_offset = zlib.crc32(content), stream.tell()
        info.file_size = info.compress_size = len(content)
        stream.write(info.FileHeader(zip64=False) + content + behind)
        listed.append(info)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.filelist += listed
        archive._didModify = True  # type: ignore[attr-defined]
        archive.start_dir = stream.tell()
    return stream.getvalue()


def _pair() -> tuple[tuple[zipfile.ZipInfo, bytes], ...]:
    return tuple((zipfile.ZipInfo(f"{one}.log"), TEXT) for one in "ab")


def _descriptors_are_known() -> None:
    """What a packer that cannot go back writes behind a member is no hidden content."""
    for size in (0, 12, 16, 20, 24):
        data = _zip(*_pair(), behind=b"\1" * size, flag=8)
        assert [one for _, one in walked(data).contents] == [TEXT, TEXT]
        assert not walked(data).gaps
        if size:
            _is_told(_zip(*_pair(), behind=b"\1" * size), "belong to no member")
    _is_told(_zip(*_pair(), behind=b"\1" * 13, flag=8), "belong to no member")
    # What follows at once is the next member, whatever its own fields look like.
    assert zip_format._descriptor_bytes(io.BytesIO(_MEMBER + bytes(8) + _MEMBER), 0) == 0


def _what_no_list_knows_of_is_told() -> None:
    """Bytes before, between and behind the members, and members that were taken off the list."""
    whole = as_zip({"a": TEXT})
    _is_told(as_zip({"b": TEXT}) + whole, "belong to no member")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in "abc":
            archive.writestr(name, TEXT)
        archive.filelist.pop(1)
    _is_told(stream.getvalue(), "belong to no member")
    cut = whole.index(b"PK\x01\x02")
    hidden = bytearray(whole[:cut] + BYTES + whole[cut:])
    hidden[-6:-2] = struct.pack("<I", cut + len(BYTES))
    _is_told(bytes(hidden), "belong to no member")


def _whatever_the_library_raises_is_damage() -> None:
    """Every way in which the library fails over a zip is told as damage; a full disk is not."""
    for error in (
        *(zipfile.BadZipFile(), zlib.error(), lzma.LZMAError(), EOFError(), struct.error()),
        *(ValueError(), UnicodeDecodeError("utf-8", b"", 0, 0, "")),
        *(OSError("bzip2's"), OSError(errno.EINVAL, "before the beginning")),
    ):
        with pytest.raises(BrokenError, match="damaged"), zip_format._read():
            raise error
    with pytest.raises(OSError, match="room"), zip_format._read():
        raise OSError(errno.ENOSPC, "no room")
    _is_told(_MEMBER + TEXT, "breaks off")


def _names_are_not_warned_of() -> None:
    """The library's warnings quote names, and are not heard; others are, afterwards as before."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        first, second = _pair()
        second[0].filename = second[0].orig_filename = first[0].filename
        before = list(warnings.filters)
        assert len(walked(as_written(_zip(first, second))).contents) == 2
        assert warnings.filters == before
    assert heard == []


def _names_of_a_zip_are_kept_byte_for_byte() -> None:
    """Names in UTF-8 and in the old encoding, and fields that no tool shows, but for large sizes."""
    field = struct.pack("<HH", 0x7755, len(BYTES)) + BYTES
    large = struct.pack("<HHQ", 1, 8, 5)
    old = zipfile.ZipInfo("Mueller.log")
    old.extra = large + field + large + field + b"\7"
    new = zipfile.ZipInfo("MÜLLER.log")
    data = _zip((old, TEXT), (new, TEXT)).replace(b"Mueller", b"M\x81ller.")
    names = [one for _, one in walked(data).names]
    assert names == [b"M\x81ller..log", 2 * field + b"\7", "MÜLLER.log".encode()]
    with zipfile.ZipFile(io.BytesIO(as_written(data))) as archive:
        first, second = archive.infolist()
    assert first.orig_filename.encode("cp437") == b"M\x81LLER..LOG"
    assert first.extra == (2 * field + b"\7").upper()
    assert (second.filename, second.extra) == ("MÜLLER.LOG", b"")
    assert (first.flag_bits & 0x800, second.flag_bits & 0x800) == (0, 0x800)


# --- compressed streams ---------------------------------------------------------------------


def _frame(text: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A50, len(text)) + text


def _chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _what_unpackers_skip_is_read() -> None:
    """A frame that is skipped is a text like a header's, and written again; an empty one is none."""
    note = b"for " + BYTES
    for text, is_text in ((note, True), (bytes(8), False), (bytes(9), True)):
        data = _frame(text) + as_packed(ZSTD, TEXT) + as_packed(ZSTD, b"two")
        for size in (7, 1 << 20):
            heads: list[GzipHead] = []
            chunks = unpacked(Source(_chunked(data, size)), ZSTD, heads)
            assert b"".join(chunks) == TEXT + b"two"
            assert heads == [GzipHead(_frame(text)[:8], text, b"", b"")] * is_text
    data = as_packed(ZSTD, TEXT) + _frame(note) + as_packed(ZSTD, b"two")
    assert walked(data).names == [("", note)]
    made = as_written(data)
    assert made.endswith(_frame(note.upper()))
    assert walked(made).contents == [("", TEXT.upper() + b"TWO")]
    large = as_packed(ZSTD, TEXT) + _frame(bytes(128 << 10))
    assert not walked(large).gaps
    _is_told(as_packed(ZSTD, TEXT) + _frame(bytes((128 << 10) + 1)), "no log")


def _headers_are_read_as_far_as_they_go() -> None:
    """A long header of gzip is read whole, and of a short one no more than a little."""
    name = b"n" * 50_000 + BYTES
    head = GzipHead(b"\x1f\x8b\x08\0\1\2\3\4\0\3", b"", b"", b"").encode(b"", name, b"")
    data = head + gzip.compress(TEXT)[10:]
    assert (("", name)) in walked(data).names
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for chunk in _chunked(gzip.compress(TEXT) * 1000, 100):
            taken += 1
            yield chunk

    assert next(unpacked(Source(counted()), GZIP, []))
    assert taken < 50


_CLAIMS: Final = (
    _owners_are_names,
    _a_header_without_end_is_not_read,
    _a_tar_ends_as_it_should,
    _a_link_keeps_the_size_that_it_tells,
    _descriptors_are_known,
    _what_no_list_knows_of_is_told,
    _whatever_the_library_raises_is_damage,
    _names_are_not_warned_of,
    _names_of_a_zip_are_kept_byte_for_byte,
    _what_unpackers_skip_is_read,
    _headers_are_read_as_far_as_they_go,
)
