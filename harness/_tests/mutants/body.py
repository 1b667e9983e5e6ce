"""The body of a routine FILE, taken apart as far as editing it needs: DELETEs, UPDATEs, lookups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.model import EngineKind
from harness.routines.file import RoutineFile
from harness.routines.script import Token, TokenKind, tokens_of


@dataclass(frozen=True, slots=True, repr=False)
class Span:
    """A stretch of the FILE's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, repr=False)
class Arm:
    """One comparison of a condition, `column = operand`, and the OR that joins it to the others."""

    span: Span
    joint: Span | None
    column: str
    operand: str


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """One DELETE or UPDATE of the body: what it changes, and where its parts stand."""

    verb: str
    whole: Span
    target: str
    table: str
    where: Span | None
    arms: tuple[Arm, ...]
    assigned: tuple[str, Span] | None = None


class Body:
    """The text of a FILE and what can be edited in it."""

    def __init__(self, file: RoutineFile) -> None:
        self.file = file
        self.engine = file.engine
        self.text = file.statement.script
        self.tokens = tuple(self._tokens())

    def _tokens(self) -> Iterator[Token]:
        for token in self.file.statement.tokens:
            if self.engine is EngineKind.POSTGRES and token.kind is TokenKind.STRING:
                if not token.text.startswith("$"):
                    continue
                edge = token.text.index("$", 1) + 1
                for one in tokens_of(token.text[edge:-edge], self.engine):
                    shift = token.start + edge
                    yield Token(one.kind, one.text, one.start + shift, one.end + shift)
            elif token.start > self.file.opening.start:
                yield token

    @property
    def parameter(self) -> str:
        """The name of the routine's parameter."""
        words = self.tokens if self.engine is EngineKind.MYSQL else self._head()
        return next(token.text for token in words if token.name and token.word != "IN")

    def _head(self) -> Sequence[Token]:
        tokens = self.file.statement.tokens
        return [token for token in tokens if token.start > self.file.opening.start]

    @cached_property
    def statements(self) -> tuple[tuple[Token, ...], ...]:
        """The body's statements, each without its semicolon."""
        found, begun = [], 0
        for index, token in enumerate(self.tokens):
            if token.text == ";":
                found.append(self.tokens[begun:index])
                begun = index + 1
        return tuple(found)

    @property
    def end(self) -> int:
        """Where the last statement of the body ends, its semicolon included."""
        last = [token for token in self.tokens if token.text == ";"][-1]
        # What ends the body is an END, which has no statements before it that return.
        return last.end

    def changes(self, verb: str) -> Iterator[Change]:
        """Yield every DELETE or UPDATE of the body."""
        for statement in self.statements:
            words = [token.word for token in statement]
            if verb in words and (found := self._change(verb, statement[words.index(verb) :])):
                yield found

    def lookups(self) -> Iterator[Span]:
        """Yield every SELECT … INTO, with its semicolon."""
        for statement in self.statements:
            words = [token.word for token in statement]
            if "SELECT" in words and "INTO" in words and "INSERT" not in words:
                first = statement[words.index("SELECT")]
                yield Span(first.start, statement[-1].end + 1)

    def _change(self, verb: str, tokens: Sequence[Token]) -> Change | None:
        words = [token.word for token in tokens]
        until = words.index("WHERE") if "WHERE" in words else len(tokens)
        head = tokens[1:until]
        assigned = None
        if verb == "UPDATE":
            if "SET" not in words:
                return None
            set_at = words.index("SET")
            head = tokens[1 : words.index("JOIN") if "JOIN" in words else set_at]
            value = tokens[set_at + 3 : until]
            assigned = (tokens[set_at + 1].name, Span(value[0].start, value[-1].end))
        else:
            head = [token for token in head if token.word != "FROM"]
        condition = tokens[until + 1 :]
        return Change(
            verb=verb,
            whole=Span(tokens[0].start, self._after(tokens[-1])),
            target=self.text[head[0].start : head[-1].end],
            table=head[-1].name,
            where=Span(tokens[until].start, tokens[-1].end) if condition else None,
            arms=tuple(self._arms(condition)) if condition else (),
            assigned=assigned,
        )

    def _after(self, last: Token) -> int:
        return self.text.index(";", last.end) + 1

    def _arms(self, condition: Sequence[Token]) -> Iterator[Arm]:
        """Yield comparisons that are joined by OR, where there is nothing but those."""
        groups: list[list[Token]] = [[]]
        joints: list[Token | None] = [None]
        for token in condition:
            if token.word == "OR":
                groups.append([])
                joints.append(token)
            else:
                groups[-1].append(token)
        for group, joint in zip(groups, joints, strict=True):
            signs = [token.text for token in group]
            if "=" not in signs:
                continue
            at = signs.index("=")
            yield Arm(
                span=Span(group[0].start, group[-1].end),
                joint=Span(joint.start, joint.end) if joint else None,
                column=self.text[group[0].start : group[at - 1].end],
                operand=self.text[group[at + 1].start : group[-1].end],
            )

    def replaced(self, *edits: tuple[Span, str]) -> str:
        """Return the FILE's text with spans replaced."""
        parts, position = [], 0
        for span, new in sorted(edits, key=lambda edit: edit[0].start):
            parts += [self.text[position : span.start], new]
            position = span.end
        return "".join([*parts, self.text[position:]])

    def literals(self, content: str) -> Iterator[Span]:
        """Yield every string of the body that holds `content`."""
        for one in self.tokens:
            if one.kind is TokenKind.STRING and content in one.text:
                yield Span(one.start, one.end)
