"""`pytest --live` with logs and media: what is scrubbed, removed, refused, interrupted and taken up again."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.manifest import Manifest
from harness.model import EngineKind
from harness.population.people import person
from harness.population.rows import media_of
from harness.stores import connect, ddl

from . import grep_proof
from .file_faults import cut
from .file_makers import as_tar, as_zip, log
from .live_bed import SUBJECT, WORLD, Bed, Desk, Done
from .test_live_commands import DIM, named, next_command, on_mysql

PREFIX = "Files_"
STRANGER = person(303)
POWERLESS = """
from harness._tests import powerless
if powerless._has_capabilities():
    powerless._drop()
"""
BYSTANDER = next(one for one in WORLD.people if one != SUBJECT)
SUBJECTS = frozenset(path for event, path, _ in media_of(WORLD) if event.peer == SUBJECT)
OTHERS = frozenset(path for event, path, _ in media_of(WORLD) if event.peer != SUBJECT)


@dataclass
class Estate:
    """A store set with log folders and a media volume beside it."""

    bed: Bed
    folder: Path

    def __post_init__(self) -> None:
        """Fill the folders: logs that name the subject, and everybody's media."""
        self.logs, self.media = self.folder / "var-log", self.folder / "wamedia"
        texts = {name: log(SUBJECT.number, seed=n) for n, name in enumerate("abcd")}
        files = {
            "web.log": texts["a"],
            "old/web.log.1.gz": gzip.compress(texts["b"]),
            "old/web.log.2.gz": gzip.compress(log(seed=9)),
            "bundle.zip": as_zip({"core.log": texts["c"], "web.log": log(seed=8)}),
            "bundle.tar.gz": gzip.compress(as_tar({"core.log": texts["d"]})),
        }
        for name, content in files.items():
            self.write(self.logs / name, content)
        for _, path, content in media_of(WORLD):
            self.write(self.media / path, content)

    @staticmethod
    def write(path: Path, content: bytes) -> None:
        """Write a file, and the folders that it is in."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    @property
    def folders(self) -> tuple[str, str]:
        """The options that name the folders."""
        return f"--log-dir={self.logs}", f"--media-dir={self.media}"

    def run(self, *arguments: str, plugin: str = "", **how: Any) -> Done:
        """Run `pytest --live` with both folders, and with something of the harness's replaced."""
        if plugin:
            self.bed.desk.file("replacing.py", plugin)
            arguments = ("-p", "replacing", *arguments)
        return self.bed.run(*self.folders, *arguments, **how)

    def resume(self, done: Done, *arguments: str, plugin: str = "") -> Done:
        """Take a session up again, naming no folder, and see that nobody is named in it."""
        if plugin:
            self.bed.desk.file("replacing.py", plugin)
            arguments = ("-p", "replacing", *arguments)
        given = (f"--resume={done.session}", f"--reports={done.reports}", *arguments)
        resumed = replace(self.bed.run(*given, people=()), reports=done.reports)
        assert not self.bed.desk.leaks(resumed)
        return resumed

    def contents(self) -> dict[str, tuple[int, bytes]]:
        """Return every file with its inode and bytes."""
        return {
            str(path): (path.stat().st_ino, path.read_bytes())
            for path in (*self.logs.rglob("*"), *self.media.rglob("*"))
            if path.is_file()
        }

    def lines(self) -> dict[str, list[bytes]]:
        """Return all lines of all logs, unpacked by the system's tools."""
        return grep_proof.lines_of(self.logs)

    def pictures(self) -> set[str]:
        """Return which media there are."""
        return {
            path.relative_to(self.media).as_posix()
            for path in self.media.rglob("*")
            if path.is_file()
        }

    def erased(self, before: Mapping[str, list[bytes]]) -> None:
        """See that rows, logs and media are as an erasure leaves them."""
        assert named(self.bed.dump()) == 0
        assert grep_proof.found(self.logs, SUBJECT.number) == []
        after = self.lines()
        assert after.keys() == before.keys()
        pairs = ((old, new) for n in before for old, new in zip(before[n], after[n], strict=True))
        differing = [(old, new) for old, new in pairs if old != new]
        assert all(SUBJECT.number.encode() in old for old, _ in differing)
        assert all(len(old) == len(new) for old, new in differing)
        assert len(differing) == 4
        assert self.pictures() == OTHERS
        assert [one for one in self.logs.rglob(".*") if one.name.startswith(".scrub")] == []


@pytest.fixture(scope="module")
def made(
    reached: Mapping[EngineKind, RunConfig],
    kind: EngineKind,
    described: Manifest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bed]:
    """A store set of these tests' own."""
    config = replace(reached[kind], prefix=PREFIX)
    store_set = connect(config, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, kind))
    yield Bed(config, store_set, Desk(tmp_path_factory.mktemp("desk")))
    store_set.drop()
    store_set.close()


@pytest.fixture
def estate(made: Bed, tmp_path: Path) -> Estate:
    """The store set with the showcase in it, and logs and media beside it."""
    desk = tmp_path / "desk"
    desk.mkdir()
    made.desk = Desk(desk)
    made.seed()
    return Estate(made, tmp_path)


def first_line(done: Done) -> str:
    """Return the first line below the last rule."""
    lines = done.shown.splitlines()
    rules = [n for n, line in enumerate(lines) if line and set(line) == {"─"}]
    return lines[rules[-1] + 1]


# --- what is done ---------------------------------------------------------------------------


def test_rows_logs_and_media_go_and_an_audit_sees_it(estate: Estate) -> None:
    """An audit is TRACE before and CLEAR after; between them rows are committed, logs masked, media removed."""
    before = estate.lines()
    audit = estate.run("--audit")
    assert first_line(audit) == "TRACE (+files); no row was changed; exit 1"
    assert "var-log/bundle.zip" in audit.said
    done = estate.run()
    assert first_line(done) == "CLEAR (+files); rows were COMMITTED and files scrubbed; exit 0"
    estate.erased(before)
    files = done.verdict["files"]
    assert (files["state"], files["identifiers_masked"]) == ("scrubbed", 4)
    assert (files["media_removed"], files["media_shared"]) == (len(SUBJECTS), 0)
    after = estate.run("--audit")
    assert first_line(after) == "CLEAR (+files); no row was changed; exit 0"
    assert after.verdict["files"]["state"] == "untouched"


def test_whoever_is_nowhere_changes_no_file(estate: Estate) -> None:
    """Neither an audit nor an erasure of a stranger finds anything, or changes a byte."""
    before = estate.contents()
    for given in (("--audit",), ()):
        done = estate.run(*given, people=(STRANGER,))
        assert first_line(done) == "CLEAR (+files); no row was changed; exit 0", done.shown
    assert done.verdict["held"] is False
    assert estate.contents() == before


def test_a_rehearsal_says_what_would_be_done_and_does_none_of_it(estate: Estate) -> None:
    """A rehearsal changes no byte of any file, says how much would be masked and removed, and its plan holds."""
    before, lines, rows = estate.contents(), estate.lines(), estate.bed.dump()
    done = estate.run("--rehearse")
    assert first_line(done) == "CLEAR (+files); no row was changed; exit 0", done.shown
    assert "4 identifiers would be masked" in done.said
    assert f"{len(SUBJECTS)} media would be removed" in done.said
    assert (estate.contents(), estate.bed.dump()) == (before, rows)
    assert f"--log-dir={estate.logs}" in next_command(done)
    erased = estate.run(f"--plan={done.plan}")
    assert erased.status == 0, erased.shown
    estate.erased(lines)


def test_shared_media_stay_and_are_expected(estate: Estate) -> None:
    """A media file to which a row of somebody else leads too stays, and is shown among what was expected."""
    shared = min(SUBJECTS)
    estate.bed.sql(
        "INSERT INTO messages (key_remote_jid, key_id, media_url) VALUES "
        f"('{BYSTANDER.jid}', 'shared', '/v1/media/{Path(shared).name}')"
    )
    done = estate.run()
    assert done.status == 0, done.shown
    assert estate.pictures() == OTHERS | {shared}
    assert [one["surface"] for one in done.verdict["expected"]] == [f"wamedia/{shared}"]
    assert "1 media stay" in done.said


def test_traces_that_are_only_reported_stay(estate: Estate) -> None:
    """With --log-treatment=report rows are committed and media removed, no log is changed, and it is TRACE."""
    before = estate.contents()
    done = estate.run("--log-treatment=report")
    assert first_line(done).startswith("TRACE (+files); rows were COMMITTED"), done.shown
    assert done.status == 1
    assert named(estate.bed.dump()) == 0
    after = estate.contents()
    logs = {path: file for path, file in before.items() if path.startswith(str(estate.logs))}
    assert {path: file for path, file in after.items() if path in logs} == logs
    assert {one["surface"] for one in done.verdict["findings"]} == {
        "var-log/web.log",
        "var-log/old/web.log.1.gz",
        "var-log/bundle.zip > core.log",
        "var-log/bundle.tar.gz > core.log",
    }


def test_a_corrupt_archive_is_unknown_by_name(estate: Estate) -> None:
    """An archive that breaks off leaves the verdict UNKNOWN, with its name; all else is erased."""
    broken = estate.logs / "old" / "web.log.3.gz"
    estate.write(broken, cut(gzip.compress(log(SUBJECT.number, 4 << 20))))
    before = broken.read_bytes()
    done = estate.run()
    assert first_line(done).startswith("UNKNOWN (+files); rows were COMMITTED"), done.shown
    assert done.status == 10
    surfaces = {one["surface"] for one in done.verdict["findings"]}
    assert {one.partition(" > ")[0] for one in surfaces} == {"var-log/old/web.log.3.gz"}
    assert named(estate.bed.dump()) == 0
    assert broken.read_bytes() == before
    assert estate.pictures() == OTHERS


def test_a_number_in_a_files_name_is_masked_and_shown_nowhere(estate: Estate) -> None:
    """Files whose names hold the subject's number, or another's, are named nowhere by it; the subject's are renamed."""
    estate.write(estate.logs / f"chat-{SUBJECT.number}.txt", b"hello\n")
    estate.write(estate.logs / SUBJECT.number / "web.log", log(SUBJECT.number))
    estate.write(estate.logs / f"chat-{BYSTANDER.number}.gz", cut(gzip.compress(log())))
    audit = estate.run("--audit")
    assert audit.status == 10, audit.shown
    for given in (("--rehearse",), ()):
        done = estate.run(*given)
        assert done.status == 10, done.shown
        assert "breaks off" in done.said
    left = [path.name for path in estate.logs.rglob("*") if SUBJECT.number in str(path)]
    assert left == []
    assert (estate.logs / f"chat-{BYSTANDER.number}.gz").exists()
    assert re.search(rb"contact=[^0-9]*000", (estate.logs / "web.log").read_bytes())


# --- folders that are not as they should be -------------------------------------------------


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _shut(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o500 if path.is_dir() else 0o400)


@pytest.mark.parametrize(
    ("folder", "spoil", "says"),
    [
        ("wamedia", _gone, "wamedia is not there"),
        ("wamedia", _empty, "wamedia is empty although rows lead to media"),
        ("wamedia", _shut, "may not be read or removed"),
        ("var-log", _gone, "var-log is not there"),
        ("var-log", _shut, "may not be changed by this user"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("given", [(), ("--rehearse",)], ids=["live", "rehearse"])
def test_a_folder_that_cannot_be_worked_in_keeps_every_row(
    estate: Estate, folder: str, spoil: object, says: str, given: tuple[str, ...]
) -> None:
    """Where a folder is missing, empty though rows lead there, or read-only, exit is 10 and nothing is changed."""
    assert callable(spoil)
    spoil(estate.folder / folder)
    before, rows = estate.contents(), estate.bed.dump()
    done = estate.run(*given, plugin=POWERLESS)
    assert done.status == 10, done.shown
    assert says in done.said
    assert first_line(done).startswith("UNKNOWN (+files); no row was changed")
    assert (estate.contents(), estate.bed.dump()) == (before, rows)


@on_mysql
def test_what_may_be_changed_without_privileges_is(estate: Estate) -> None:
    """Without the privileges of root, folders that are not shut are scrubbed all the same."""
    before = estate.lines()
    done = estate.run(plugin=POWERLESS)
    assert done.status == 0, done.shown
    estate.erased(before)


def test_an_erasure_that_is_rolled_back_touches_no_file(estate: Estate) -> None:
    """When a column that is not seen has rolled the erasure back, every file is as it was."""
    before, rows = estate.contents(), estate.bed.dump()
    done = estate.run(plugin=DIM)
    assert done.status == 10, done.shown
    assert "no row was changed" in first_line(done)
    assert (estate.contents(), estate.bed.dump()) == (before, rows)


# --- refusals -------------------------------------------------------------------------------


@on_mysql
@pytest.mark.parametrize("option", ["--log-dir=/tmp", "--media-dir=/tmp", "--log-treatment=mask"])
def test_options_for_files_need_live(estate: Estate, option: str) -> None:
    """Without --live an option for files is refused, exit 4."""
    done = estate.bed.desk.pytest(option)
    assert done.returncode == 4
    assert "Without --live" in " ".join((done.stdout + done.stderr).split())


@on_mysql
def test_a_treatment_that_is_none_is_refused(estate: Estate) -> None:
    """A --log-treatment other than mask or report is refused, exit 4, and nothing is changed."""
    before = estate.contents()
    done = estate.run("--log-treatment=shred")
    assert (done.status, "takes mask or report" in done.said) == (4, True)
    assert estate.contents() == before


@on_mysql
@pytest.mark.parametrize("option", ["log-dir", "media-dir"])
def test_a_folder_that_names_the_subject_is_refused(estate: Estate, option: str) -> None:
    """A folder whose path holds the subject's number is refused, exit 4, and not shown; another's is not."""
    for number, status in ((SUBJECT.number, 4), (STRANGER.number, 0)):
        folder = estate.folder / f"of-{number}"
        estate.write(folder / "web.log", b"nobody\n")
        done = estate.bed.run("--rehearse", f"--{option}={folder}")
        if status:
            assert (done.status, "names a subject" in done.said) == (4, True)
        else:
            assert "names a subject" not in done.said


# --- interrupted, and taken up again --------------------------------------------------------

BEFORE_THE_MEDIA = """
import os, signal
from harness.file_erasure import FileErasure
FileErasure.remove_media = lambda *given, **how: os.kill(os.getpid(), signal.{signal})
"""
BEFORE_THE_SCRUB = """
import os, signal
from harness.file_erasure import FileErasure
FileErasure.erase = lambda *given, **how: os.kill(os.getpid(), signal.{signal})
"""
AMID_THE_SCRUB = """
import os, signal
from harness.surfaces import scrub
mask, seen = scrub._mask, []
def masking(shared, place):
    if shared[0].roots[0].label == "var-log":  # not the proof's own
        seen.append(place)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.{signal})
    return mask(shared, place)
scrub._mask = masking
"""
MOMENTS = {
    "before the media": BEFORE_THE_MEDIA,
    "before the scrub": BEFORE_THE_SCRUB,
    "amid the scrub": AMID_THE_SCRUB,
}
INNOCENT = "# nothing is replaced\n"


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_after_the_commit_is_finished_by_a_resume(estate: Estate, moment: str) -> None:
    """Killed after the commit, a run is taken up by --resume alone: media go, logs are masked, CLEAR."""
    before = estate.lines()
    killed = estate.run(plugin=MOMENTS[moment].format(signal="SIGKILL"))
    assert killed.status == -9
    assert named(estate.bed.dump()) == 0
    away = estate.logs.rename(estate.folder / "away")
    failed = estate.resume(killed, plugin=INNOCENT)
    assert failed.status == 10, failed.shown
    assert re.match(
        r"UNKNOWN \(\+files\); rows were COMMITTED, files (NOT|only IN PART); exit 10",
        first_line(failed),
    ), failed.shown
    assert next_command(failed).startswith("pytest --live --resume=")
    away.rename(estate.logs)
    done = estate.resume(killed)
    assert first_line(done) == "CLEAR (+files); rows were COMMITTED and files scrubbed; exit 0"
    estate.erased(before)
    assert not list(killed.session.glob("*.sealed"))
    again = estate.resume(killed)
    assert again.status == 0, again.shown


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interruption_after_the_commit_is_finished_by_a_resume(
    estate: Estate, moment: str
) -> None:
    """Ctrl-C after the commit exits 2, says that rows are committed and files not, and --resume finishes."""
    before = estate.lines()
    stopped = estate.run(plugin=MOMENTS[moment].format(signal="SIGINT"))
    assert stopped.status == 2, stopped.shown
    state = "files NOT" if moment == "before the media" else "files only IN PART"
    assert first_line(stopped) == (f"UNKNOWN (+files); rows were COMMITTED, {state}; exit 2"), (
        stopped.shown
    )
    assert "\n  pytest --live --resume=" in stopped.shown
    assert named(estate.bed.dump()) == 0
    done = estate.resume(stopped, plugin=INNOCENT)
    assert first_line(done) == "CLEAR (+files); rows were COMMITTED and files scrubbed; exit 0"
    estate.erased(before)


def test_a_resume_scrubs_the_folders_of_its_session_only(estate: Estate) -> None:
    """A resume with other folders, or another treatment, is refused with exit 4; with the same ones it is not."""
    before = estate.lines()
    killed = estate.run(plugin=BEFORE_THE_MEDIA.format(signal="SIGKILL"))
    other = estate.folder / "other"
    other.mkdir()
    for given in ((f"--log-dir={other}",), (f"--log-dir={estate.logs}",)):
        refused = estate.resume(killed, *given, plugin=INNOCENT)
        assert (refused.status, "leave --log-dir and" in refused.said) == (4, True)
    refused = estate.resume(killed, "--log-treatment=report")
    assert (refused.status, "leave --log-treatment away" in refused.said) == (4, True)
    assert estate.lines() == before
    done = estate.resume(killed, *estate.folders, "--log-treatment=mask")
    assert done.status == 0, done.shown
    estate.erased(before)


def test_a_kill_before_the_commit_touches_no_file(estate: Estate) -> None:
    """Killed before the commit and taken up again, rows and files are as they were."""
    before, rows = estate.contents(), estate.bed.dump()
    plugin = (
        "import os, signal\n"
        "from harness.live import LiveRun\n"
        "LiveRun._hold_media = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = estate.run(plugin=plugin)
    assert killed.status == -9
    undone = estate.resume(killed, plugin=INNOCENT)
    assert undone.status == 10, undone.shown
    assert "no row was changed" in first_line(undone)
    assert (estate.contents(), estate.bed.dump()) == (before, rows)
