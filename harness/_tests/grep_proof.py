"""Independent of our search: the system's own tools unpack every file, and grep looks into it.

gzip, zstd, xz, bzip2, tar and unzip, by what a file begins with, into archives inside archives
too; `find` lists names.
Nothing of ours takes part, so that what they do not find is not there in any plain spelling. A
tool that complains, of a damaged file or else, ends the proof with its error.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

PART: Final = " > "
_NOTHING: Final = Path(os.devnull)
_SEPARATORS: Final = r"[ ().+/-]{0,3}"
_TOOLS: Final[tuple[tuple[bytes, tuple[str, ...]], ...]] = (
    (b"\x1f\x8b", ("gzip", "-dc")),
    (b"\x28\xb5\x2f\xfd", ("zstd", "-dcq")),
    (b"\xfd7zXZ\0", ("xz", "-dc")),
    (b"BZh", ("bzip2", "-dc")),
    (b"PK\x03\x04", ("unzip", "-qq")),
)
"""By what a file begins with, whatever it is called."""
_TAR: Final = (b"ustar", 257)
_PLAIN_LOCALE: Final = {"LC_ALL": "C", "PATH": os.environ["PATH"]}


@dataclass(frozen=True, slots=True)
class Content:
    """What a file, or a part of an archive, holds when unpacked, and where that lies now.

    `stored` is the name that a gzip file keeps of what it was made of.
    """

    name: str
    path: Path
    stored: str = ""


def spellings(number: str) -> tuple[str, str]:
    """Return grep's patterns (-P) for a number as text and as UTF-16, and for nobody else's."""
    return (
        f"(?<![0-9]){_SEPARATORS.join(number)}(?![0-9])",
        r"(?<![0-9]\x00)" + r"\x00".join(number) + r"(?!\x00?[0-9])",
    )


def found(folder: Path, number: str) -> list[str]:
    """Return every file, part of an archive, and name in which a number stands plainly."""
    text, _ = spellings(number)
    holding: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        for content in unpacked(folder, Path(place)):
            if any(_grep(pattern, content.path) for pattern in spellings(number)):
                holding.append(content.name)
            holding += [f"the name {one}" for one in (content.name, content.stored) if one]
    holding += [f"the name {name}" for name in _names(folder)]
    named = re.compile(text)
    return sorted({one for one in holding if not one.startswith("the name ") or named.search(one)})


def count_lines(folder: Path, number: str) -> dict[str, int]:
    """Return how many lines of each file, or part of an archive, hold a number as text."""
    with tempfile.TemporaryDirectory() as place:
        contents = unpacked(folder, Path(place))
        counted = {one.name: _grep(spellings(number)[0], one.path) for one in contents}
    return {name: lines for name, lines in counted.items() if lines}


def lines_of(folder: Path) -> dict[str, list[bytes]]:
    """Return all lines of all files, and of all parts of archives, by name."""
    with tempfile.TemporaryDirectory() as place:
        contents = unpacked(folder, Path(place))
        return {
            one.name: one.path.read_bytes().splitlines(keepends=True)
            for one in contents
            if one.path != _NOTHING
        }


def unpacked(folder: Path, place: Path) -> Iterator[Content]:
    """Yield every regular file under a folder by its name in it, unpacked where it is packed."""
    for serial, path in enumerate(_files(folder)):
        name = path.relative_to(folder).as_posix()
        yield from _unpacked(Content(name, path), _room(place, serial))


def _unpacked(content: Content, room: Path, depth: int = 0) -> Iterator[Content]:
    """Yield what a file holds: itself, what it unpacks to, or what each part of it does."""
    command = _tool(content.path)
    if not command:
        yield content
    elif command[0] in {"unzip", "tar"}:
        if content.stored:
            yield replace(content, path=_NOTHING)
        parts = _room(room, "parts")
        _run(*command, str(content.path), folder=parts)
        for serial, path in enumerate(_files(parts)):
            name = f"{content.name}{PART}{path.relative_to(parts).as_posix()}"
            yield from _unpacked(Content(name, path), _room(room, serial))
    else:
        stored = _stored(content.path) if command[0] == "gzip" else ""
        plain = room / f"plain {depth}"
        _run(*command, str(content.path), into=plain)
        stored = stored or content.stored
        yield from _unpacked(replace(content, path=plain, stored=stored), room, depth + 1)


def _tool(path: Path) -> tuple[str, ...]:
    """Return the command that unpacks a file, if any does."""
    with path.open("rb") as stream:
        head = stream.read(_TAR[1] + len(_TAR[0]))
    if head.endswith(_TAR[0]) and len(head) > _TAR[1]:
        return ("tar", "-xf")
    return next((command for magic, command in _TOOLS if head.startswith(magic)), ())


def _room(place: Path, name: int | str) -> Path:
    room = place / str(name)
    room.mkdir()
    return room


def _files(folder: Path) -> list[Path]:
    named = _run("find", str(folder), "-type", "f", "-print0").split(b"\0")
    return sorted(Path(os.fsdecode(name)) for name in named if name)


def _names(folder: Path) -> list[str]:
    """Return every name under a folder, and where symbolic links point."""
    listed = _run("find", str(folder), "-mindepth", "1", "-printf", r"%P\0%l\0").split(b"\0")
    return [os.fsdecode(name) for name in listed if name]


def _stored(path: Path) -> str:
    """Return the name that a gzip file keeps, if it is not that of the file itself."""
    listed = os.fsdecode(_run("gzip", "-lN", str(path))).splitlines()[-1]
    name = listed.split("%", 1)[-1].strip().removeprefix(f"{path.parent}/")
    return "" if path.name.startswith(name) else name


def _grep(pattern: str, path: Path) -> int:
    command = ("grep", "-caP", pattern, str(path))
    done = subprocess.run(command, capture_output=True, check=False, env=_PLAIN_LOCALE)
    if done.returncode > 1:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return int(done.stdout)


def _run(*command: str, into: Path | None = None, folder: Path | None = None) -> bytes:
    with (into or _NOTHING).open("wb") as stream:
        done = subprocess.run(
            command,
            stdout=stream if into else subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env=_PLAIN_LOCALE,
            check=False,
        )
    # gzip warns of garbage behind an archive and ends with 2: the proof ends too.
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout or b""
