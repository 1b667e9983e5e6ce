"""The proof that a search of files sees: a canary in files of every format, found to the last.

The files are made in a private folder and removed again. What would be blind to the canary in
a format would be blind to the subject in it; where files are masked, so are these.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import canary
from harness.identity import Closure
from harness.masks import Masks
from harness.surfaces.codecs import ZSTD
from harness.surfaces.fileset import FileSet
from harness.surfaces.look import FileSearch
from harness.surfaces.scrub import scrub_files
from harness.surfaces.sweep import FileSighting, sweep_files

_LINES: Final = (
    b"2026-01-01T00:00:00Z INFO Retrieved contact=%b",
    b'{"contacts":[{"wa_id":"%b"}],"time":"00:00:00"}',
    b"GET /v1/contacts/%%2B%b HTTP/1.1 200",
    b"2026-01-01T00:00:00Z DEBUG nobody in particular; see %b@s.whatsapp.net",
)
_FILLER: Final = b"2026-01-01T00:00:00Z INFO 200 OK in 17 ms\n" * 50


@dataclass(frozen=True, slots=True)
class FileProof:
    """How the canary fared: in how many formats, how often planted, seen, and left."""

    formats: int
    planted: int
    seen: int
    left: int


def prove(*, masking: bool) -> FileProof:
    """Plant a canary in files of every format and search them; with `masking`, scrub them too."""
    wa_id = canary.draw()
    closure = Closure(wa_id)
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        planted = 0
        makers = dict(_formats())
        for name, make in makers.items():
            content, count = make(wa_id.number)
            Path(folder, f"{name}.log").write_bytes(content)
            planted += count
        Path(folder, f"{wa_id.number}.log").write_bytes(_FILLER)
        file_set = FileSet.of([Path(folder)], [])
        search = FileSearch(closure, Masks(closure))
        before = sweep_files(file_set, search)
        left = 0
        if masking:
            scrub_files(file_set, search, before)
            after = sweep_files(file_set, search)
            left = _hits(after) + len(after.gaps)
    return FileProof(len(makers), planted + 1, _hits(before), left)


def _hits(sighting: FileSighting) -> int:
    return sum(trace.hits for trace in sighting.traces)


def _formats() -> Iterator[tuple[str, Callable[[str], tuple[bytes, int]]]]:
    """Yield what each format is called, and what makes a file of it and counts the canary."""
    packed: dict[str, Callable[[bytes], bytes]] = {
        "plain": bytes,
        "gzip": gzip.compress,
        "members": lambda text: gzip.compress(text[:2048]) + gzip.compress(text[2048:]),
        "zstd": _zstd,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
        "zip": lambda text: _zip(gzip.compress(text)),
        "tar": lambda text: _tar(gzip.compress(text)),
        "bundle": lambda text: gzip.compress(_tar(text)),
        "nested": lambda text: _zip(gzip.compress(_tar(text))),
    }
    for name, pack in packed.items():
        yield name, _maker(pack)


def _maker(pack: Callable[[bytes], bytes]) -> Callable[[str], tuple[bytes, int]]:
    def make(number: str) -> tuple[bytes, int]:
        lines = [line % number.encode("ascii") for line in _LINES]
        lines.append(base64.b64encode(b"\x1c\x18\x0c" + number.encode("ascii")))
        text = _FILLER + (b"\n" + _FILLER).join(lines) + b"\n" + _FILLER
        return pack(text), len(lines)

    return make


def _zstd(content: bytes) -> bytes:
    packer = ZSTD.packer()
    packed: bytes = packer.compress(content) + packer.flush()
    return packed


def _zip(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("web.log", content)
    return file.getvalue()


def _tar(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("log/web.log")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return file.getvalue()
