"""A bed for commands that talk to the client's API: a store set, a stand-in over it, an operator."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from harness.maintenance import gc_policy
from harness.model import SeedRow
from harness.population.people import Person, person
from harness.webapp import Fault, StandIn, StandInConfig
from harness.webapp.standing import standing

from .live_bed import REPOSITORY, SCREEN_COLUMNS, SUBJECT, Bed, Done

PASSWORD: Final = "Quite-secret-webapp-77"  # of a stand-in
USERNAME: Final = "operator"
QUICK: Final = {"look_every_s": 0.1, "rest_looks": 2, "least_s": 0.3, "wait_s": 3}
_DAY_MS: Final = 24 * 60 * 60 * 1000


def policy_text(**values: float) -> str:
    """Return the site's limits with other values for some of them."""
    texts = []
    wanted = {**QUICK, **values}
    for line in gc_policy.FILE.read_text("utf-8").splitlines():
        name = line.partition(" = ")[0]
        given = f'{name} = {{ value = {wanted.get(name)}, known = "not-found" }}'
        texts.append(given if wanted.pop(name, None) is not None else line)
    assert not wanted, wanted
    return "".join(f"{text}\n" for text in texts)


@dataclass
class ClientBed:
    """A store set with a client over it, and who types commands about both."""

    bed: Bed
    stand_in: StandIn

    @property
    def around(self) -> Mapping[str, str]:
        """The credentials, in the environment."""
        return {"WA_WEB_USERNAME": USERNAME, "WA_WEB_PASSWORD": PASSWORD}

    def policy(self, **values: float) -> str:
        """Return the option that names limits that are quick to reach."""
        return f"--gc-policy={self.bed.desk.file('policy.toml', policy_text(**values))}"

    @property
    def url(self) -> str:
        """The option that names the client's API."""
        return f"--webapp-url={self.stand_in.url}"

    def gate(self, *arguments: str, **how: Any) -> Done:
        """Run `pytest --upgrade-gate` with the client's API, under quick limits."""
        policy = (
            () if any(one.startswith("--gc-policy=") for one in arguments) else (self.policy(),)
        )
        how.setdefault("around", self.around)
        config = how.pop("config", self.bed.config)
        url = (self.url,) if how.pop("api", True) else ()
        return self.bed.desk.run_gate(
            self.bed.desk.db_env(config), *url, *policy, *arguments, **how
        )

    def live(self, *arguments: str, people: Sequence[Person] = (SUBJECT,), **how: Any) -> Done:
        """Run `pytest --live` with the client's API, under quick limits."""
        policy = (
            () if any(one.startswith("--gc-policy=") for one in arguments) else (self.policy(),)
        )
        how.setdefault("around", self.around)
        return self.bed.run(self.url, *policy, *arguments, people=people, **how)

    def again(self, done: Done, **how: Any) -> Done:
        """Type the next command that a screen shows, as it stands there."""
        words = shlex.split(next_command(done))[1:]
        how.setdefault("around", self.around)
        shown = self.bed.desk.pytest(*words, **how)
        again = Done(shown.returncode, shown.stdout + shown.stderr, done.reports)
        assert not self.bed.desk.leaks(again)
        return again

    @contextmanager
    def fault(self, *faults: Fault) -> Iterator[None]:
        """Let something go wrong for a while."""
        self.stand_in.faults = set(faults)
        try:
            yield
        finally:
            self.stand_in.faults = set()
            self.stand_in.wait_idle()

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run a command that is not waited for; it is killed at the end if it still runs."""
        home = self.bed.desk.folder / "home"
        home.mkdir(exist_ok=True)
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("WA_", "PYTEST_"))}
        mine = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "COLUMNS": str(SCREEN_COLUMNS)}
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=REPOSITORY,
            env={**kept, **mine, **self.around},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def asked(self) -> int:
        """Count how often a collection was really started."""
        return sum(
            one.method == "PUT" and one.path.endswith("/gc") and one.status < 300
            for one in self.stand_in.requests
        )


def next_command(done: Done) -> str:
    """Return the next command, which stands in one piece on a line of its own."""
    commands = [one for one in done.shown.splitlines() if one.startswith("  pytest --")]
    assert commands, done.shown
    return commands[-1].strip()


def until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for something to be true."""
    end_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end_s, "it never came to be"
        time.sleep(0.02)


def sent(count: int, *, ago_s: float = 10, delivered: bool = False) -> list[SeedRow]:
    """Return outbound messages of late, to people who are not the subject."""
    at_ms = round((time.time() - ago_s) * 1000)
    return [
        SeedRow(
            "messageStore",
            "messages",
            {
                "key_remote_jid": person(300 + n % 50).jid,
                "key_from_me": 1,
                "key_id": f"sent-{n}",
                "timestamp": at_ms,
                "received_timestamp": at_ms,
                "receipt_device_timestamp": at_ms if delivered else None,
                "data": "Your order is on its way.",
            },
        )
        for n in range(count)
    ]


@contextmanager
def standing_over(bed: Bed, **how: Any) -> Iterator[StandIn]:
    """Let a stand-in with these tests' credentials stand over a store set."""
    config = StandInConfig(run_config=bed.config, username=USERNAME, password=PASSWORD)
    with standing(replace(config, **how)) as stand_in:
        yield stand_in


def history_of(done: Done) -> list[dict[str, Any]]:
    """Return every record of every run of a session, as plain documents."""
    return [
        json.loads(line)
        for path in sorted(done.session.glob("runs/*/history.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]


def folder_of(reports: Path) -> Path:
    """Return the only session's folder."""
    (only,) = (one for one in reports.iterdir() if not one.is_symlink())
    return only
