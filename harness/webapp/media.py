"""Media that was not used for over so many days: files that really go, and the rows' words of them.

Choices of this stand-in's, where the reference says no more than "unused for over 30 days": a
file was last used when the youngest row that leads to it was written, or, where no row does, when
the file itself was. A row leads to a file by the last component of `media_url`, or by
`media_name`. The rows stay, as messages are another collection's; what led to the file is NULL
afterwards. `items_deleted` counts files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from harness.stores import StoreSet
from harness.webapp.garbage import name, oldest_ms
from harness.webapp.messages import STORE

_LED: Final = "SELECT m._id, m.media_url, m.media_name, m.{stamp} FROM messages m"
_LEADING: Final = " WHERE m.media_url IS NOT NULL OR m.media_name IS NOT NULL"


def collect(
    store_set: StoreSet, folder: Path | None, as_of: datetime, unused_days: float
) -> tuple[str, ...]:
    """Remove unused media; return the files' paths below the folder.

    Raises:
        StoreError: The server refused; what is removed stays removed.
        OSError: A file cannot be removed.
    """
    before_ms = oldest_ms(as_of, unused_days)
    used_ms: defaultdict[str, int] = defaultdict(int)
    leading: defaultdict[str, list[int]] = defaultdict(list)
    sql = _LED.format(stamp=name(store_set.config.engine, "timestamp")) + _LEADING
    for key, url, label, at_ms in store_set.query(STORE, sql):
        for file in _names(url, label):
            used_ms[file] = max(used_ms[file], at_ms or 0)
            leading[file].append(int(key))
    removed = []
    for path in sorted(_files(folder)):
        at_ms = used_ms.get(path.name, round(path.stat().st_mtime * 1000))
        if at_ms < before_ms:
            path.unlink()
            removed.append(path)
    keys = {key for path in removed for key in leading[path.name]}
    if keys:
        store_set.execute(
            STORE,
            "UPDATE messages SET media_url = NULL, media_name = NULL, media_hash = NULL"
            " WHERE _id IN %s",
            (tuple(sorted(keys)),),
        )
    return tuple(path.relative_to(folder).as_posix() for path in removed if folder)


def _names(url: object, label: object) -> Iterator[str]:
    for text in (url, label):
        if text and (last := str(text).rsplit("/", 1)[-1]):
            yield last


def _files(folder: Path | None) -> Iterator[Path]:
    if folder:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
