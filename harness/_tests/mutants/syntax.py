"""What can be switched in a function's syntax: each operator, and where it applies.

An edit never takes a name or a `yield` away from a function, so that its code still fits
where it stood: a condition is asked and its answer ignored, a statement stays where nothing
reaches it.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

Function = ast.FunctionDef
Display = ast.Tuple | ast.List | ast.Set
_LEAST: Final = 2
_SKIPPED_FIELDS: Final = frozenset({"annotation", "returns", "decorator_list"})
_PLAIN: Final = frozenset({"int", "bool", "float", "str", "None"})


class Operator(StrEnum):
    """What is done to a mutant."""

    CHECK_OFF = "check switched off"
    ALWAYS = "condition always met"
    TERM = "term of a condition dropped"
    FILTER = "filter dropped"
    ELEMENT = "element dropped"
    STATEMENT = "statement dropped"
    ANSWER = "answer fixed"
    STEP = "step passed over"
    HANDLER = "handler dropped"
    SHELTER = "shelter dropped"


@dataclass(frozen=True, slots=True)
class Edit:
    """One node of a tree replaced by another, or put back."""

    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST | list[ast.expr]

    def apply(self) -> Edit:
        """Replace the node; return the edit that puts it back."""
        if self.index is None:
            old = getattr(self.parent, self.field)
            setattr(self.parent, self.field, self.new)
        else:
            nodes = getattr(self.parent, self.field)
            old = nodes[self.index]
            nodes[self.index] = self.new
        return Edit(self.parent, self.field, self.index, old)


@contextmanager
def applied(edits: Sequence[Edit]) -> Iterator[None]:
    """Apply edits to a tree while the block runs."""
    undo = [edit.apply() for edit in edits]
    try:
        yield
    finally:
        for edit in reversed(undo):
            edit.apply()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to switch: by which operator, what it is, and how.

    Only where one of the lines `first` to `last` was run can it make a difference.
    """

    operator: Operator
    what: str
    first: int
    last: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class _Spot:
    """A node and where it hangs."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None

    def becomes(self, new: ast.AST) -> tuple[Edit, ...]:
        ast.copy_location(new, self.node)
        return (Edit(self.parent, self.field, self.index, ast.fix_missing_locations(new)),)


# Returns the position and name of the argument that a call could be replaced by.
Resolve = Callable[[ast.Call], tuple[int, str] | None]


def findings(function: Function, resolve: Resolve) -> Iterator[Finding]:
    """Yield all that can be switched in a function."""
    for spot in _spots(function):
        yield from _decisions(spot)
        node = spot.node
        if isinstance(node, ast.Return):
            yield from _returned(function, node)
        elif isinstance(node, ast.Call):
            yield from _step(spot, resolve)
        elif isinstance(node, ast.Try):
            yield from _handlers(spot)
        elif isinstance(node, ast.With):
            yield from _shelters(spot)
        if isinstance(node, ast.stmt) and not _is_all_of_a_check(spot):
            yield from _statement(spot, function.name)


def _decisions(spot: _Spot) -> Iterator[Finding]:
    """Yield what can be switched where something is decided or gone through."""
    node = spot.node
    if isinstance(node, ast.If | ast.IfExp):
        yield from _conditions(node)
    elif isinstance(node, ast.BoolOp):
        yield from _terms(spot)
    elif isinstance(node, ast.Compare):
        yield from _terms(spot)
        yield from _compared(node)
    elif isinstance(node, ast.comprehension):
        yield from _filters(node)
        yield from _elements(node.iter, " of ")
    elif isinstance(node, ast.For):
        yield from _elements(node.iter, " of ")


def _spots(node: ast.AST) -> Iterator[_Spot]:
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED_FIELDS or isinstance(value, ast.arguments):
            continue
        values = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, child in values:
            if isinstance(child, ast.AST):
                yield _Spot(child, node, field, index)
                yield from _spots(child)


def text(node: ast.AST) -> str:
    """Return a node's source on one line, the same however it is laid out."""
    return " ".join(ast.unparse(node).split())


def _found(
    operator: Operator, what: str, lines: Iterable[ast.AST], edits: tuple[Edit, ...]
) -> Finding:
    nodes = list(lines)
    first = min(node.lineno for node in nodes)  # type: ignore[attr-defined]
    last = max(node.end_lineno for node in nodes)  # type: ignore[attr-defined]
    return Finding(operator, what, first, last, edits)


def _never(condition: ast.expr) -> ast.expr:
    return ast.BoolOp(ast.And(), [condition, ast.Constant(value=False)])


def _ever(condition: ast.expr) -> ast.expr:
    return ast.BoolOp(ast.Or(), [condition, ast.Constant(value=True)])


def _conditions(node: ast.If | ast.IfExp) -> Iterator[Finding]:
    what = text(node.test)
    spot = _Spot(node.test, node, "test", None)
    body = node.body if isinstance(node, ast.If) else [node.body]
    never = spot.becomes(_never(node.test))
    yield _found(Operator.CHECK_OFF, f"if {what}", body, never)
    if isinstance(node, ast.IfExp) or not _complains(node.body):
        yield _found(Operator.ALWAYS, f"if {what}", [node.test], spot.becomes(_ever(node.test)))


def _complains(body: list[ast.stmt]) -> bool:
    """Tell whether a branch ends in an error or a reason: always taken, nothing would work."""
    last = body[-1]
    if isinstance(last, ast.Return) and isinstance(last.value, ast.Constant):
        return bool(last.value.value)
    return isinstance(last, ast.Raise)


def _terms(spot: _Spot) -> Iterator[Finding]:
    """Yield a condition without each of its operands, or each link of a chain."""
    node = spot.node
    if isinstance(node, ast.BoolOp):
        operator, operands = node.op, node.values
    elif isinstance(node, ast.Compare) and len(node.ops) >= _LEAST:
        operator, operands = ast.And(), _links(node)
    else:
        return
    for index, operand in enumerate(operands):
        rest = [*operands[:index], *operands[index + 1 :]]
        edits = spot.becomes(ast.BoolOp(operator, rest) if len(rest) > 1 else copy.copy(rest[0]))
        what = f"{text(operand)} of {text(node)}"
        lines = _where_it_matters(spot, fewer=isinstance(operator, ast.Or))
        yield _found(Operator.TERM, what, lines, edits)


def _links(node: ast.Compare) -> list[ast.expr]:
    lefts = [node.left, *node.comparators]
    return [
        ast.copy_location(ast.Compare(left, [operator], [right]), node)
        for left, operator, right in zip(lefts, node.ops, node.comparators, strict=False)
    ]


def _where_it_matters(spot: _Spot, *, fewer: bool) -> list[ast.AST]:
    """Return what must have been run: with fewer reasons to go there, the branch itself."""
    if fewer and isinstance(spot.parent, ast.If) and spot.field == "test":
        return list(spot.parent.body)
    return [spot.node]


def _compared(node: ast.Compare) -> Iterator[Finding]:
    """Yield a comparison of tuples without each pair, and a membership without each member."""
    right = node.comparators[0]
    if isinstance(node.ops[0], ast.In | ast.NotIn):
        yield from _elements(right, " in ")
    elif isinstance(node.left, ast.Tuple) and isinstance(right, ast.Tuple):
        for index, pair in enumerate(zip(node.left.elts, right.elts, strict=False)):
            edits = (
                *_Spot(node.left, node, "left", None).becomes(_without(node.left, index)),
                *_Spot(right, node, "comparators", 0).becomes(_without(right, index)),
            )
            yield _found(Operator.ELEMENT, " and ".join(map(text, pair)), [node], edits)


def _without(display: Display, index: int) -> Display:
    made = copy.copy(display)
    made.elts = [*display.elts[:index], *display.elts[index + 1 :]]
    return made


def _elements(display: ast.expr, how: str) -> Iterator[Finding]:
    """Yield a tuple, list or set without each of its elements; the display itself is edited."""
    if isinstance(display, Display) and len(display.elts) >= _LEAST:
        for index, element in enumerate(display.elts):
            # The list of elements is a field like any other.
            edit = Edit(display, "elts", None, _without(display, index).elts)
            what = f"{text(element)}{how}{text(display)}"
            yield _found(Operator.ELEMENT, what, [display], (edit,))


def members(display: ast.expr) -> Iterator[Finding]:
    """Yield a constant's tuple, list or set without each of its elements, each by its name."""
    for one in _elements(display, " of "):
        yield replace(one, what=one.what.removesuffix(f" of {text(display)}"))


def _filters(node: ast.comprehension) -> Iterator[Finding]:
    for index, condition in enumerate(node.ifs):
        spot = _Spot(condition, node, "ifs", index)
        edits = spot.becomes(_ever(condition))
        yield _found(Operator.FILTER, f"if {text(condition)}", [condition], edits)


def _returned(function: Function, node: ast.Return) -> Iterator[Finding]:
    """Yield fixed answers of a predicate, and a returned key without each of its elements."""
    value, promised = node.value, text(function.returns) if function.returns else ""
    if value is None or isinstance(value, ast.Constant):
        return
    if promised == "bool":
        spot = _Spot(value, node, "value", None)
        for name, made in (("no", _never(value)), ("yes", _ever(value))):
            what = f"{name} for {text(value)}"
            yield _found(Operator.ANSWER, what, [node], spot.becomes(made))
    if promised.startswith("tuple[") and promised.endswith("...]"):
        yield from _elements(value, " of ")


def _step(spot: _Spot, resolve: Resolve) -> Iterator[Finding]:
    """Yield a call replaced by the argument that is of the kind that it returns."""
    call = spot.node
    assert isinstance(call, ast.Call)
    if (found := resolve(call)) is None:
        return
    position, name = found
    named = [keyword.value for keyword in call.keywords if keyword.arg == name]
    given = [*named, *call.args[position : position + 1]]
    if given and not isinstance(given[0], ast.Starred):
        edits = spot.becomes(copy.copy(given[0]))
        yield _found(Operator.STEP, text(call), [call], edits)


def is_passable(annotation: str) -> bool:
    """Tell whether what a step returns is told from other things by its type."""
    return annotation not in _PLAIN


def _handlers(spot: _Spot) -> Iterator[Finding]:
    node = spot.node
    assert isinstance(node, ast.Try)
    for index, handler in enumerate(node.handlers):
        rest = [*node.handlers[:index], *node.handlers[index + 1 :]]
        made: ast.stmt = ast.Try(node.body, rest, node.orelse, node.finalbody)
        if not rest and not node.finalbody:
            made = ast.If(ast.Constant(value=True), [*node.body, *node.orelse], [])
        what = f"except {text(handler.type)}" if handler.type else "except"
        yield _found(Operator.HANDLER, what, handler.body, spot.becomes(made))


def _shelters(spot: _Spot) -> Iterator[Finding]:
    """Yield a `with` without each of its contexts that is entered for its own sake."""
    node = spot.node
    assert isinstance(node, ast.With)
    for index, item in enumerate(node.items):
        if item.optional_vars is None:
            rest = [*node.items[:index], *node.items[index + 1 :]]
            made: ast.stmt = ast.With(rest, node.body)
            if not rest:
                made = ast.If(ast.Constant(value=True), node.body, [])
            what = f"with {text(item.context_expr)}"
            yield _found(Operator.SHELTER, what, [node], spot.becomes(made))


def _is_all_of_a_check(spot: _Spot) -> bool:
    """Tell whether a statement is all that a condition guards: dropped, the check is off."""
    parent = spot.parent
    guarded = isinstance(parent, ast.If) and spot.field == "body" and not parent.orelse
    return guarded and len(parent.body) == 1  # type: ignore[attr-defined]


def _statement(spot: _Spot, function: str) -> Iterator[Finding]:
    node = spot.node
    assert isinstance(node, ast.stmt)
    if _does_something(node, function):
        unreached = ast.If(ast.Constant(value=False), [node], [])
        yield _found(Operator.STATEMENT, text(node), [node], spot.becomes(unreached))


def _does_something(node: ast.stmt, function: str) -> bool:
    if isinstance(node, ast.Expr):
        # A bare `yield` only makes a context of a function.
        bare = isinstance(node.value, ast.Yield) and node.value.value is None
        return isinstance(node.value, ast.Call | ast.Yield | ast.YieldFrom) and not bare
    if isinstance(node, ast.Assign):
        # What makes an object is needed; what is kept in one later may be a step.
        kept = isinstance(node.targets[0], ast.Attribute | ast.Subscript)
        return kept and function not in {"__init__", "__post_init__"}
    return isinstance(node, ast.AugAssign)
