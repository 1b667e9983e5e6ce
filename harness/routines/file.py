"""An operator's deletion routine, as it lies on disk: one CREATE and what surrounds it.

The routine's text is kept to the letter; only its name becomes the run's own. Around it,
what the routine needs is carried out, what concerns other hosts is left out, and what would
act on data refuses the file: a script is verified by calling its routine, not by running it.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import RefusalError
from harness.model import EngineKind, Secret
from harness.routines.foreign import passwords
from harness.routines.protocol import HOME_STORE
from harness.routines.script import (
    MetaCommand,
    Statement,
    Token,
    TokenKind,
    cut,
    line_of,
    tokens_of,
)

_LARGEST_BYTES: Final = 4 << 20
_WIDE: Final = frozenset({"BIGINT", "INT8"})
"""The types of a parameter that can hold 15 digits."""
_ROUTINES: Final = frozenset({"PROCEDURE", "FUNCTION"})
_NOT_CARRIED_OUT: Final = {
    EngineKind.MYSQL: ("DROP PROCEDURE", "DROP FUNCTION", "GRANT", "REVOKE", "SET", "SHOW"),
    EngineKind.POSTGRES: (
        *("DROP FUNCTION", "DROP PROCEDURE", "ALTER FUNCTION", "ALTER PROCEDURE"),
        *("GRANT", "REVOKE", "COMMENT ON", "SET", "BEGIN", "COMMIT", "START TRANSACTION"),
    ),
}
_PROVIDES: Final = (
    "CREATE EXTENSION",
    "CREATE SERVER",
    "CREATE USER MAPPING",
    "CREATE FOREIGN TABLE",
    "IMPORT FOREIGN SCHEMA",
)
_CLEANS_UP: Final = (
    "DROP FOREIGN TABLE",
    "DROP USER MAPPING",
    "DROP SERVER",
    "DROP EXTENSION",
)
_CREATES: Final = re.compile(r"\bcreate\b.*\b(?:procedure|function)\b", re.IGNORECASE | re.DOTALL)
_NUMBER: Final = re.compile(r"\d{7}")
_HARMLESS_META: Final = frozenset(
    ("echo", "set", "timing", "pset", "q", "encoding", "unset", "restrict", "unrestrict")
)
_PREFIX: Final = re.compile(r"[A-Za-z0-9_$-]{0,40}")
_WRITTEN_PASSWORD: Final = re.compile(
    r"password\W{1,3}?'?([^\s'\";,()]{4,})|://[^:/\s]*:([^@\s]{4,})@", re.IGNORECASE
)
_BODY: Final = frozenset({"BEGIN", "DECLARE", "SELECT", "DELETE", "UPDATE", "INSERT", "CALL"})


@dataclass(frozen=True, slots=True, repr=False)
class RoutineFile:
    """A routine FILE that was read: everything about it that does not depend on a run.

    `label` is the file's name and `sha256` of its bytes; `home` is the store that it lives in
    and `prefix` what its databases' names begin with; `set_up` and `clean_up` are statements
    of the file that surround it; `left_out` says what was not carried out.
    """

    label: str
    sha256: str
    engine: EngineKind
    is_function: bool
    home: str
    prefix: str
    statement: Statement
    name: Token
    opening: Token
    set_up: tuple[Statement, ...]
    clean_up: tuple[Statement, ...]
    left_out: tuple[str, ...]

    def __repr__(self) -> str:
        return f"RoutineFile({self.label})"

    @property
    def passwords(self) -> tuple[Secret, ...]:
        """The passwords that stand in the file, to be kept out of everything written."""
        anywhere = _WRITTEN_PASSWORD.finditer(self.statement.text)
        return (
            *passwords(self.set_up),
            *(Secret(match[1] or match[2]) for match in anywhere),
        )

    def named(self, name: str) -> str:
        """Return the CREATE statement under another name, given with its quotes if it needs any.

        DEFINER and OR REPLACE are left out: the one may not exist here, the other would replace.
        """
        kind = "FUNCTION" if self.is_function else "PROCEDURE"
        script, end = self.statement.script, self.statement.tokens[-1].end
        text = script[self.opening.start : end]
        if self.engine is EngineKind.POSTGRES:
            tokens = self.statement.tokens
            parameter = _folded(tokens[tokens.index(self.opening) + 1])
            text = _requalified(text, self.name, name.rpartition(".")[2], parameter)
        return f"CREATE {kind} {name}{text}"


def read(path: Path, stores: Sequence[str]) -> RoutineFile:
    """Read a routine FILE.

    Args:
        path: The file, in UTF-8.
        stores: The logical names of all stores, by which prefixes are known.

    Raises:
        RefusalError: It cannot be read, or is not one routine with one integer parameter and
            what that needs; one sentence, with the line.
    """
    content = _bytes_of(path)
    try:
        script = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RefusalError(
            f"{path.name} is not text in UTF-8: save it so, and give it again."
        ) from None
    engine = _engine_of(script, path.name)
    try:
        return _Reading(script, engine, stores).result(path.name, content)
    except RefusalError as error:
        raise RefusalError(f"{path.name}: {error}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise RefusalError(f"{path.name} is larger than 4 MB: give a file with one routine.")
        return path.read_bytes()
    except OSError as error:
        raise RefusalError(
            f"{path.name} cannot be read ({error.strerror}): --routine takes hardened, documented, "
            "or a file with one CREATE PROCEDURE or CREATE FUNCTION."
        ) from None


def _engine_of(script: str, label: str) -> EngineKind:
    """Tell the engine that a script was written for: only PostgreSQL's bodies are strings."""
    nothing = RefusalError(
        f"{label} has no CREATE PROCEDURE or CREATE FUNCTION: give a file that holds one."
    )
    if not _CREATES.search(script):
        raise nothing
    refusals = []
    for engine in (EngineKind.POSTGRES, EngineKind.MYSQL):
        try:
            statements = [one for one in cut(script, engine) if isinstance(one, Statement)]
        except RefusalError as error:
            refusals.append(error)
            continue
        created = [one for one in statements if _creates_routine(one)]
        if any(_has_string_body(one) == (engine is EngineKind.POSTGRES) for one in created):
            return engine
    if refusals:
        raise RefusalError(f"{label}: {refusals[-1]}")
    raise nothing


def _has_string_body(statement: Statement) -> bool:
    """Tell whether a routine's body is a string, as PostgreSQL's are, or BEGIN ATOMIC."""
    for one, two in itertools.pairwise(statement.tokens):
        if one.word == "AS" and two.kind is TokenKind.STRING:
            return True
        if one.word in _BODY:
            return two.word == "ATOMIC"
    return False


def _creates_routine(statement: Statement) -> bool:
    return statement.begins("CREATE") and _kind_at(statement) is not None


def _kind_at(statement: Statement) -> int | None:
    """Return which token says PROCEDURE or FUNCTION, if the statement creates one."""
    for index, token in enumerate(statement.tokens):
        if token.word in _ROUTINES:
            return index
        if token.text == "(" or token.word in {"TABLE", "TRIGGER", "EVENT", "VIEW", "SERVER"}:
            return None
    return None


class _Reading:
    """The statements of one script, sorted by what becomes of them."""

    def __init__(self, script: str, engine: EngineKind, stores: Sequence[str]) -> None:
        self._engine = engine
        self._stores = stores
        self._database = self._created_in = ""
        self._created: list[Statement] = []
        self._set_up: list[Statement] = []
        self._clean_up: list[Statement] = []
        self._left_out: list[str] = []
        for one in cut(script, engine):
            if isinstance(one, MetaCommand):
                self._obey(one)
            else:
                self._sort(one)

    def _obey(self, command: MetaCommand) -> None:
        if "=" in command.argument or "://" in command.argument:
            raise RefusalError(
                f"Line {command.line}: give the name of a database alone, not how to reach it."
            )
        if command.name in {"c", "connect", "use"}:
            self._database = command.argument.split(" ")[0].strip('"')
        elif command.name not in _HARMLESS_META:
            raise RefusalError(
                f"Line {command.line}: the client's command {command.name} cannot be followed: "
                "take it out."
            )

    def _sort(self, statement: Statement) -> None:
        if _creates_routine(statement):
            self._created.append(statement)
            self._created_in = self._database
        elif self._engine is EngineKind.MYSQL and statement.begins("USE"):
            self._database = statement.tokens[-1].name
        elif self._is(statement, _PROVIDES) or (_sets_mode(statement) and not self._created):
            self._set_up.append(statement)
        elif self._is(statement, _CLEANS_UP):
            # What a script drops before it begins was left by somebody else.
            if self._created:
                self._clean_up.append(statement)
        elif verb := self._is(statement, _NOT_CARRIED_OUT[self._engine]) or _configures(statement):
            self._left_out.append(f"line {statement.line}: {verb}")
        else:
            verb = " ".join(token.word for token in statement.tokens[:2]).strip()
            raise RefusalError(
                f"Line {statement.line}: {verb} is neither the routine nor what it needs to be "
                "created: keep it in another file."
            )

    def _is(self, statement: Statement, verbs: Sequence[str]) -> str:
        if self._engine is EngineKind.MYSQL and verbs in {_PROVIDES, _CLEANS_UP}:
            return ""
        return next((verb for verb in verbs if statement.begins(*verb.split())), "")

    def result(self, label: str, content: bytes) -> RoutineFile:
        if len(self._created) != 1:
            raise RefusalError(
                f"It creates {len(self._created)} routines: give a file with exactly one."
            )
        (statement,) = self._created
        kind, name, opening, database = _head(statement)
        _check_parameter(statement, opening)
        home, prefix = self._home(database or self._created_in)
        return RoutineFile(
            label=label if not _NUMBER.search(label) else "the routine's file",
            sha256=hashlib.sha256(content).hexdigest(),
            engine=self._engine,
            is_function=kind == "FUNCTION",
            home=home,
            prefix=prefix,
            statement=statement,
            name=name,
            opening=opening,
            set_up=tuple(self._set_up),
            clean_up=tuple(self._clean_up),
            left_out=tuple(self._left_out),
        )

    def _home(self, database: str) -> tuple[str, str]:
        """Return the store that a database is, and its prefix; by default, contactStore's."""
        if self._engine is EngineKind.POSTGRES:
            database = self._created_in  # what stands before the name is a schema
        prefixes = Counter(
            prefix for name in self._names() for _, prefix in _stores_in(name, self._stores)
        )
        prefix = prefixes.most_common(1)[0][0] if prefixes else ""
        if not database:
            return HOME_STORE, prefix
        for store, own in _stores_in(database, self._stores):
            if _PREFIX.fullmatch(own):
                return store, own
        raise RefusalError(
            "It lives in a database that is none of the stores: create it in contactStore."
        )

    def _names(self) -> Iterator[str]:
        """Yield the databases that the file names: qualifiers, and options of foreign servers."""
        for statement in (*self._created, *self._set_up):
            tokens = statement.tokens
            for one, two in itertools.pairwise(tokens):
                if two.text == ".":
                    yield one.name
                elif one.word == "DBNAME" and two.kind is TokenKind.STRING:
                    yield two.text[1:-1]


def _stores_in(database: str, stores: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the store that a database's name ends in, and what goes before."""
    for store in sorted(stores, key=len, reverse=True):
        if database.lower().endswith(store.lower()):
            yield store, database[: len(database) - len(store)]
            return


def _sets_mode(statement: Statement) -> bool:
    """Tell whether a statement does no more than set this session's sql_mode to a literal.

    A MySQL routine keeps the mode it was created in.
    """
    words = [token.word for token in statement.tokens if token.text not in {"@", "."}]
    words = [word for word in words if word != "SESSION"]
    literal = statement.tokens[-1].kind is TokenKind.STRING
    return words == ["SET", "SQL_MODE", "=", ""] and literal


def _configures(statement: Statement) -> str:
    """Name a call of set_config, which pg_dump puts before everything."""
    words = {token.word for token in statement.tokens}
    return "SELECT set_config" if statement.begins("SELECT") and "SET_CONFIG" in words else ""


def _head(statement: Statement) -> tuple[str, Token, Token, str]:
    """Return PROCEDURE or FUNCTION, the name, the bracket behind it, and the name's qualifier."""
    index = _kind_at(statement)
    tokens = statement.tokens
    place = (index or 0) + 1
    if [token.word for token in tokens[place : place + 3]] == ["IF", "NOT", "EXISTS"]:
        place += 3
    qualifier = ""
    if len(tokens) > place + 2 and tokens[place + 1].text == ".":
        qualifier, place = tokens[place].name, place + 2
    if len(tokens) <= place + 1 or not tokens[place].name or tokens[place + 1].text != "(":
        raise RefusalError(
            f"Line {statement.line}: the routine's name is not followed by its parameters in "
            "brackets: mend that line."
        )
    return tokens[index or 0].word, tokens[place], tokens[place + 1], qualifier


def _check_parameter(statement: Statement, opening: Token) -> None:
    """Refuse a routine that cannot be called with one number."""
    parameters: list[list[Token]] = [[]]
    depth = 0
    for token in statement.tokens:
        if token.start < opening.start:
            continue
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if not depth:
            break
        if token.text == "," and depth == 1:
            parameters.append([])
        elif token is not opening:
            parameters[-1].append(token)
    if len(parameters) == 1 and _is_wide_input(parameters[0]):
        return
    line = line_of(statement.script, opening.start)
    raise RefusalError(
        f"Line {line}: the routine must take one parameter and no more, a BIGINT that it reads: "
        "the number of the person to erase, which has up to 15 digits."
    )


def _is_wide_input(parameter: Sequence[Token]) -> bool:
    """Tell whether a parameter is read, and can hold 15 digits."""
    words = [token.word for token in parameter]
    if {"OUT", "INOUT", "VARIADIC", "["} & set(words):
        return False
    if words[:1] == ["IN"]:
        del words[0]
    # A name and a type; PostgreSQL needs no name.
    types = words[:1] if len(words) == 1 else words[1:2]
    return bool(_WIDE & set(types))


def _requalified(text: str, old: Token, new: str, parameter: str) -> str:
    """Return PL/pgSQL in which the parameter, qualified by the function's name, still is.

    Source: PostgreSQL, PL/pgSQL, Variable Substitution: a parameter can be told from a column
    by `function.parameter`.
    """
    tokens = tokens_of(text, EngineKind.POSTGRES)
    parts, position = [], 0
    for index, token in enumerate(tokens):
        changed = token.text
        if token.kind is TokenKind.STRING and token.text.startswith("$"):
            edge = token.text.index("$", 1) + 1
            body = _requalified(token.text[edge:-edge], old, new, parameter)
            changed = token.text[:edge] + body + token.text[-edge:]
        elif _folded(token) == _folded(old) and [
            _folded(after) for after in tokens[index + 1 : index + 3]
        ] == [".", parameter]:
            changed = new
        parts += [text[position : token.start], changed]
        position = token.end
    return "".join([*parts, text[position:]])


def _folded(token: Token) -> str:
    """Return an identifier as PostgreSQL reads it, or a sign."""
    return token.name.lower() if token.kind is TokenKind.WORD else token.name or token.text
