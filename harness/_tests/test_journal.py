"""The journal: what was decided is on the disk before it is done, and read back after a kill."""

from __future__ import annotations

import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import EvidenceError, RefusalError
from harness.identity import Closure, WaId
from harness.journal import NAME, Entry, Header, Held, Journal, Progress, State, mend
from harness.keys import SiteKey
from harness.model import MediaReference, MediaReferences, TableChange

NUMBER, ALIAS = "1541" + "5550100", "1541" + "5550101"
FILE = "holiday at the sea.jpg"
KEY = SiteKey(bytes(range(32)))
HEADER = Header("20261121T030000Z-live-bcdfghjk", "live", "mysql", "own_", "hardened")
MEDIA = MediaReferences(
    frozenset(
        {
            MediaReference(frozenset({FILE, "other.jpg"}), frozenset({b"\x00" * 32, b"d" * 32})),
            MediaReference(frozenset({"\udcff"})),
        }
    ),
    frozenset({MediaReference(frozenset({"hers.jpg"}))}),
)
CHANGE = TableChange("messageStore", "messages", 6, 5)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal that was begun."""
    one = Journal(tmp_path, KEY)
    one.open(HEADER)
    return one


def noted(journal: Journal, *entries: Entry) -> list[Progress]:
    """Note entries, and return what the journal says then."""
    for entry in entries:
        journal.note(entry)
    header, progresses = journal.read()
    assert header == HEADER
    return list(progresses)


def entry(state: State, token: str = "", *, run: str = "one", names: tuple[str, ...] = ()) -> Entry:
    """Return an entry of a run."""
    return Entry(run, state, round=1, token=token, names=names, tables=(CHANGE,))


def one_run(journal: Journal, *entries: Entry) -> Progress:
    """Note entries of one run, and return what the journal says of it."""
    (only,) = noted(journal, *entries)
    return only


# --- lines ----------------------------------------------------------------------------------


def test_entries_come_back_in_order_by_run(journal: Journal) -> None:
    """Entries of several runs come back whole, each run's in order, the runs as they began."""
    states = (State.BEGUN, State.LOCATED, State.ERASING)
    given = [entry(state, run=run) for state in states for run in ("b", "a")]
    found = noted(journal, *given)
    assert [one.run for one in found] == ["b", "a"]
    assert [one.state for one in found[0].entries] == list(states)
    assert found[0].entries[0].tables == (CHANGE,)
    assert all(one.at for progress in found for one in progress.entries)


@pytest.mark.parametrize("kept", range(1, 40, 3))
def test_a_torn_last_line_is_cut_off(journal: Journal, tmp_path: Path, kept: int) -> None:
    """A line that a kill cut short counts as never written, and the next one stands on its own."""
    journal.note(entry(State.BEGUN))
    whole = (tmp_path / NAME).read_bytes()
    journal.note(entry(State.COMMITTING, "t"))
    torn = (tmp_path / NAME).read_bytes()[: len(whole) + kept]
    (tmp_path / NAME).write_bytes(torn)
    assert one_run(journal).last.state is State.BEGUN
    assert one_run(journal, entry(State.LOCATED)).last.state is State.LOCATED


def test_a_torn_header_leaves_no_journal(tmp_path: Path) -> None:
    """Where not even the header was finished there is nothing to resume, and it is said."""
    (tmp_path / NAME).write_bytes(b'{"session": "2026')
    with pytest.raises(RefusalError, match="nothing to finish"):
        Journal(tmp_path, KEY).read()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"[]\n",
        b'{"run": "one"}\n',
        b"\xff\n",
        NUMBER.encode() + b"\n",
    ],
    ids=["empty", "blank", "list", "no header", "binary", "number"],
)
def test_what_is_no_journal_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """Any other content is refused with the way out, and nothing of it is told."""
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(RefusalError) as refused:
        Journal(tmp_path, KEY).read()
    assert NUMBER not in str(refused.value)


def test_a_broken_line_in_the_middle_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Only a last line may be torn: elsewhere somebody has changed the journal."""
    journal.note(entry(State.BEGUN))
    with (tmp_path / NAME).open("ab") as stream:
        stream.write(b'{"run": \n')
    journal.note(entry(State.LOCATED))
    with pytest.raises(RefusalError):
        journal.read()


def test_mending_leaves_a_whole_file_alone(journal: Journal, tmp_path: Path) -> None:
    """A file that ends with its line is left as it is, and none is made where there is none."""
    journal.note(entry(State.BEGUN))
    before = (tmp_path / NAME).read_bytes()
    mend(tmp_path / NAME)
    mend(tmp_path / "absent")
    assert (tmp_path / NAME).read_bytes() == before
    assert not (tmp_path / "absent").exists()


# --- answers --------------------------------------------------------------------------------


def test_a_decision_stands_until_it_is_taken_back(journal: Journal) -> None:
    """The newest decision that was not rolled back is the one to finish."""
    assert one_run(journal, entry(State.ERASING)).decided is None
    decided = one_run(journal, entry(State.COMMITTING, "a")).decided
    assert decided is not None
    assert (decided.token, decided.tables) == ("a", (CHANGE,))
    assert one_run(journal, entry(State.ROLLED_BACK, "a")).decided is None
    again = one_run(journal, entry(State.COMMITTING, "b")).decided
    assert again is not None
    assert again.token == "b"


def test_a_commit_counts_for_its_own_attempt(journal: Journal) -> None:
    """That an earlier decision was carried out says nothing about a later one."""
    first = one_run(journal, entry(State.COMMITTING, "a"), entry(State.COMMITTED, "a"))
    assert first.committed
    assert not one_run(journal, entry(State.COMMITTING, "b")).committed
    assert one_run(journal, entry(State.COMMITTED, "b")).committed


def test_prepared_names_are_told_apart(journal: Journal) -> None:
    """Names of the decided attempt are to be committed, those of all others to be undone."""
    found = one_run(
        journal,
        entry(State.PREPARING, "a", names=("a1", "a2")),
        entry(State.ROLLED_BACK, "a"),
        entry(State.PREPARING, "b", names=("b1", "b2")),
        entry(State.COMMITTING, "b"),
    )
    assert found.prepared(decided=True) == ("b1", "b2")
    assert found.prepared(decided=False) == ("a1", "a2")


def test_what_was_prepared_and_never_decided_is_undone(journal: Journal) -> None:
    """Before a decision every prepared name is to be rolled back."""
    found = one_run(journal, entry(State.PREPARING, "a", names=("a1",)))
    assert found.prepared(decided=True) == ()
    assert found.prepared(decided=False) == ("a1",)


def test_over_and_attested(journal: Journal) -> None:
    """A run is over when it is closed, and attested when its verdict is written."""
    assert not one_run(journal, entry(State.SWEPT)).over
    closed = one_run(journal, entry(State.CLOSED))
    assert (closed.over, closed.attested) == (True, False)
    assert one_run(journal, entry(State.ATTESTED)).attested


# --- what is sealed -------------------------------------------------------------------------


def held() -> Held:
    """Return what a run holds."""
    return Held(Closure(WaId(NUMBER), frozenset({ALIAS}), frozenset()), media=MEDIA)


def test_what_is_sealed_comes_back_and_names_nobody(journal: Journal, tmp_path: Path) -> None:
    """Closure, seed, key and files come back; no file of mode other than 0600, and none with a number."""
    mine = held()
    journal.keep("one", mine)
    journal.note(entry(State.BEGUN))
    assert journal.held("one") == mine
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = path.read_bytes()
        assert NUMBER.encode() not in content
        assert ALIAS.encode() not in content
        assert FILE.encode() not in content
        assert mine.seed not in content
        assert mine.seed.hex().encode() not in content
    assert NUMBER not in repr(mine)


def test_sealing_anew_replaces(journal: Journal, tmp_path: Path) -> None:
    """Of two seals the later one is opened, and nothing of the earlier one is left."""
    first, second = held(), held()
    journal.keep("one", first)
    journal.keep("one", second)
    assert journal.held("one") == second
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, "one.sealed"]


def test_a_half_written_seal_is_not_taken(journal: Journal, tmp_path: Path) -> None:
    """What a kill left of a new seal does not stand in the way, and is not opened."""
    mine = held()
    journal.keep("one", mine)
    (tmp_path / "one.new").write_bytes(b"half")
    assert journal.held("one") == mine
    later = held()
    journal.keep("one", later)
    assert journal.held("one") == later


def test_attesting_destroys_what_was_sealed(journal: Journal, tmp_path: Path) -> None:
    """After it nothing is left but the journal, a second time does no harm, and resuming is refused."""
    journal.keep("one", held())
    (tmp_path / "one.new").write_bytes(b"half")
    journal.attest("one")
    journal.attest("one")
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert one_run(journal).attested
    with pytest.raises(EvidenceError, match="cannot be finished"):
        journal.held("one")


def test_attesting_overwrites_before_it_removes(journal: Journal, tmp_path: Path) -> None:
    """Another name of the same file holds zeros afterwards."""
    journal.keep("one", held())
    (tmp_path / "other").hardlink_to(tmp_path / "one.sealed")
    journal.attest("one")
    assert not (tmp_path / "other").read_bytes().strip(b"\0")


def test_another_key_or_a_swapped_seal_is_refused(journal: Journal, tmp_path: Path) -> None:
    """A seal is opened by the site's key for its own run only."""
    journal.keep("one", held())
    with pytest.raises(EvidenceError, match="--pseudonym-key"):
        Journal(tmp_path, SiteKey(bytes(32))).held("one")
    (tmp_path / "one.sealed").rename(tmp_path / "two.sealed")
    with pytest.raises(EvidenceError):
        journal.held("two")


# --- a full disk ----------------------------------------------------------------------------


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: what a full disk does, to this test only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_what_cannot_be_journaled_is_not_begun(journal: Journal, tmp_path: Path) -> None:
    """On a full disk noting raises, and what was noted before is still read once there is room."""
    journal.note(entry(State.BEGUN))
    # Room for a part of the line: the worst that a full disk does.
    with (
        full_disk((tmp_path / NAME).stat().st_size + 20),
        pytest.raises(EvidenceError, match="make room"),
    ):
        journal.note(entry(State.COMMITTING, "a"))
    assert one_run(journal).last.state is State.BEGUN
    assert one_run(journal, entry(State.COMMITTING, "b")).last.token == "b"


def test_a_line_after_a_torn_one_is_readable(journal: Journal, tmp_path: Path) -> None:
    """The same process that met the full disk goes on, without anybody mending the file between."""
    journal.note(entry(State.BEGUN))
    with full_disk((tmp_path / NAME).stat().st_size + 20), pytest.raises(EvidenceError):
        journal.note(entry(State.COMMITTING, "a"))
    journal.note(entry(State.CLOSED))
    (only,) = journal.read()[1]
    assert [one.state for one in only.entries] == [State.BEGUN, State.CLOSED]


def test_a_seal_that_cannot_be_written_leaves_the_old_one(journal: Journal) -> None:
    """On a full disk sealing raises, and what was sealed before is opened all the same."""
    mine = held()
    journal.keep("one", mine)
    with full_disk(10), pytest.raises(EvidenceError):
        journal.keep("one", held())
    assert journal.held("one") == mine


def test_a_disk_with_room_refuses_nothing(journal: Journal) -> None:
    """The limit above is what refuses, not the journal: with room the same calls pass."""
    with full_disk(1 << 20):
        journal.keep("one", held())
        journal.note(entry(State.COMMITTING, "a"))
    assert one_run(journal).decided
