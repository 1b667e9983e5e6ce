"""The files beside a disposable store set: logs, archives, bundles and a media volume."""

from __future__ import annotations

from pathlib import Path

from harness.model import FileTrace
from harness.population.estate import make_estate
from harness.population.rows import media_of
from harness.population.world import World
from harness.run import Estate
from harness.surfaces import FileSet


def made_estate(folder: Path, world: World) -> Estate:
    """Fill a folder with the files of a world, and return what is planted in them."""
    logs, media = folder / "logs", folder / "wamedia"
    made = make_estate(logs, world.subject.number)
    alone = 0
    for event, path, content in media_of(world):
        file = media / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        alone += event.peer == world.subject
    files = FileSet.of([logs], [media])
    label = files.roots[0].label
    planted = tuple(
        FileTrace(f"{label}/{one.file}", one.identifiers, one.forms)
        for one in made.planted
        if one.identifiers
    )
    return Estate(files, planted, alone, lambda: None)
