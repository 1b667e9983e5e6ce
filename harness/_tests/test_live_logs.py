"""What the server's own logs keep of a live run, by a user who cannot switch them off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import harness.servers.mysql
import harness.servers.postgres
from harness import config
from harness.manifest import Manifest
from harness.model import EngineChoice, EngineKind
from harness.servers import EmbeddedServer, launch
from harness.stores import connect, ddl

from .live_bed import Bed, Desk
from .test_veil import BINARY_LOGGING, LOUD_POSTGRES, NUMBER, held

ROUTINES = Path(__file__).parent / "routines"
ERASER = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRIGGER")
CALLER = (*ERASER, "CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE", "CREATE TEMPORARY TABLES")


@pytest.fixture
def server(choice: EngineChoice, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    """A server of the test's own that keeps every statement, in every log it has."""
    loud = [one for one in harness.servers.mysql._SETTINGS if one != "skip-log-bin"]
    loud += [one.format("STATEMENT") for one in BINARY_LOGGING]
    loud += ["general-log=1", "general-log-file=heard.log"]
    monkeypatch.setattr(harness.servers.mysql, "_SETTINGS", loud)
    louder = [LOUD_POSTGRES.get(one, one) for one in harness.servers.postgres._SETTINGS]
    monkeypatch.setattr(harness.servers.postgres, "_SETTINGS", louder)
    started = launch(choice)
    try:
        started.wait_ready()
        yield started
    finally:
        started.stop()


@pytest.fixture
def bed(server: EmbeddedServer, described: Manifest, tmp_path: Path) -> Bed:
    """A store set with the showcase in it on that server."""
    reached = config.from_variables(server.environment, source="test")
    store_set = connect(reached, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, reached.engine))
    made = Bed(reached, store_set, Desk(tmp_path))
    made.seed()
    return made


def logs_of(server: EmbeddedServer) -> dict[str, Path]:
    """Return the logs that keep statements, by what a verdict calls them."""
    if (server.data / "heard.log").exists():
        return {"general log": server.data / "heard.log", "binary log": server.data / "binlog"}
    return {"server log": server.log}


def kept(path: Path) -> bytes:
    """Return all that a log holds, in however many files."""
    return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))


def since(server: EmbeddedServer, sizes: dict[str, int]) -> dict[str, bytes]:
    """Return what each log kept since it had that size."""
    return {name: kept(path)[sizes[name] :] for name, path in logs_of(server).items()}


def test_no_log_of_the_servers_holds_a_number_of_the_plans(
    server: EmbeddedServer, bed: Bed
) -> None:
    """A whole live run leaves nobody's number and no password in any log, and names those that heard it."""
    eraser = bed.account("eraser", *ERASER)
    sizes = {name: len(kept(path)) for name, path in logs_of(server).items()}
    done = bed.run(config=eraser)
    assert done.status == 0, done.shown
    after = since(server, sizes)
    for name, content in after.items():
        assert b"DELETE FROM" in content, name
        assert held(content) == [], name
        assert eraser.password.reveal().encode() not in content, name
    unsearched = " ".join(done.verdict["scope"]["not_searched"])
    assert all(name in unsearched for name in after)


def test_a_log_that_heard_a_call_is_named_as_not_clean(server: EmbeddedServer, bed: Bed) -> None:
    """A routine is called with the number: each log that keeps it makes the verdict UNKNOWN, by name."""
    caller = bed.account("caller", *CALLER) if bed.kind is EngineKind.MYSQL else _fdw_user(bed)
    sizes = {name: len(kept(path)) for name, path in logs_of(server).items()}
    routine = ROUTINES / f"reference_{bed.kind}.sql"
    done = bed.run(f"--routine={routine}", "--accept-non-atomic", config=caller)
    assert done.status == 10, done.shown
    assert done.verdict["rows"] == "committed", done.shown
    findings = [one for one in done.verdict["findings"] if one["kind"] == "surface"]
    named = " ".join(one["surface"] for one in findings)
    after = since(server, sizes)
    holding = [name for name, content in after.items() if NUMBER in content]
    assert holding
    assert all(name in named for name in holding)
    for name, content in after.items():
        assert caller.password.reveal().encode() not in content, name


def _fdw_user(bed: Bed) -> config.RunConfig:
    """Return a user of PostgreSQL's who may call, but not change what is logged."""
    caller = bed.account("caller", *ERASER)
    bed.sql("CREATE EXTENSION postgres_fdw", "contactStore")
    bed.sql("GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO caller", "contactStore")
    for store, database in bed.store_set.databases().items():
        bed.sql(f'GRANT CREATE ON DATABASE "{database}" TO caller', store)
    return caller
