"""Independent of our search: the system's own tools unpack every file, and grep looks into it.

gzip, zstd, xz, bzip2, tar and unzip, into archives inside archives too; `find` lists names.
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
_UNPACKED: Final = (
    (".tgz", ".tar", ("gzip", "-dcf")),
    (".gz", "", ("gzip", "-dcf")),
    (".zst", "", ("zstd", "-dcq")),
    (".xz", "", ("xz", "-dc")),
    (".bz2", "", ("bzip2", "-dc")),
)
_ARCHIVED: Final = ((".tar", ("tar", "-xf")), (".zip", ("unzip", "-qq")))
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


def _unpacked(content: Content, room: Path) -> Iterator[Content]:
    """Yield what a file holds: itself, what it unpacks to, or what each part of it does."""
    inner = content.path.name
    for suffix, rest, command in _UNPACKED:
        if inner.endswith(suffix):
            stored = _stored(content.path) if command[0] == "gzip" else ""
            inner = inner.removesuffix(suffix) + rest
            _run(*command, str(content.path), into=room / "plain")
            content = replace(content, path=room / "plain", stored=stored)
            break
    extract = next((tool for suffix, tool in _ARCHIVED if inner.endswith(suffix)), None)
    if not extract:
        yield content
        return
    if content.stored:
        yield replace(content, path=_NOTHING)
    parts = _room(room, "parts")
    _run(*extract, str(content.path), folder=parts)
    for serial, path in enumerate(_files(parts)):
        name = f"{content.name}{PART}{path.relative_to(parts).as_posix()}"
        yield from _unpacked(Content(name, path), _room(room, serial))


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
    # gzip calls zeros behind an archive garbage and goes on with 2: that too ends the proof.
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout or b""
