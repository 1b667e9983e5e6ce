"""The floor plan holds: imports point downward, and pytest and Allure stay where they belong."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the README's map, top to bottom; a module may import only what stands below it.
FLOORS = (
    "__main__",
    "plugin",
    "evidence",
    "preflight",
    "gate",
    "live",
    "examination",
    "run",
    "judge",
    "journal",
    "history",
    "file_erasure",
    "proven_call",
    "erasure",
    "plan",
    "witnesses",
    "routines",
    "webapp",
    "maintenance",
    "surfaces",
    "stores",
    "servers",
    "population",
    "canary",
    "masks",
    "identity",
    "redaction",
    "keys",
    "treatments",
    "manifest",
    "config",
    "clock",
    "model",
    "errors",
)
SOURCES = sorted(path for path in ROOT.rglob("*.py") if "_tests" not in path.parts)


def imported(source: str) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it they stand."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(dotted: str) -> str:
    """Return the top-level part of a name inside the package."""
    return dotted.split(".")[1] if "." in dotted else ""


def upward(path: Path, source: str) -> list[str]:
    """Return what a module imports from above its floor."""
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own == "__init__":
        return []
    names = (name for name in imported(source) if name.startswith("harness."))
    floors = (floor(name) for name in names)
    return [one for one in floors if one in FLOORS and FLOORS.index(one) < FLOORS.index(own)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_downward(path: Path) -> None:
    """No module imports one that stands above it."""
    assert upward(path, path.read_text(encoding="utf-8")) == []


def test_an_upward_import_is_seen() -> None:
    """The check above fails on a module that imports from above, also inside a function."""
    source = "def late():\n    from harness.judge import judge\n"
    assert upward(ROOT / "stores" / "planted.py", source) == ["judge"]


def test_every_floor_exists() -> None:
    """The list of floors is that of the folder, so that no new module escapes the check."""
    modules = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in SOURCES}
    assert modules - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("pytest", {"plugin"}),
        ("allure_commons", {"plugin", "evidence"}),
        ("hypothesis", {"population", "plugin"}),
    ],
)
def test_a_library_stays_at_home(library: str, homes: set[str]) -> None:
    """Pytest is imported in plugin only, Allure in plugin and evidence, Hypothesis in population."""
    users = {
        path.relative_to(ROOT).parts[0]
        for path in SOURCES
        if any(name.split(".")[0] == library for name in imported(path.read_text(encoding="utf-8")))
    }
    assert users <= homes
    assert users, "the library is not used at all"
