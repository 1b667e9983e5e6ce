"""Ordinary tests of files that are controls as they stand: those that need no more than a folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from harness._tests import test_scrub, test_surfaces
from harness._tests.mutants.controls import Control, adopted
from harness._tests.mutants.file_bed import in_folder

_SLOW: Final = frozenset(
    {"test_a_worker_that_ends_is_a_gap_and_not_the_end", "test_a_worker_dies_with_its_parent"}
)
"""With processes of their own, which meet no mutant."""


def adopted_file_controls() -> Iterator[Control]:
    """Yield the tests of the search and the scrub."""
    for module in (test_surfaces, test_scrub):
        for name, test, arguments in adopted(module, {"tmp_path": Path}, _SLOW):
            if "heavy" not in name:
                yield Control(name, partial(in_folder, partial(_tested, test, arguments)), rank=2)


def _tested(test: FunctionType, arguments: dict[str, Any], folder: Path) -> None:
    needs = "tmp_path" in test.__code__.co_varnames[: test.__code__.co_argcount]
    test(**arguments, **({"tmp_path": folder} if needs else {}))
