"""What controls of files have in common: a folder, who is searched for in it, and what is seen."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from harness._tests.mutants.controls import Control, named
from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.population.people import person
from harness.surfaces import FileScrub, FileSearch, FileSet, FileSighting, scrub_files, sweep_files
from harness.surfaces.fileset import Place

NUMBER: Final = person(7).number
BYTES: Final = NUMBER.encode()
CLOSURE: Final = Closure(WaId(NUMBER))
SEEING: Final = FileSearch(CLOSURE)
LINE: Final = b"2026-01-01T00:00:00Z INFO Retrieved contact=%b in 17 ms, as it was asked for\n"
NOBODYS: Final = b"2026-01-01T00:00:00Z INFO 200 OK, and nothing else to be told of it at all\n"
TEXT: Final = 40 * NOBODYS + LINE % BYTES + 40 * NOBODYS


def masking() -> FileSearch:
    """Return a search with masks."""
    return FileSearch(CLOSURE, Masks(CLOSURE))


def masked(search: FileSearch, data: bytes) -> bytes:
    """Return data with the number as the search masks it."""
    assert search.masks
    (mask,) = search.masks._masks.values()
    return data.replace(BYTES, mask.digits.encode())


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Claim that whatever is opened meanwhile is closed."""
    before = sorted(Path("/proc/self/fd").iterdir())
    yield
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def in_folder(claim: Callable[[Path], object]) -> None:
    """Check a claim in an empty folder, and that it leaves no descriptor open."""
    with tempfile.TemporaryDirectory() as folder, no_descriptor_left():
        claim(Path(folder).resolve())


def file_control(claim: Callable[[Path], object], label: str = "") -> Control:
    """Return the control of a claim about files in a folder."""
    return Control(f"files: {label or named(claim)}", partial(in_folder, claim))


def files(folder: Path, media: Path | None = None) -> FileSet:
    """Return the file set of a folder."""
    return FileSet.of([folder], [media] if media else [])


def place(name: str) -> Place:
    """Return where a file is."""
    return Place(0, tuple(name.split("/")))


def swept(folder: Path, search: FileSearch = SEEING) -> FileSighting:
    """Return what is seen in a folder."""
    return sweep_files(files(folder), search)


def hits(folder: Path) -> dict[str, int]:
    """Return how often the number is found, by file in the folder."""
    label = f"{folder.name}/"
    return {one.file.removeprefix(label): one.hits for one in swept(folder).traces}


def scrubbed(folder: Path, search: FileSearch, *, withheld: bool = False) -> FileScrub:
    """Scrub a folder, and return what was done."""
    return scrub_files(files(folder), search, swept(folder), withheld=withheld)
