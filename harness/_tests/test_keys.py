"""The site's key: made once, read by its owner only, and what it names and seals."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness import keys
from harness.errors import ConfigError, EvidenceError
from harness.keys import SiteKey

REPOSITORY = Path(__file__).resolve().parents[2]
NUMBER = "1541" + "5550100"
KEY = SiteKey(bytes(range(32)))


def keygen(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m harness keygen` with a home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness", "keygen", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- the file -------------------------------------------------------------------------------


def test_a_new_key_is_its_owners_alone_and_can_be_read(tmp_path: Path) -> None:
    """A key is made with mode 0600, whatever the umask, in a folder of mode 0700, and read again."""
    before = os.umask(0)
    try:
        made = keys.make(tmp_path / "new" / "pseudonym.key")
    finally:
        os.umask(before)
    path = tmp_path / "new" / "pseudonym.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.read(path).pseudonym(NUMBER) == made.pseudonym(NUMBER)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o777], ids=oct)
def test_a_key_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that group or world may read, write or pass is refused with the chmod to run."""
    keys.make(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600 k"):
        keys.read(tmp_path / "k")


@pytest.mark.parametrize("mode", [0o600, 0o400], ids=oct)
def test_a_key_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    """The check above does not refuse what only the owner may read."""
    keys.make(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    keys.read(tmp_path / "k")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0" * 64,
        b"waba-erasure pseudonym key 1\n" + b"0" * 63 + b"\n",
        b"waba-erasure pseudonym key 2\n" + b"0" * 64 + b"\n",
        b"waba-erasure pseudonym key 1\n" + b"G" * 64 + b"\n",
        b"waba-erasure pseudonym key 1\n" + b"0" * 64 + b"\n" + b"\n" * 2000,
        b"\xff\xfe" * 40,
    ],
    ids=["empty", "bare", "short", "other version", "no digits", "long", "binary"],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """A file with any other content is refused, and nothing of the content is told."""
    (tmp_path / "k").write_bytes(content)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(ConfigError, match="holds no pseudonym key") as refused:
        keys.read(tmp_path / "k")
    assert "0000" not in str(refused.value)


def test_an_absent_key_and_a_folder_are_refused(tmp_path: Path) -> None:
    """Where there is no file the sentence names the command that makes a key."""
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError, match="python -m harness keygen"):
            keys.read(path)


def test_a_pipe_in_its_place_does_not_hang(tmp_path: Path) -> None:
    """A named pipe is refused at once: nobody waits for a writer at three in the morning."""
    os.mkfifo(tmp_path / "k", 0o600)
    with pytest.raises(ConfigError):
        keys.read(tmp_path / "k")


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    """A link to a good key is read; one to a key that others may read is refused."""
    keys.make(tmp_path / "real")
    (tmp_path / "k").symlink_to("real")
    keys.read(tmp_path / "k")
    (tmp_path / "real").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod"):
        keys.read(tmp_path / "k")


@pytest.mark.parametrize("there", ["key", "dangling link", "folder"])
def test_a_key_never_takes_the_place_of_what_is_there(tmp_path: Path, there: str) -> None:
    """Where there is a key, a link that leads nowhere or a folder, none is made and all stays."""
    path = tmp_path / "k"
    if there == "key":
        keys.make(path)
    elif there == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    before = path.read_bytes() if there == "key" else b""
    with pytest.raises(ConfigError, match="is there already"):
        keys.make(path)
    assert not before or path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_two_at_once_end_up_with_one_key(tmp_path: Path) -> None:
    """Of eight processes that want a first key at once one makes it, and all name alike."""
    program = (
        "import sys; from pathlib import Path; from harness import keys\n"
        "sys.stdin.read()\n"
        f"key, made = keys.read_or_make(None); print(made, key.pseudonym({NUMBER!r}))"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sorted(made for made, _ in said) == ["False"] * 7 + ["True"]
    assert len({name for _, name in said}) == 1


def test_a_key_that_was_named_is_never_made(tmp_path: Path) -> None:
    """A misspelt --pseudonym-key is refused: a second key would be made unnoticed."""
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.read_or_make(tmp_path / "misspelt")
    assert not list(tmp_path.iterdir())


# --- python -m harness keygen ---------------------------------------------------------------


def test_keygen_makes_it_where_sessions_look(tmp_path: Path) -> None:
    """The command makes the key in the usual place and says where, and never what."""
    done = keygen(home=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.rglob("pseudonym.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in done.stdout
    assert path.read_text("ascii").split()[-1] not in done.stdout + done.stderr


def test_keygen_refuses_where_one_is(tmp_path: Path) -> None:
    """Asked again it exits 4 with one sentence and leaves the key as it was."""
    path = tmp_path / "k"
    assert keygen(f"--pseudonym-key={path}", home=tmp_path).returncode == 0
    before = path.read_bytes()
    done = keygen(f"--pseudonym-key={path}", home=tmp_path)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "is there already" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [[f"--wa-id={NUMBER}"], [NUMBER], ["--pseudonym-key"]],
    ids=["option", "word", "no value"],
)
def test_keygen_refuses_what_it_does_not_know(tmp_path: Path, arguments: list[str]) -> None:
    """What is not understood exits 4, makes nothing, and is not shown: it may be a number."""
    done = keygen(*arguments, home=tmp_path)
    assert done.returncode == 4
    assert NUMBER not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


# --- naming and sealing ---------------------------------------------------------------------


def test_a_pseudonym_is_stable_and_the_keys_own() -> None:
    """A number has one pseudonym under a key, and another under every other key."""
    name = KEY.pseudonym(NUMBER)
    assert name == SiteKey(bytes(range(32))).pseudonym(NUMBER)
    assert re.fullmatch("[0-9a-f]{64}", name)
    assert name != SiteKey(bytes(32)).pseudonym(NUMBER)
    assert name != KEY.pseudonym(NUMBER[:-1] + "1")


def test_only_the_same_run_and_key_open_a_seal() -> None:
    """What was sealed is opened for the same run with the same key, and otherwise refused."""
    sealed = KEY.seal(NUMBER.encode(), run="one")
    assert KEY.unseal(sealed, run="one") == NUMBER.encode()
    for key, run in ((KEY, "two"), (SiteKey(bytes(32)), "one")):
        with pytest.raises(EvidenceError, match="--pseudonym-key"):
            key.unseal(sealed, run=run)


def test_a_changed_or_shortened_seal_is_refused() -> None:
    """One flipped bit anywhere, or a cut anywhere, is noticed."""
    sealed = KEY.seal(NUMBER.encode(), run="one")
    flipped = [
        sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    for broken in (*flipped, *(sealed[:at] for at in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(EvidenceError):
            KEY.unseal(broken, run="one")


def test_sealing_twice_tells_nobody_that_it_is_the_same() -> None:
    """The same words sealed twice are different bytes, and hold no digit of the number in a row."""
    first, second = (KEY.seal(NUMBER.encode(), run="one") for _ in range(2))
    assert first != second
    assert NUMBER.encode() not in first + second


def test_a_key_shows_as_its_name() -> None:
    """Neither `repr` nor `str` of a key, nor of its secret, shows the key."""
    shown = f"{KEY!r} {KEY} {KEY.secret!r} {KEY.secret}"
    assert bytes(range(32)).hex() not in shown
    assert KEY.secret.reveal() == bytes(range(32)).hex()
