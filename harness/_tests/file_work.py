"""A sweep or a scrub of files in a process of its own, for the benchmark.

`python -m harness._tests.file_work sweep FOLDER` prints how long the work took and what it saw.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from harness.identity import Closure, WaId
from harness.masks import Masks
from harness.population.people import mapped_person
from harness.surfaces import FileSearch, FileSet, scrub_files, sweep_files

_SUBJECT: Final = mapped_person(4711)
NUMBER: Final = _SUBJECT.jid_number


def work(piece: str, folder: Path) -> dict[str, Any]:
    """Sweep a folder, or scrub what a sweep saw in it, and tell what the last of them took."""
    closure = Closure(WaId(NUMBER), frozenset({_SUBJECT.number}))
    file_set = FileSet.of(log_dirs=[folder], media_dirs=[])
    started_s = time.perf_counter()
    sighting = sweep_files(file_set, FileSearch(closure, masks=None))
    said = {
        "work_s": time.perf_counter() - started_s,
        "files": sighting.files,
        "hits": sum(trace.hits for trace in sighting.traces),
        "gaps": len(sighting.gaps),
        "content_bytes": sighting.content_bytes,
    }
    if piece == "scrub":
        search = FileSearch(closure, masks=Masks(closure))
        started_s = time.perf_counter()
        done = scrub_files(file_set, search, sighting)
        said["work_s"] = time.perf_counter() - started_s
        said |= {"masked": done.identifiers, "rewritten": done.files, "left": len(done.left)}
    return said


def main() -> None:
    """Do one piece and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("piece", choices=("sweep", "scrub"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    json.dump(work(arguments.piece, arguments.folder), sys.stdout)


if __name__ == "__main__":
    main()
