"""Which mutants of the verifier there are: everything in it that can be switched off.

They are found in the source as it is today, so that a check added next month is switched off
too. A switch is thrown by giving the function the code of its mutant, which every importer
sees, and put back afterwards.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final
from unittest import mock

import harness
from harness._tests.mutants.controls import Span
from harness._tests.mutants.syntax import Finding, Operator, applied, findings, is_passable, members
from harness.model import EngineKind

_ROOT: Final = Path(harness.__file__).parent
MODULES: Final = (
    "judge.runs",
    "judge.coverage",
    "judge.rows",
    "judge.conduct",
    "judge.files",
    "judge.collection",
    "judge.gate",
    "judge.capacity",
    "judge.schema",
    "judge.judging",
    "maintenance.settings",
    "masks",
    "identity.matcher",
    "identity.packed",
    "identity.written",
    "identity.wrapped",
    "identity.escapes",
    "identity.kept",
    "surfaces.passages",
    "surfaces.codecs",
    "surfaces.walk",
    "surfaces.tar_format",
    "surfaces.zip_format",
    "surfaces.rewrite",
    "surfaces.in_place",
    "surfaces.exchange",
    "surfaces.leftovers",
    "surfaces.scrub",
    "surfaces.look",
    "surfaces.sweep",
    "surfaces.fileset",
    "surfaces.proof",
    "file_erasure",
    "canary",
    "journal",
    "witnesses",
    "live",
    "plan",
    "stores.sweep",
    "stores.recognition",
    "stores.fitting",
    "stores.exclusion",
    "stores.postgres_two_phase",
    "erasure",
    "proven_call",
    "run",
    "stores.mysql",
    "stores.postgres",
)
"""The modules that verify, those that need no server first."""
ONLY_ON: Final[Mapping[str, EngineKind]] = {
    "stores.mysql": EngineKind.MYSQL,
    "stores.postgres": EngineKind.POSTGRES,
}
_REACHED: Final = "how a server is reached and left; test_stores.py and test_servers.py"
_SEEDS: Final = "only the population comes in there, and is counted by the first sweep"
_ONCE: Final = "what is asked once and kept, which is a short cut"
_SENT: Final = "every statement goes through there, and nothing is decided; test_stores.py"
_NAMES: Final = "names for importers, on which no answer depends"
_OUTSIDE: Final = {
    "proven_call": {"__all__": _NAMES},
    "stores.mysql": {
        "_UNREACHABLE": _REACHED,
        "MySqlStoreSet.__init__": _REACHED,
        "MySqlStoreSet._connect": _REACHED,
        "MySqlStoreSet.close": _REACHED,
        "_tls_context": _REACHED,
        "MySqlStoreSet.databases": _ONCE,
        "MySqlStoreSet.tables": _ONCE,
        "MySqlStoreSet.create": _SEEDS,
        "MySqlStoreSet.drop": _SEEDS,
        "MySqlStoreSet.insert": _SEEDS,
        "MySqlStoreSet.load": _SEEDS,
        "MySqlStoreSet.clear": _SEEDS,
        "MySqlStoreSet._atomically": _SEEDS,
        "MySqlStoreSet.execute": _SENT,
        "MySqlStoreSet.query": _SENT,
        "MySqlStoreSet._run": _SENT,
        "MySqlStoreSet._rows": _SENT,
        "_packets": _SENT,
    },
    "stores.postgres": {
        "PostgresStoreSet.__init__": _REACHED,
        "PostgresStoreSet._connection": _REACHED,
        "PostgresStoreSet.close": _REACHED,
        "_tls_options": _REACHED,
        "PostgresStoreSet.databases": _ONCE,
        "PostgresStoreSet.tables": _ONCE,
        "PostgresStoreSet.create": _SEEDS,
        "PostgresStoreSet.drop": _SEEDS,
        "PostgresStoreSet.insert": _SEEDS,
        "PostgresStoreSet.load": _SEEDS,
        "PostgresStoreSet.clear": _SEEDS,
        "_Spring.read": _SEEDS,
        "_Spring.readline": _SEEDS,
        "PostgresStoreSet.execute": _SENT,
        "PostgresStoreSet.query": _SENT,
        "PostgresStoreSet._run": _SENT,
        "PostgresStoreSet._rows": _SENT,
    },
}
OUTSIDE: Final[Mapping[tuple[str, str], str]] = {
    (module, place): reason
    for module, places in _OUTSIDE.items()
    for place, reason in places.items()
}
"""What is in these modules and does not verify, with the reason."""
_SHOWS: Final = "__repr__"


@dataclass(frozen=True, slots=True, eq=False)
class Switch:
    """One mutant: `module` without the package, `place` a function or constant in it.

    `number` tells apart what stands several times in one place.
    """

    module: str
    place: str
    finding: Finding
    top: ast.stmt
    number: int = 1

    @property
    def operator(self) -> str:
        """What is done."""
        return self.finding.operator.value

    @property
    def where(self) -> str:
        """Where it is done: a name that stays when lines move."""
        again = f" ({self.number})" if self.number > 1 else ""
        return f"{self.module}:{self.place}: {self.finding.what}{again}"

    @property
    def key(self) -> tuple[Operator, str]:
        """What it is named by where it is excused."""
        return self.finding.operator, self.where

    def concerns(self, kind: EngineKind) -> bool:
        """Tell whether an engine runs it."""
        return ONLY_ON.get(self.module, kind) is kind

    @property
    def is_shelter(self) -> bool:
        """Whether it only matters where something goes wrong."""
        return self.finding.operator is Operator.SHELTER

    @property
    def spans(self) -> tuple[Span, ...]:
        """What a control must have run to notice: the place itself, or where a constant is read."""
        if isinstance(self.top, ast.Assign | ast.AnnAssign):
            return _readers(self.place)
        return (Span(_path(self.module), self.finding.first, self.finding.last),)

    @contextmanager
    def thrown(self) -> Iterator[None]:
        """Run the block with the mutant in place of the original."""
        module = _module(self.module)
        if isinstance(self.top, ast.Assign | ast.AnnAssign):
            with applied(self.finding.edits):
                value = _evaluated(module, self.top)
            with _constant_is(vars(module)[self.place], value):
                yield
            return
        function = _function(module, self.place)
        original = function.__code__
        with applied(self.finding.edits):
            made = _code(self.top, self.place, _path(self.module))
        function.__code__ = made
        try:
            yield
        finally:
            function.__code__ = original


def switches(modules: Sequence[str] = MODULES) -> Iterator[Switch]:
    """Yield every mutant of the modules, in the order of their source."""
    for module in modules:
        counted: Counter[tuple[str, str, str]] = Counter()
        for one in _switches_of(module):
            if (module, one.place) not in OUTSIDE:
                key = (one.place, one.operator, one.finding.what)
                counted[key] += 1
                yield replace(one, number=counted[key])


def unmatched() -> list[tuple[str, str]]:
    """Return what is said to be outside and is not there any more."""
    places = {(module, place) for module in MODULES for place in _places(module)}
    return [one for one in OUTSIDE if one not in places]


def _switches_of(module: str) -> Iterator[Switch]:
    for top in _tree(module).body:
        if isinstance(top, ast.FunctionDef):
            yield from _of_function(module, top.name, top, top)
        elif isinstance(top, ast.ClassDef):
            for inner in top.body:
                if isinstance(inner, ast.FunctionDef) and inner.name != _SHOWS:
                    yield from _of_function(module, f"{top.name}.{inner.name}", inner, top)
        elif isinstance(top, ast.Assign | ast.AnnAssign) and _name_of(top) in vars(_module(module)):
            assert top.value is not None
            for finding in members(_members_of(top.value)):
                yield Switch(module, _name_of(top), finding, top)


def _of_function(
    module: str, place: str, function: ast.FunctionDef, top: ast.stmt
) -> Iterator[Switch]:
    resolver = _Resolver(_module(module), place)
    for finding in findings(function, resolver.argument):
        yield Switch(module, place, finding, top)


def _places(module: str) -> Iterator[str]:
    for top in _tree(module).body:
        if isinstance(top, ast.FunctionDef):
            yield top.name
        elif isinstance(top, ast.ClassDef):
            yield from (f"{top.name}.{one.name}" for one in top.body if hasattr(one, "name"))
        elif isinstance(top, ast.Assign | ast.AnnAssign):
            yield _name_of(top)


def _name_of(constant: ast.Assign | ast.AnnAssign) -> str:
    target = constant.targets[0] if isinstance(constant, ast.Assign) else constant.target
    return ast.unparse(target)


def _members_of(value: ast.expr) -> ast.expr:
    """Return the display of a constant, also inside `frozenset(...)`."""
    return value.args[0] if isinstance(value, ast.Call) and len(value.args) == 1 else value


# --- modules, functions and their code ------------------------------------------------------


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"harness.{name}")


def _path(module: str) -> str:
    return str(_ROOT.joinpath(*module.split(".")).with_suffix(".py"))


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(_path(module)).read_text(encoding="utf-8"))


@cache
def _readers(constant: str) -> tuple[Span, ...]:
    """Return every place that names a constant."""
    return tuple(
        Span(_path(module), node.lineno, node.lineno)
        for module in MODULES
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Name) and node.id == constant and isinstance(node.ctx, ast.Load)
    )


def files() -> frozenset[str]:
    """Return the files of the modules that verify."""
    return frozenset(map(_path, MODULES))


def _function(module: ModuleType, place: str) -> FunctionType:
    """Return the function behind whatever a name is bound to: a property, a cache, a context."""
    found: Any = module
    for name in place.split("."):
        found = vars(found)[name]
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        inner = ("__wrapped__", "fget", "func", "__func__")
        found = next(getattr(found, name) for name in inner if hasattr(found, name))
    return found


def _code(top: ast.stmt, place: str, path: str) -> CodeType:
    """Compile one function of a module as it would be compiled with all of the module."""
    flags = sys.modules["__future__"].annotations.compiler_flag
    alone = ast.Module([top], [])
    code: CodeType = compile(alone, path, "exec", flags=flags, dont_inherit=True)
    for name in place.split("."):
        inner = (one for one in code.co_consts if isinstance(one, CodeType))
        code = next(one for one in inner if one.co_name == name)
    return code


def _evaluated(module: ModuleType, constant: ast.Assign | ast.AnnAssign) -> object:
    assert constant.value is not None
    expression = ast.Expression(constant.value)
    return eval(compile(expression, module.__file__ or "", "eval"), vars(module))  # noqa: S307  # our own source


@contextmanager
def _constant_is(old: object, new: object) -> Iterator[None]:
    """Replace a constant in every module of the harness that has it."""
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("harness.") and "_tests" not in name:
                for attribute in [one for one, value in vars(module).items() if value is old]:
                    stack.enter_context(mock.patch.object(module, attribute, new))
        yield


class _Resolver:
    """Knows which calls of a function return the same kind of thing as they are given."""

    def __init__(self, module: ModuleType, place: str) -> None:
        self._module = module
        self._owner = vars(module).get(place.split(".", maxsplit=1)[0]) if "." in place else None

    def argument(self, call: ast.Call) -> tuple[int, str] | None:
        """Return position and name of the argument that could stand for the call, if any."""
        function = self._called(call.func)
        if function is None:
            return None
        signature = inspect.signature(function)
        promised = str(signature.return_annotation)
        if not is_passable(promised):
            return None
        names = [name for name in signature.parameters if name != "self"]
        same = (n for n in names if str(signature.parameters[n].annotation) == promised)
        name = next(same, None)
        return (names.index(name), name) if name else None

    def _called(self, target: ast.expr) -> FunctionType | None:
        found: object = None
        if isinstance(target, ast.Name):
            found = vars(self._module).get(target.id)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            holder = self._owner if target.value.id == "self" else None
            holder = holder or vars(self._module).get(target.value.id)
            found = getattr(holder, target.attr, None)
        ours = isinstance(found, FunctionType) and found.__module__.startswith("harness")
        return found if ours and isinstance(found, FunctionType) else None
