"""A synthetic file estate: the logs, archives, container logs and bundles of an installation.

What is planted is known to the line, so that what a search says can be compared with it. The
places are those that the client is known to use; a bundle's name and what it holds are made up.
"""

from __future__ import annotations

import gzip
import io
import random
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from harness.population.log_lines import Log, blocks
from harness.population.mentions import Mention, mentions

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PART: Final = " > "
"""What stands between an archive and the part of it that is meant."""
_GZIP_LEVEL: Final = 6
_TIME_S: Final = 1_740_787_200
_DATE: Final = (2025, 3, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Planted:
    """What one file, or one part of an archive, holds of the subject.

    `file` is the path in the estate; a part of an archive follows behind ` > `.
    """

    file: str
    lines: int
    forms: tuple[tuple[str, int], ...]

    @property
    def identifiers(self) -> int:
        """How often the subject is named."""
        return sum(count for _, count in self.forms)


@dataclass(frozen=True, slots=True)
class Estate:
    """A folder full of logs, and what is planted in each of its files, parts of archives too."""

    folder: Path
    content_bytes: int
    planted: tuple[Planted, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Every file, as a path in the folder."""
        return tuple(dict.fromkeys(one.file.partition(PART)[0] for one in self.planted))

    def identifiers(self) -> dict[str, int]:
        """Return how often each file names the subject, all parts of an archive together."""
        counts: Counter[str] = Counter()
        for one in self.planted:
            counts[one.file.partition(PART)[0]] += one.identifiers
        return dict(counts)


@dataclass(frozen=True, slots=True)
class _Place:
    """A log in the estate: where it lies, whose it is, whether it names the subject."""

    name: str
    log: Log
    names: bool = True

    @property
    def last(self) -> str:
        return self.name.rpartition("/")[2]


_CONTAINER: Final = "containers/{0}/{0}-json.log"
_ARCHIVE: Final = "log/whatsapp/archive"
_PLAIN: Final = (
    _Place("log/whatsapp/web.log", Log.WEB),
    _Place("log/lighttpd/access.log", Log.ACCESS),
    _Place("log/lighttpd/error.log", Log.ERROR),
    _Place("log/waent/logs/wacore.log", Log.CORE),
    _Place("log/waent/logs/wa-service-{1}-crash.log", Log.CRASH),
    _Place(_CONTAINER, Log.CONTAINER),
    _Place(f"{_CONTAINER}.1", Log.CONTAINER, names=False),
)
_ROTATED: Final = (
    _Place(f"{_ARCHIVE}/web.log.1.gz", Log.WEB),
    _Place(f"{_ARCHIVE}/web.log.2.gz", Log.WEB, names=False),
    _Place(f"{_ARCHIVE}/access.log.1.gz", Log.ACCESS),
    _Place(f"{_ARCHIVE}/error.log.1.gz", Log.ERROR, names=False),
    _Place(f"{_ARCHIVE}/wacore.log.1.gz", Log.CORE),
    _Place(f"{_CONTAINER}.2.gz", Log.CONTAINER),
)
_BUNDLED: Final = (
    _Place("support/web.log", Log.WEB),
    _Place("support/wacore.log.1.gz", Log.CORE),
    _Place("support/error.log", Log.ERROR, names=False),
    _Place("support/wa-service-{1}-crash.log.gz", Log.CRASH),
)
_ZIP: Final = "bundles/support-info.zip"
_TAR: Final = "bundles/support-info.tar.gz"
_ZSTD: Final = _Place("bundles/wacore.log.9.zst", Log.CORE)
_TWICE: Final = _Place(f"{_ARCHIVE}/web.log.3.gz", Log.WEB)
_LOGS: Final = len(_PLAIN) + len(_ROTATED) + 2 * len(_BUNDLED) + 2


def make_estate(
    folder: Path, subject: str | None, seed: int = 0, size_bytes: int = 2_000_000
) -> Estate:
    """Fill a folder with logs of about that size, unpacked, that name the subject, or nobody."""
    return _Maker(folder, subject, seed, size_bytes // _LOGS).make()


class _Maker:
    """One estate in the making."""

    def __init__(self, folder: Path, subject: str | None, seed: int, log_bytes: int) -> None:
        self._folder = folder
        self._subject = subject
        self._seed = seed
        self._log_bytes = log_bytes
        drawn = random.Random(f"{seed} names")
        self._names = (drawn.randbytes(32).hex(), drawn.randbytes(8).hex())
        self._content_bytes = 0
        self._planted: list[Planted] = []

    def make(self) -> Estate:
        for place in _PLAIN:
            self._path(place.name).write_bytes(b"".join(self._lines(place)))
        for place in _ROTATED:
            name = place.last.removesuffix(".gz")
            gzipped(self._path(place.name), self._lines(place), name.format(*self._names))
        with self._path(_TWICE.name).open("wb") as stream:
            for half in _halves(b"".join(self._lines(_TWICE)).splitlines(keepends=True)):
                stream.write(_packed(half))
        with zstd.open(self._path(_ZSTD.name), "wb") as stream:
            stream.writelines(self._lines(_ZSTD))
        self._bundle_zip(self._path(_ZIP))
        self._bundle_tar(self._path(_TAR))
        return Estate(self._folder, self._content_bytes, tuple(self._planted))

    def _path(self, name: str) -> Path:
        path = self._folder / name.format(*self._names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _lines(self, place: _Place, bundle: str = "") -> Iterator[bytes]:
        """Yield a log in blocks, and keep account of what is planted in it."""
        name = place.name.format(*self._names)
        seed = random.Random(f"{self._seed} {bundle} {name}").randrange(1 << 32)
        told: Sequence[Mention] = ()
        if self._subject and place.names:
            told = mentions(place.log, self._subject, seed)
        counts = Counter(form for one in told for form in one.forms)
        file = f"{bundle}{PART}{name}" if bundle else name
        self._planted.append(Planted(file, len(told), tuple(sorted(counts.items()))))
        lines = [one.line for one in told]
        for block in blocks(place.log, seed, self._log_bytes, lines, self._subject or ""):
            self._content_bytes += len(block)
            yield block

    def _members(self, bundle: str) -> Iterator[tuple[str, bytes]]:
        for place in _BUNDLED:
            content = b"".join(self._lines(place, bundle))
            packed = _packed([content]) if place.name.endswith(".gz") else content
            yield place.name.format(*self._names), packed

    def _bundle_zip(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self._members(_ZIP):
                archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)

    def _bundle_tar(self, path: Path) -> None:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as archive:
            for name, content in self._members(_TAR):
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(content), _TIME_S
                archive.addfile(member, io.BytesIO(content))
        gzipped(path, [plain.getvalue()])


def gzipped(path: Path, parts: Iterable[bytes], name: str = "") -> None:
    """Write a gzip file as gzip does it: one member, level 6, the name of what it was made of."""
    with path.open("wb") as stream:
        _compress(stream, parts, name)


def _packed(parts: Iterable[bytes]) -> bytes:
    stream = io.BytesIO()
    _compress(stream, parts, "")
    return stream.getvalue()


def _compress(stream: IO[bytes], parts: Iterable[bytes], name: str) -> None:
    with gzip.GzipFile(name, "wb", _GZIP_LEVEL, stream, mtime=_TIME_S) as packed:
        for part in parts:
            packed.write(part)


def _halves(parts: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    middle = (len(parts) + 1) // 2
    return parts[:middle], parts[middle:]
