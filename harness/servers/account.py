"""The account that a disposable server runs under: ours, or an unprivileged one if we are root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ServerError

_UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group to run a server as; `other` says that it is not the harness's own."""

    uid: int
    gid: int
    other: bool

    def can_pass(self, path: Path) -> bool:
        """Tell whether the account may pass through every folder on the way to `path`."""
        if not self.other:
            return True
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)

    def own(self, path: Path) -> None:
        """Give a file, or a folder with all that is in it, to the account."""
        if not self.other:
            return
        # From the inside out, and never through a link: what already belongs to the account
        # may be changed by it while we are still walking.
        for folder, subfolders, files in os.walk(path, topdown=False):
            for name in (*subfolders, *files):
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account() -> Account:
    """Return the account for servers: root drops to `nobody`, anyone else stays who they are.

    Raises:
        ServerError: we are root and there is no unprivileged account, or we have no name.

    Source: both mysqld and postgres refuse to run as root.
    """
    if os.geteuid() != 0:
        _require_name(os.geteuid())
        return Account(os.geteuid(), os.getegid(), other=False)
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise ServerError(
            f"Database servers refuse to run as root and this system has no user {_UNPRIVILEGED}: "
            "run the harness as an ordinary user."
        ) from error
    return Account(entry.pw_uid, entry.pw_gid, other=True)


def _require_name(uid: int) -> None:
    """Refuse a user id that has no name, as in some containers.

    Raises:
        ServerError: the user database does not know the id.

    Source: initdb, "could not look up effective user ID".
    """
    try:
        pwd.getpwuid(uid)
    except KeyError as error:
        raise ServerError(
            f"PostgreSQL needs a user with a name and user id {uid} has none: add it to "
            "/etc/passwd or run as another user."
        ) from error
