"""A statement with a password in it, run so that no log of statements holds it readable.

CREATE USER MAPPING takes the password as a literal only, and a log of statements would keep
it. So the statement travels veiled inside a DO block, whose text is all that is logged; what
it runs inside is not, and an error of it is replaced by one that does not quote it.

Source: PostgreSQL documentation, "Error Reporting and Logging": log_statement is about
statements that are received.
"""

from __future__ import annotations

from typing import Final

from harness.stores.veil import DIGITS, Veil

_BLOCK: Final = """DO $unlogged$ BEGIN
  EXECUTE convert_from(decode(translate('{written}', '{letters}', '{digits}'), 'hex'), 'UTF8');
EXCEPTION WHEN OTHERS THEN
  RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'a statement with a password was refused';
END $unlogged$"""


def unlogged(statement: str) -> str:
    """Return a statement that runs another one, which is not readable in it."""
    veil = Veil()
    written = veil.write(statement.encode())
    return _BLOCK.format(written=written, letters=veil.letters, digits=DIGITS)


def user_mapping(server: str, username: str, password: str) -> str:
    """Return the statement that lets the current user log in through a foreign server.

    Args:
        server: The server's name, quoted.
        username: Who to log in as, as a literal.
        password: Theirs, as a literal.
    """
    return unlogged(
        f"CREATE USER MAPPING FOR CURRENT_USER SERVER {server} "
        f"OPTIONS (user {username}, password {password})"
    )
