"""The files beside a disposable store set: logs, archives, bundles and a media volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.maintenance import logrotate, policy
from harness.maintenance.policy import Role
from harness.model import FileTrace
from harness.population.estate import make_estate
from harness.population.rows import media_of
from harness.population.world import World
from harness.run import Estate
from harness.surfaces import FileSet


def made_estate(folder: Path, world: World) -> Estate:
    """Fill a folder with the files of a world, and return what is planted in them."""
    logs, media = folder / "var", folder / "wamedia"
    made = make_estate(logs, world.subject.number)
    files = FileSet.of([logs], [media])
    label = files.roots[0].label
    planted = tuple(
        FileTrace(f"{label}/{one.file}", one.identifiers, one.forms)
        for one in made.planted
        if one.identifiers
    )
    return Estate(files, planted, _media(media, world), _rotation(folder))


def _media(folder: Path, world: World) -> int:
    """Write the files to which the world's messages lead; return how many are the subject's."""
    alone = 0
    for event, path, content in media_of(world):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        alone += event.peer == world.subject
    return alone


def _rotation(root: Path) -> Callable[[], None]:
    """Return what rotates the Webapp's logs below a folder, of whatever size they are."""
    conf, state = root / "logrotate.conf", root / "logrotate.state"

    def rotate() -> None:
        every = replace(policy.load().rotation(Role.WEBAPP).below(root), larger_than_bytes=0)
        logrotate.write(conf, logrotate.render(every))
        logrotate.rotate(conf, state)

    return rotate
