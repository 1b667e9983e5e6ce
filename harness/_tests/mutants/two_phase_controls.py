"""Controls of one decision for several databases, on a server that is played."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from harness._tests.mutants.controls import Control, named
from harness.errors import PlanError, StoreError, StoreUnreachableError, UnsettledError
from harness.stores.postgres_two_phase import TwoPhase, names_of

DATABASES: Final = {"a": "db_a", "b": "db_b", "c": "db_c"}
NAMES: Final = {"a": "one", "b": "two", "c": "three"}
ALL: Final = tuple(NAMES.values())


def two_phase_controls() -> Iterator[Control]:
    """Yield the controls of prepared transactions."""
    for claim in CLAIMS:
        yield Control(f"two phases: {named(claim)}", claim)


@dataclass(slots=True)
class Server:
    """A server that prepares: `standing` by name, `done` in order; `refusals` by statement."""

    standing: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, ...]] = field(default_factory=list)
    refusals: dict[tuple[str, str], list[BaseException]] = field(default_factory=dict)
    room: int = 3

    def run(self, database: str, sql: str, parameters: Sequence[object]) -> int:
        """Prepare, commit or roll back, unless it is refused."""
        (name,) = map(str, parameters)
        verb = sql.partition(" ")[0]
        assert (
            sql
            == {
                "PREPARE": "PREPARE TRANSACTION %s",
                "COMMIT": "COMMIT PREPARED %s",
                "ROLLBACK": "ROLLBACK PREPARED %s",
            }[verb]
        )
        self.done.append((verb, database, name))
        if self.refusals.get((verb, name)):
            raise self.refusals[verb, name].pop(0)
        if verb == "PREPARE":
            self.standing[name] = database
        else:
            assert self.standing.pop(name) == database
        return 0

    def rows(self, database: str, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Tell what stands, or how much room there is."""
        assert database == "anywhere"
        if not parameters:
            return [(self.room,)]
        assert "pg_prepared_xacts" in sql
        self.done.append(("ask", *parameters[0]))
        if self.refusals.get(("ask", "")):
            raise self.refusals["ask", ""].pop(0)
        return [(name, self.standing[name]) for name in self.standing if name in parameters[0]]

    def renew(self, database: str) -> None:
        """Note that a session is new."""
        self.done.append(("renew", database))

    @property
    def two_phase(self) -> TwoPhase:
        """What prepares on it."""
        return TwoPhase(self.run, self.rows, self.renew, "anywhere")

    def did(self, verb: str) -> list[str]:
        """Return the last word of everything of one kind that was done."""
        return [one[-1] for one in self.done if one[0] == verb]


def _standing() -> Server:
    return Server({name: DATABASES[store] for store, name in NAMES.items()})


def _a_name_is_taken_by_the_server() -> None:
    """Names are a store's own, in order; a token that makes none is refused."""
    assert list(names_of("t-1", ["b", "a"]).items()) == [
        ("b", "waba_erasure_t-1_b"),
        ("a", "waba_erasure_t-1_a"),
    ]
    assert names_of("t", []) == {}
    longest = "x" * (199 - len("waba_erasure__a"))
    assert len(names_of(longest, ["a"])["a"]) == 199
    for token, stores in (
        ("", ["a"]),
        ("t t", ["a"]),
        ("t'", []),
        (longest + "x", ["a"]),
        (longest, ["a", "ab"]),
        (longest, ["\u00e4"]),
    ):
        with pytest.raises(PlanError):
            names_of(token, stores)


def _room_is_counted() -> None:
    """There is room for as many as the server still takes."""
    assert [Server().two_phase.has_room(count) for count in (1, 3, 4)] == [True, True, False]


def _all_are_prepared() -> None:
    """Each store's transaction is prepared in its database, in order."""
    server = Server()
    server.two_phase.prepare(DATABASES, NAMES)
    assert server.done == [("PREPARE", DATABASES[store], name) for store, name in NAMES.items()]


def _or_none_is() -> None:
    """Whatever keeps one from being prepared, sessions are given up and what stands is undone."""
    for error in (StoreError("no"), StoreUnreachableError("gone"), KeyboardInterrupt()):
        server = Server(refusals={("PREPARE", "two"): [error]})
        with pytest.raises(type(error)):
            server.two_phase.prepare(DATABASES, NAMES)
        assert server.did("PREPARE") == ["one", "two"]
        assert server.did("renew") == list(DATABASES.values())
        assert server.did("ROLLBACK") == ["one"]
        assert server.standing == {}


def _each_commit_is_told() -> None:
    """Commits are sent in order and told of one by one; one that fails is left to be finished."""
    server, told = _standing(), list[str]()
    server.two_phase.finish(DATABASES, NAMES, told.append)
    assert (server.did("COMMIT"), told) == (list(ALL), list(NAMES))
    server, told = _standing(), []
    server.refusals = {("COMMIT", "two"): [StoreError("no")]}
    with pytest.raises(UnsettledError, match="in b and after"):
        server.two_phase.finish(DATABASES, NAMES, told.append)
    assert told == ["a"]
    assert server.did("COMMIT") == ["one", "two"]


def _what_stands_is_finished() -> None:
    """Of names only those that stand are finished, in the order given, each in its database."""
    for commit, verb, other in ((True, "COMMIT", "ROLLBACK"), (False, "ROLLBACK", "COMMIT")):
        server = _standing()
        assert server.two_phase.settle(["three", "absent", "one"], commit=commit) == 2
        assert server.did(verb) == ["three", "one"]
        assert server.did(other) == []
        assert server.standing == {"two": "db_b"}
        assert server.two_phase.settle([], commit=commit) == 0
        for refused in (("ask", ""), (verb, "two")):
            server.refusals = {refused: [StoreError("no")]}
            wanted = "to be committed" if commit else "to be rolled back"
            with pytest.raises(UnsettledError, match=wanted):
                server.two_phase.settle(["two"], commit=commit)


def _nobody_is_asked_about_nothing() -> None:
    """Without names the server is not asked, and a lost session is replaced once."""
    server = _standing()
    assert server.two_phase.standing([]) == {}
    assert server.done == []
    server.refusals = {("ask", ""): [StoreUnreachableError("gone")]}
    assert server.two_phase.standing(["one", "absent"]) == {"one": "db_a"}
    assert server.did("renew") == ["anywhere"]
    server.refusals = {("ask", ""): [StoreUnreachableError("gone"), StoreUnreachableError("gone")]}
    with pytest.raises(StoreUnreachableError):
        server.two_phase.standing(["one"])


def _a_lost_session_is_no_lost_commit() -> None:
    """Where a session is lost a new one finishes what still stands, and nothing that does not."""
    server, told = _standing(), list[str]()
    server.refusals = {("COMMIT", "one"): [StoreUnreachableError("gone")]}
    server.two_phase.finish(DATABASES, {"a": "one"}, told.append)
    assert server.done == [
        ("COMMIT", "db_a", "one"),
        ("renew", "db_a"),
        ("ask", "one"),
        ("COMMIT", "db_a", "one"),
    ]
    assert told == ["a"]
    server, told = Server(), []
    server.refusals = {("COMMIT", "one"): [StoreUnreachableError("gone")]}
    server.two_phase.finish(DATABASES, {"a": "one"}, told.append)
    assert server.did("COMMIT") == ["one"]
    assert told == ["a"]


CLAIMS: Final[tuple[Callable[[], None], ...]] = (
    _a_name_is_taken_by_the_server,
    _room_is_counted,
    _all_are_prepared,
    _or_none_is,
    _each_commit_is_told,
    _what_stands_is_finished,
    _nobody_is_asked_about_nothing,
    _a_lost_session_is_no_lost_commit,
)
