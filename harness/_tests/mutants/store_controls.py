"""Every control on real stores, and the tests that are controls as they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

import pytest

from harness._tests import test_plan, test_stores, test_sweep
from harness._tests.mutants.call_controls import call_controls
from harness._tests.mutants.commit_controls import commit_controls
from harness._tests.mutants.controls import Control, adopted
from harness._tests.mutants.engine_controls import engine_controls
from harness._tests.mutants.erasure_controls import erasure_controls
from harness._tests.mutants.fault_controls import fault_controls
from harness._tests.mutants.grounds import Ground
from harness._tests.mutants.routine_controls import routine_controls
from harness._tests.test_plan import SUBJECT
from harness.population.cases import showcase
from harness.population.rows import rows_of


def store_controls(ground: Ground) -> list[Control]:
    """Return every control on one engine."""
    return [
        *erasure_controls(ground),
        *fault_controls(ground),
        *routine_controls(ground),
        *call_controls(ground),
        *engine_controls(ground),
        *commit_controls(ground),
        *_tests(ground),
    ]


def _tests(ground: Ground) -> Iterator[Control]:
    for module, wanted in ADOPTED:
        for name, test, arguments in adopted(module, _fixtures(ground), LEFT_OUT):
            given = dict(arguments)
            here = given.pop("kind", ground.run_config.engine) is ground.run_config.engine
            if here and (not wanted or test.__name__ in wanted):
                yield Control(
                    name,
                    partial(_test, ground, test, given),
                    partial(_seeded, ground, test),
                    ground.renew,
                    rank=2,
                )


@contextmanager
def _seeded(ground: Ground, test: Callable[..., None]) -> Iterator[None]:
    with ground.fresh():
        if "seeded" in test.__code__.co_varnames:
            ground.store_set.insert(rows_of(showcase(SUBJECT)))
        yield


def _fixtures(ground: Ground) -> dict[str, Callable[[], object]]:
    return {
        "store_set": lambda: ground.store_set,
        "seeded": lambda: ground.store_set,
        "second": ground.connect,
        "described": lambda: ground.described,
        "choice": lambda: ground.choice,
        "run_config": lambda: ground.store_set.config,
        "monkeypatch": pytest.MonkeyPatch,
    }


def _test(ground: Ground, test: Any, arguments: dict[str, Any]) -> None:
    fixtures = _fixtures(ground)
    names = test.__code__.co_varnames[: test.__code__.co_argcount]
    given = arguments | {name: fixtures[name]() for name in names if name not in arguments}
    try:
        test(**given)
    finally:
        if "monkeypatch" in given:
            given["monkeypatch"].undo()


ADOPTED: Final[tuple[tuple[ModuleType, frozenset[str]], ...]] = (
    (test_stores, frozenset()),
    (
        test_sweep,
        frozenset(
            {
                "test_several_connections_see_what_one_sees",
                "test_parts_share_one_snapshot",
                "test_a_table_that_cannot_be_read_hides_no_other",
                "test_tables_of_one_name_in_two_schemas_are_two_tables",
                "test_a_table_outside_the_manifest_is_searched",
            }
        ),
    ),
    (
        test_plan,
        frozenset(
            {"test_rows_without_a_key_are_told_apart", "test_a_row_changed_meanwhile_is_a_conflict"}
        ),
    ),
)
"""Tests that are controls as they stand: all of a module where none is named."""
LEFT_OUT: Final = frozenset(
    {
        # Slow, and of what is left out of the mutants.
        "test_a_server_that_cannot_be_reached_is_one_sentence",
        # A mutant could keep it from cleaning up.
        "test_case_folded_databases_are_reached",
    }
)
