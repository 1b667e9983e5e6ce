"""What a FILE for PostgreSQL makes around its function, pointed at the stores at hand.

A script names the operator's own host and account. Here its servers lead to the store set
that is verified, with that set's account; names, tables and columns stay as written.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from harness.config import RunConfig
from harness.model import Secret
from harness.routines.script import Statement, Token, TokenKind
from harness.stores.postgres_quoting import literal

_SERVERS_OWN = ("HOST", "HOSTADDR", "PORT", "DBNAME", "SERVICE")
_ACCOUNTS = ("USER", "PASSWORD")
_ROLE = re.compile(r"\bFOR\s+(?:\"(?:[^\"]|\"\")*\"|\w+)", re.IGNORECASE)


def localised(statement: Statement, config: RunConfig, databases: Mapping[str, str]) -> str:
    """Return a statement of a FILE with host, database and account of the store set at hand."""
    if statement.begins("CREATE", "EXTENSION"):
        return "CREATE EXTENSION IF NOT EXISTS postgres_fdw"
    if statement.begins("CREATE", "SERVER"):
        options = dict(_options(statement))
        database = _database(_unquoted(options.get("DBNAME", "''")), databases)
        here = {
            "host": literal(config.hostname),
            "port": literal(str(config.port)),
            "dbname": literal(database),
        }
        return _with_options(statement, _SERVERS_OWN, here)
    if statement.begins("CREATE", "USER", "MAPPING"):
        account = {
            "user": literal(config.username),
            "password": literal(config.password.reveal()),
        }
        return _for_us(_with_options(statement, _ACCOUNTS, account))
    if statement.begins("DROP", "USER", "MAPPING"):
        return _for_us(statement.text)
    return statement.text


def servers_made(statements: Sequence[Statement]) -> Iterator[str]:
    """Yield the names of the foreign servers that statements create."""
    for statement in statements:
        if statement.begins("CREATE", "SERVER"):
            yield next(
                token.name
                for token in statement.tokens[2:]
                if token.name and token.word not in {"IF", "NOT", "EXISTS"}
            )


def tables_made(statements: Sequence[Statement]) -> Iterator[str]:
    """Yield the names, without schema, of the foreign tables that statements create."""
    for statement in statements:
        if statement.begins("CREATE", "FOREIGN", "TABLE"):
            before = statement.tokens[: _index(statement, "(")]
            yield before[-1].name


def passwords(statements: Sequence[Statement]) -> Iterator[Secret]:
    """Yield the passwords that stand in statements."""
    for statement in statements:
        for name, value in _options(statement):
            if name == "PASSWORD":
                yield Secret(_unquoted(value))


def _options(statement: Statement) -> Iterator[tuple[str, str]]:
    """Yield the options of OPTIONS (name 'value', …), names in upper case."""
    tokens = _inside_options(statement)
    for name, value in itertools.pairwise(tokens):
        if name.name and value.kind is TokenKind.STRING:
            yield name.name.upper(), value.text


def _inside_options(statement: Statement) -> tuple[Token, ...]:
    index = _index(statement, "OPTIONS")
    return statement.tokens[index:]


def _index(statement: Statement, word: str) -> int:
    """Return which token is a word or sign, or how many there are."""
    words = [token.word for token in statement.tokens]
    return words.index(word) if word in words else len(words)


def _with_options(statement: Statement, replaced: Sequence[str], options: Mapping[str, str]) -> str:
    kept = {name: value for name, value in _options(statement) if name not in replaced}
    head = statement.text
    if inside := _inside_options(statement):
        head = statement.script[statement.tokens[0].start : inside[0].start]
    every = {**{name.lower(): value for name, value in kept.items()}, **options}
    listed = ", ".join(f"{name} {value}" for name, value in every.items())
    return f"{head} OPTIONS ({listed})"


def _database(named: str, databases: Mapping[str, str]) -> str:
    """Return the database of the store that a name ends in; a name of no store stays."""
    for store, database in databases.items():
        if named.lower().endswith(store.lower()):
            return database
    return named


def _for_us(sql: str) -> str:
    """Return a statement about a user mapping with the account at hand as its user."""
    return _ROLE.sub("FOR CURRENT_USER", sql, count=1)


def _unquoted(value: str) -> str:
    """Return what a string of PostgreSQL stands for."""
    if value.startswith("$"):
        edge = value.index("$", 1) + 1
        return value[edge:-edge]
    inside = value[value.index("'") + 1 : -1].replace("''", "'")
    return re.sub(r"\\(.)", r"\1", inside) if value[:1] in {"E", "e"} else inside
