"""A media volume is looked at before anything is deleted, and never left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import SurfaceError
from harness.model import MediaReference, MediaReferences
from harness.surfaces.volume import Entry, Volume, look, opened, require_removable, walk

NOBODY = 65534
NAME = "0b1c2d3e-0000-4000-8000-00000000000a"
BY_NAME = MediaReferences(frozenset({MediaReference(frozenset({NAME}))}))
BY_CONTENT = MediaReferences(frozenset({MediaReference(digests=frozenset({b"d" * 32}))}))


@pytest.fixture
def volume() -> Iterator[Volume]:
    """A volume with one file, in a folder that any user of the machine can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shared = folder / "wamedia" / "shared"
    shared.mkdir(parents=True)
    (shared / NAME).write_bytes(b"picture")
    for one in (folder / "wamedia", shared, shared / NAME):
        os.chown(one, *((NOBODY, NOBODY) if os.geteuid() == 0 else (-1, -1)))
    yield Volume("media", folder / "wamedia")
    for place, _, _ in os.walk(folder):
        Path(place).chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Give up root's right to pass over modes, if we have it."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def listed(volume: Volume) -> list[str]:
    """Return the paths of all files."""
    return sorted(entry.path for entry, _ in walk(volume))


@pytest.mark.parametrize("references", [BY_NAME, BY_CONTENT, MediaReferences()], ids=str)
def test_a_volume_that_can_be_written_to_passes(
    volume: Volume, references: MediaReferences
) -> None:
    """A good volume passes every look, as root and as its owner, and is left as it was."""
    for user in (as_ordinary_user(), contextmanager(lambda: iter([None]))()):
        with user:
            look([volume])
            require_removable([volume], references)
    assert listed(volume) == [f"shared/{NAME}"]


@pytest.mark.parametrize("writable", [True, False])
def test_a_missing_volume_is_known(volume: Volume, writable: bool) -> None:  # noqa: FBT001  # a parameter
    """A volume that is not there is named, for a search that changes nothing too."""
    with pytest.raises(SurfaceError, match="volume media is not there: mount it"):
        look([volume, Volume("media", volume.folder / "absent")], writable=writable)


def test_a_file_is_no_volume(volume: Volume) -> None:
    """A file in a folder's place is named."""
    with pytest.raises(SurfaceError, match="not a folder"):
        look([Volume("media", volume.folder / "shared" / NAME)])


def test_a_volume_by_way_of_a_link_is_looked_at(volume: Volume) -> None:
    """The volume itself may be given as a symbolic link."""
    link = volume.folder.parent / "link"
    link.symlink_to(volume.folder)
    look([Volume("media", link)])
    require_removable([Volume("media", link)], BY_NAME)
    assert listed(Volume("media", link)) == [f"shared/{NAME}"]


def test_an_empty_volume_is_known_where_rows_lead_to_media(volume: Volume) -> None:
    """A mount point without its mount is empty: that is said if rows lead to media, and only then."""
    (volume.folder / "shared" / NAME).unlink()
    require_removable([volume], MediaReferences())
    with pytest.raises(SurfaceError, match="is empty although rows lead to media"):
        require_removable([volume], BY_NAME)


READ_ONLY = """
import subprocess, sys
from pathlib import Path
from harness._tests.test_volume import BY_NAME
from harness.errors import SurfaceError
from harness.surfaces.volume import Volume, look, require_removable
folder, place = sys.argv[1:3]
volume = Volume("media", Path(folder))
for command in (["--bind", place, place], ["-o", "remount,ro,bind", place])[:int(sys.argv[3])]:
    subprocess.run(["mount", *command], check=True)
for asked in (look, lambda volumes: look(volumes, writable=False),
              lambda volumes: require_removable(volumes, BY_NAME)):
    try:
        asked([volume])
        print("passes")
    except SurfaceError as error:
        print(error)
"""


def mounted(volume: Volume, place: Path, steps: int) -> list[str]:
    """Look at a volume in a place of which is mounted so, and return what each look says."""
    for one in (volume.folder, volume.folder / "shared", volume.folder / "shared" / NAME):
        os.chown(one, os.geteuid(), os.getegid())
    asked = [sys.executable, "-c", READ_ONLY, str(volume.folder), str(place), str(steps)]
    done = subprocess.run(["unshare", "-rm", *asked], stdout=subprocess.PIPE, text=True, check=True)
    return str(done.stdout).splitlines()


def test_a_read_only_volume_is_known(volume: Volume) -> None:
    """A file system that is mounted read-only is named, even to root; mounted otherwise it passes."""
    said = mounted(volume, volume.folder, steps=2)
    assert ["is read-only: mount it" in one for one in said] == [True, False, True]
    assert said[1] == "passes"
    assert mounted(volume, volume.folder, steps=1) == ["passes"] * 3


def test_a_read_only_folder_in_a_volume_is_known(volume: Volume) -> None:
    """Where only a folder inside is read-only, it is named as soon as a file in it is meant."""
    said = mounted(volume, volume.folder / "shared", steps=2)
    assert said[:2] == ["passes", "passes"]
    assert "is read-only: mount it" in said[2]


@pytest.mark.parametrize("references", [BY_NAME, BY_CONTENT], ids=["name", "content"])
def test_a_folder_without_permission_is_known(volume: Volume, references: MediaReferences) -> None:
    """A folder that the user may not write to is named, and only if a file in it may be meant."""
    (volume.folder / "shared").chmod(0o555)
    with as_ordinary_user():
        look([volume])
        with pytest.raises(SurfaceError, match="may not be read or removed"):
            require_removable([volume], references)
        elsewhere = MediaReference(frozenset({"other.jpg"}))
        require_removable([volume], MediaReferences(frozenset({elsewhere})))


def test_a_folder_that_may_not_be_read_is_known(volume: Volume) -> None:
    """What cannot be walked through in full is named."""
    (volume.folder / "shared").chmod(0o333)
    with as_ordinary_user(), pytest.raises(SurfaceError, match="cannot be read"):
        require_removable([volume], BY_NAME)
    volume.folder.chmod(0o333)
    with as_ordinary_user(), pytest.raises(SurfaceError, match="may not be read"):
        look([volume])


@pytest.mark.parametrize(
    ("folder", "file", "may"),
    [
        ((0o41777, 1), 2, False),
        ((0o40777, 1), 2, True),
        ((0o41777, 1), NOBODY, True),
        ((0o41777, NOBODY), 2, True),
    ],
    ids=["sticky", "not sticky", "own file", "own folder"],
)
def test_a_sticky_folder_lets_owners_only(
    volume: Volume,
    monkeypatch: pytest.MonkeyPatch,
    folder: tuple[int, int],
    file: int,
    may: bool,  # noqa: FBT001
) -> None:
    """In a sticky folder a file that is somebody else's is named before, and nothing else is."""
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    mode, owner = folder
    real_fstat, real_lstat = os.fstat, os.lstat

    def status(of: os.stat_result, mode: int, owner: int) -> os.stat_result:
        return os.stat_result((mode, *of[1:4], owner, *of[5:10]))

    def fstat(descriptor: int) -> os.stat_result:
        of = real_fstat(descriptor)
        return status(of, mode, owner)

    def lstat(path: str, *, dir_fd: int | None = None) -> os.stat_result:
        of = real_lstat(path, dir_fd=dir_fd)
        return status(of, of.st_mode, file)

    entry = next(entry for entry, _ in walk(volume))
    monkeypatch.setattr("harness.surfaces.volume.os.fstat", fstat)
    monkeypatch.setattr("harness.surfaces.volume.os.lstat", lstat)
    assert entry.name == NAME
    if may:
        require_removable([volume], BY_NAME)
    else:
        with pytest.raises(SurfaceError, match="sticky bit"):
            require_removable([volume], BY_NAME)


def test_no_link_leads_out_of_a_volume(volume: Volume, tmp_path: Path) -> None:
    """Links are listed as what they are, and neither walked into nor opened."""
    (tmp_path / "secret.txt").write_text("somebody else's")
    (volume.folder / "out").symlink_to(tmp_path)
    (volume.folder / "file").symlink_to(tmp_path / "secret.txt")
    found = {entry.path: entry.is_regular for entry, _ in walk(volume)}
    assert found == {"out": False, "file": False, f"shared/{NAME}": True}
    for folder in ("out", "shared/../out", "../" + tmp_path.name):
        with (
            pytest.raises(OSError, match=r"Not a directory|symbolic|No such"),
            opened(volume, folder),
        ):
            pass
    with opened(volume, "shared") as descriptor:
        assert os.fstat(descriptor).st_ino == (volume.folder / "shared").stat().st_ino


def test_a_name_that_cannot_be_shown_is_shown_otherwise(volume: Volume) -> None:
    """A name of bytes that are no text, or that move the cursor, is printable in evidence."""
    for name in (b"\xff\xfe", b"a\x1b[2J"):
        (volume.folder / os.fsdecode(name)).write_bytes(b"x")
    surfaces = [entry.surface for entry, _ in walk(volume)]
    assert all(one.isprintable() and one.startswith("media/") for one in surfaces)
    assert all(one.encode() for one in surfaces)
    assert f"media/shared/{NAME}" in surfaces


def test_an_entry_is_known_by_volume_and_path(volume: Volume) -> None:
    """Two volumes with a file of the same path have two files."""
    (first,) = (entry for entry, _ in walk(volume))
    other = Entry(Volume("media", volume.folder.parent), first.folder, first.name, first.status)
    assert first.path == other.path
    assert first.place != other.place
