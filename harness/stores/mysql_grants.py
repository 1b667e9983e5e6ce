"""What an account may do on MySQL and MariaDB, as SHOW GRANTS tells it, and how to grant more.

SHOW GRANTS is the only source that counts active roles and partial revokes on every version.
Only the privileges and what they are on are kept of a line: the rest may hold a password's
hash.

Source: MySQL reference manual, "GRANT Statement", "Privilege Restriction Using Partial
Revokes" and "Access Control, Stage 2: Request Verification".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from harness.stores.mysql_changes import quoted

_NAME: Final = r"(?:`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|\*)"
_LINE: Final = re.compile(
    rf"(GRANT|REVOKE) (.+?) ON (?:TABLE )?({_NAME})\.({_NAME}) (?:TO|FROM) ", re.DOTALL
)
_COLUMNS: Final = re.compile(r"\([^)]*\)")
_EVERYTHING: Final = "*"
_ALL: Final = "ALL PRIVILEGES"
_WILD: Final = re.compile(r"(?<!\\)[%_]")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of SHOW GRANTS that is about privileges on a place."""

    privileges: frozenset[str]
    database: str
    table: str
    revokes: bool

    def has(self, privilege: str) -> bool:
        """Tell whether the line names the privilege."""
        return bool(self.privileges & {privilege, _ALL})


@dataclass(frozen=True, slots=True)
class Grants:
    """All privileges of the connected account; `literal` says that names are no patterns."""

    entries: tuple[Entry, ...]
    literal: bool

    def everywhere(self, privilege: str) -> bool:
        """Tell whether the account has a privilege on the whole server."""
        return any(
            entry.has(privilege)
            for entry in self.entries
            if entry.database == _EVERYTHING and not entry.revokes
        )

    def allows(self, privilege: str, database: str, tables: Iterable[str]) -> bool:
        """Tell whether the account has a privilege on a database or else on each of its tables."""
        revoked = any(
            entry.revokes and entry.has(privilege) and entry.database in {database, _EVERYTHING}
            for entry in self.entries
        )
        if self.everywhere(privilege) and not revoked:
            return True
        if any(entry.has(privilege) for entry in self._on(database)):
            return True
        named = {
            entry.table
            for entry in self.entries
            if entry.database == database and not entry.revokes and entry.has(privilege)
        } - {_EVERYTHING}
        wanted = set(tables)
        return bool(wanted) and wanted <= named

    def _on(self, database: str) -> Sequence[Entry]:
        """Return the lines on a database that count: of several patterns only the most exact."""
        found = [
            entry
            for entry in self.entries
            if not entry.revokes
            and entry.table == _EVERYTHING
            and entry.database != _EVERYTHING
            and self._matches(entry.database, database)
        ]
        best = max((self._exactness(entry.database) for entry in found), default=0)
        return [entry for entry in found if self._exactness(entry.database) == best]

    def _matches(self, pattern: str, database: str) -> bool:
        if self.literal:
            return pattern == database
        return _like(pattern).fullmatch(database) is not None

    def _exactness(self, pattern: str) -> int:
        wild = None if self.literal else _WILD.search(pattern)
        return wild.start() if wild else len(pattern) + 1


def read(lines: Iterable[str], *, literal: bool) -> Grants:
    """Return what the lines of SHOW GRANTS say.

    Args:
        lines: The lines; what is not about a place, such as a role, is left out.
        literal: Whether the server takes `%` and `_` in names as they are (partial_revokes).
    """
    entries = []
    for line in lines:
        if match := _LINE.match(line):
            privileges = (part.strip().upper() for part in _whole(match[2]))
            entries.append(
                Entry(frozenset(privileges), _bare(match[3]), _bare(match[4]), match[1] == "REVOKE")
            )
    return Grants(tuple(entries), literal)


def statement(privileges: Sequence[str], database: str, account: str, *, literal: bool) -> str:
    """Return the GRANT of privileges on one database, and on no other that is like it.

    Args:
        privileges: As SQL names them.
        database: Its name on the server.
        account: As CURRENT_USER() returns it, ``user@host``.
        literal: Whether the server takes `%` and `_` in names as they are.
    """
    name = database if literal else re.sub(r"([\\%_])", r"\\\1", database)
    return f"GRANT {', '.join(privileges)} ON {quoted(name)}.* TO {grantee(account)};"


def grantee(account: str) -> str:
    """Return an account, ``user@host``, as GRANT wants it written."""
    user, _, host = account.rpartition("@")
    return "@".join("'" + part.replace("'", "''") + "'" for part in (user, host))


def _whole(privileges: str) -> Iterable[str]:
    """Yield the privileges that are on whole tables: on some columns only does not help."""
    marked = _COLUMNS.sub("()", privileges)
    return (part for part in marked.split(",") if "()" not in part)


def _bare(name: str) -> str:
    if name == _EVERYTHING:
        return name
    quote = name[0]
    return name[1:-1].replace(quote * 2, quote)


def _like(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\\.|[%_])", pattern)
    kinds = {"%": ".*", "_": "."}
    return re.compile(
        "".join(kinds.get(part) or re.escape(part.removeprefix("\\")) for part in parts),
        re.DOTALL,
    )
