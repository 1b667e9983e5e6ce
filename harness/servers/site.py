"""A site: all that one disposable server is made of, before and while it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ServerError
from harness.model import EngineChoice, Secret
from harness.servers.account import Account
from harness.servers.leash import Order

_LONG_NUMBER = re.compile(r"\d{7,}")
_TELLING = re.compile(r"error|fatal|panic|fail|cannot|could not|no space|refus", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left|disk full|errno: 28|error number 28", re.IGNORECASE)
_LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True)
class Site:
    """Where one server lives and who it is.

    `installed` is the engine in the cache; `engine` is where the server's account can read it.
    """

    choice: EngineChoice
    folder: Path
    installed: Path
    engine: Path
    account: Account
    user: str
    password: Secret

    @property
    def data(self) -> Path:
        """The server's data folder, also its working folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server and its tools print; written through our own descriptor."""
        return self.folder / "server.log"

    def log_text(self) -> str:
        """Return what the server has printed so far."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def last_words(self) -> str:
        """Return the telling end of the log on one line, without long numbers and the password."""
        lines = [line.strip() for line in self.log_text().splitlines() if line.strip()]
        telling = [line for line in lines if _TELLING.search(line)] or lines
        text = " / ".join(telling[-2:])[-400:].replace(self.password.reveal(), "***")
        return f"its last words: {_LONG_NUMBER.sub('#', text)}" if text else "it said nothing"

    def trouble(self, what: str) -> ServerError:
        """Word that `what` failed, with the log's last words and the next step."""
        words, place = self.last_words(), self.folder.parent.parent
        step = "run again, and report this if it comes back"
        if _NO_SPACE.search(self.log_text()):
            step = f"free 300 MB in {place}, or let TMPDIR name another folder, and run again"
        return ServerError(
            f"{self.choice.kind.proper_name} {self.choice.series}: {what}; {words}; {step}."
        )

    def leashed(
        self, command: list[str], environment: dict[str, str], death_signal: int
    ) -> list[str]:
        """Return a command that runs `command` as the server's account and dies with us."""
        order = Order(
            command=command,
            environment={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath, **environment},
            uid=self.account.uid if self.account.other else None,
            gid=self.account.gid if self.account.other else None,
            death_signal=int(death_signal),
            parent_pid=os.getpid(),
        )
        return [sys.executable, "-I", "-S", str(_LEASH), json.dumps(order)]


def reachable_engine(installed: Path, parts: tuple[str, ...], folder: Path, who: Account) -> Path:
    """Return a folder from which the account can run the engine: the cache, else a copy of links.

    Root's cache lies below a home folder that nobody else may enter.

    Raises:
        OSError: the private folder is full.
    """
    if who.can_pass(installed / parts[0]):
        return installed
    engine = folder / "engine"
    engine.mkdir(mode=0o755)
    engine.chmod(0o755)
    for part in parts:
        source, target = installed / part, engine / part
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)
        else:
            _link_or_copy(str(source), str(target))
    return engine


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target, follow_symlinks=False)
