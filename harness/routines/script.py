"""A client script taken apart: statements and tokens, as `mysql` and `psql` would cut it.

Nothing is parsed further than cutting it needs: quotes, comments, dollar quotes, delimiters
and the client's own commands. Tokens keep their places, so that text around them stays as it
was written.

Source: mysql(1) on DELIMITER and comments; psql(1) on meta-commands; PostgreSQL, Lexical
Structure, on nested comments and dollar quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.errors import RefusalError
from harness.model import EngineKind


class TokenKind(StrEnum):
    """What a token is; comments and blanks are no tokens."""

    WORD = "word"
    QUOTED = "quoted identifier"
    STRING = "string"
    NUMBER = "number"
    SIGN = "sign"


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """One token; `start` and `end` are places in the script."""

    kind: TokenKind
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The token in upper case if it is a bare word or a sign, else nothing."""
        return self.text.upper() if self.kind in {TokenKind.WORD, TokenKind.SIGN} else ""

    @property
    def name(self) -> str:
        """The identifier that the token is, without its quotes; else nothing."""
        if self.kind is TokenKind.WORD:
            return self.text
        if self.kind is TokenKind.QUOTED:
            mark = self.text[0]
            return self.text[1:-1].replace(mark * 2, mark)
        return ""


@dataclass(frozen=True, slots=True, repr=False)
class Statement:
    """One statement, without the delimiter that ends it; `line` counts from 1."""

    script: str
    tokens: tuple[Token, ...]
    line: int

    @property
    def text(self) -> str:
        """The statement as it is written, from its first token to its last."""
        return self.script[self.tokens[0].start : self.tokens[-1].end]

    def begins(self, *words: str) -> bool:
        """Tell whether the statement's first words are these, in upper case."""
        return tuple(token.word for token in self.tokens[: len(words)]) == words


_STRING = TokenKind.STRING
_COMMON: Final = (
    (TokenKind.WORD, r"[^\W\d][\w$]*"),
    (TokenKind.NUMBER, r"\d[\w.]*"),
    (None, r"\s+"),
    (TokenKind.SIGN, r"[^\w\s]"),
)
_MYSQL: Final = (
    (None, r"--(?=\s|\Z)[^\n]*|\#[^\n]*"),
    # What MySQL runs and others take for a comment: only its marks are left out.
    (None, r"/\*!\d*|\*/"),
    (None, r"/\*(?:[^*]|\*(?!/))*\*/"),
    (_STRING, r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\""),
    (TokenKind.QUOTED, r"`(?:[^`]|``)*`"),
    *_COMMON,
)
_POSTGRES: Final = (
    (None, r"--[^\n]*"),
    (_STRING, r"[Ee]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'"),
    (_STRING, r"\$(?P<tag>(?:[^\W\d]\w*)?)\$(?:.*?)\$(?P=tag)\$"),
    (TokenKind.QUOTED, r'"(?:[^"]|"")*"'),
    *_COMMON,
)


def _compiled(
    rules: tuple[tuple[TokenKind | None, str], ...],
) -> tuple[tuple[TokenKind | None, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(expression, re.DOTALL)) for kind, expression in rules)


_RULES: Final = {EngineKind.MYSQL: _compiled(_MYSQL), EngineKind.POSTGRES: _compiled(_POSTGRES)}
_DELIMITER: Final = re.compile(r"[ \t]*delimiter(?:[ \t]+(\S+))?[^\n]*", re.IGNORECASE)
_CLIENTS: Final = re.compile(
    r"[ \t]*(use|source|\\\.)[ \t]+([^\s;]+)[ \t]*;?[ \t]*(?=\r?\n|\Z)", re.IGNORECASE
)
_META: Final = re.compile(r"\\(\S+)[ \t]*([^\n]*)")
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_OPENING: Final = re.compile(r"['\"`]|/\*|\$\w*\$")


@dataclass(frozen=True, slots=True)
class MetaCommand:
    """A command of the client itself, such as connecting to a database, and what follows it."""

    name: str
    argument: str
    line: int


def cut(script: str, engine: EngineKind) -> Iterator[Statement | MetaCommand]:
    """Yield the statements and client commands of a script, in order.

    Raises:
        RefusalError: A quote or a comment is never closed; names the line.
    """
    position, delimiter, depth = 0, ";", 0
    tokens: list[Token] = []
    while position < len(script):
        if command := _command(script, position, engine, begun=bool(tokens)):
            found, position = command
            if isinstance(found, str):
                delimiter = found
            else:
                yield found
        elif (
            script.startswith(delimiter, position)
            and not depth
            and (delimiter != ";" or not _inside_body(tokens))
        ):
            if tokens:
                yield _statement(script, tokens)
            tokens, position = [], position + len(delimiter)
        else:
            token, position = _next(script, position, engine)
            if token:
                token = _before(delimiter, token)
                position = token.end
                tokens.append(token)
                # psql does not end a statement inside brackets; mysql does.
                if engine is EngineKind.POSTGRES:
                    depth = max(0, depth + {"(": 1, ")": -1}.get(token.text, 0))
    if tokens:
        yield _statement(script, tokens)


def tokens_of(text: str, engine: EngineKind) -> tuple[Token, ...]:
    """Return the tokens of a text, such as a routine's body.

    Raises:
        RefusalError: A quote or a comment is never closed; names the line.
    """
    position = 0
    found = []
    while position < len(text):
        token, position = _next(text, position, engine)
        if token:
            found.append(token)
    return tuple(found)


def line_of(script: str, position: int) -> int:
    """Return the number of the line, from 1, that a place is in."""
    return script.count("\n", 0, position) + 1


def _inside_body(tokens: Sequence[Token]) -> bool:
    """Tell whether a routine's body is still open, for files that have no DELIMITER.

    The client itself would cut such a file at the first semicolon; other tools do not.
    """
    words = [token.word for token in tokens]
    if words[:1] != ["CREATE"] or not {"PROCEDURE", "FUNCTION"} & set(words):
        return False
    depth = 0
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word in {"BEGIN", "CASE"}:
            depth += 1
        elif word == "END":
            depth -= 2 if after == "CASE" else after not in {"IF", "LOOP", "WHILE", "REPEAT"}
    return depth > 0


def _statement(script: str, tokens: list[Token]) -> Statement:
    return Statement(script, tuple(tokens), line_of(script, tokens[0].start))


def _command(
    script: str, position: int, engine: EngineKind, *, begun: bool
) -> tuple[str | MetaCommand, int] | None:
    """Return a new delimiter, or a client command, that begins here, and where it ends."""
    line_begins = position == 0 or script[position - 1] == "\n"
    if engine is EngineKind.MYSQL:
        if line_begins and (match := _DELIMITER.match(script, position)):
            if match[1]:
                return match[1], match.end()
            line = line_of(script, position)
            raise RefusalError(f"Line {line}: DELIMITER without a delimiter: write one behind it.")
        if line_begins and not begun and (match := _CLIENTS.match(script, position)):
            # The client understands these without a delimiter, too.
            line = line_of(script, position)
            return MetaCommand(match[1].lower(), match[2].strip("`"), line), match.end()
    elif not begun and (match := _META.match(script, position)):
        return MetaCommand(match[1], match[2].strip(), line_of(script, position)), match.end()
    return None


def _before(delimiter: str, token: Token) -> Token:
    """Return as much of a token as stands before a delimiter, such as `END` of `END$$`."""
    bare = token.kind in {TokenKind.WORD, TokenKind.NUMBER}
    length = token.text.find(delimiter, 1) if bare else -1
    if length < 0:
        return token
    return Token(token.kind, token.text[:length], token.start, token.start + length)


def _next(script: str, position: int, engine: EngineKind) -> tuple[Token | None, int]:
    """Return the token that begins here, or None for a comment or blanks, and where it ends."""
    if engine is EngineKind.POSTGRES and script.startswith("/*", position):
        return None, _end_of_comment(script, position)
    for kind, expression in _RULES[engine]:
        if match := expression.match(script, position):
            if kind is TokenKind.SIGN and _OPENING.match(script, position):
                break
            token = Token(kind, match[0], *match.span()) if kind else None
            return token, match.end()
    line = line_of(script, position)
    raise RefusalError(f"Line {line}: a quote or a comment begins here and never ends: close it.")


def _end_of_comment(script: str, position: int) -> int:
    """Return where a comment ends that may hold others."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(script, position):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    line = line_of(script, position)
    raise RefusalError(f"Line {line}: a quote or a comment begins here and never ends: close it.")
