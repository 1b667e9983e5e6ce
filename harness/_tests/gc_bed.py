"""Each case of `gc_cases`, done for real: a gate over a store set and a stand-in, and its judge."""

from __future__ import annotations

import re
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from harness import gate, manifest
from harness.config import RunConfig, WebappConfig
from harness.judge import judge
from harness.maintenance import gc_policy
from harness.maintenance.collecting import Collecting
from harness.maintenance.completion import ByStatistics, ByWebhook, Completion
from harness.maintenance.webapp_api import Webapp
from harness.maintenance.webhook import Receiver
from harness.model import (
    Collected,
    EngineKind,
    Garbage,
    Judgement,
    Record,
    Secret,
)
from harness.plugin.client_facts import client_facts
from harness.population.people import person
from harness.stores import StoreSet, connect, ddl
from harness.webapp import Fault, StandIn, StandInConfig, standing

from .gc_cases import ALONE, CASES, CERTIFICATES, SEVERAL, GcCase, Seen, Way, Where
from .webapp_bed import message

_GARBAGE_ROWS: Final = 6
_WRONG: Final = "not-its-Passw0rd"
_DEFAULT: Final = ("admin", "secret")
_TIMEOUT_S: Final = 20.0
_SLOW_S: Final = 0.3
_PATIENT_LOOKS: Final = 10
_VARYING: Final = re.compile(r"(; [^;]+ before and [^;]+ after)?; [0-9.]+ s$")
# Quick, and blind to how full this machine's disk is and how many rows tests have left dead.
POLICY: Final = replace(
    gc_policy.load(),
    look_every_s=0.05,
    rest_looks=3,
    least_s=0.1,
    batch_rows=2,
    dead_share_most=1.0,
    disk_free_share_least=0.0,
)


@dataclass(frozen=True)
class Acted:
    """What became of one case: its records, their judgement, and what none of them may hold."""

    case: GcCase
    engine: EngineKind
    nodes: int
    records: tuple[Record, ...]
    secrets: frozenset[str]

    @property
    def judgement(self) -> Judgement:
        """What the judge makes of it."""
        return judge(self.records)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings that decide, as the screen has them; without any, what was collected."""
        found = [f"{one.place}: {one.why}" for one in self.judgement.findings]
        facts = [fact for name, fact in client_facts(self.records) if name == "garbage"]
        # How long it took, and how far a failing one came, is another one each time.
        return tuple(found or [_VARYING.sub("", fact) for fact in facts])

    @property
    def leaks(self) -> list[str]:
        """Those of the secrets that can be seen in a record."""
        seen = repr(self.records)
        return sorted(secret for secret in self.secrets if secret in seen)

    @property
    def collected(self) -> Collected | None:
        """The account of the collection, where there was one."""
        return next((one for one in self.records if isinstance(one, Collected)), None)


def act_all(reached: Mapping[EngineKind, RunConfig]) -> list[Acted]:
    """Do every case on every engine, with one Coreapp and with several, all four side by side."""
    places = [(config, nodes) for nodes in (ALONE, SEVERAL) for config in reached.values()]
    with ThreadPoolExecutor(len(places)) as pool:
        by_place = list(pool.map(_act_at, places))
    # Case by case, and not place by place.
    return [acted for acts in zip(*by_place, strict=True) for acted in acts]


def _act_at(place: tuple[RunConfig, int]) -> list[Acted]:
    config, nodes = place
    described = manifest.load()
    own = replace(config, prefix=f"{config.prefix}{nodes}_")
    store_set = connect(own, [store.name for store in described.stores])
    store_set.create(ddl.committed(described, own.engine))
    try:
        with Bed(store_set, nodes) as bed:
            return [bed.act(case) for case in CASES]
    finally:
        store_set.drop()
        store_set.close()


@dataclass
class Bed:
    """Stores, stand-ins over them with so many Coreapps, and a receiver of notifications."""

    store_set: StoreSet
    nodes: int
    receiver: Receiver = field(default_factory=Receiver)
    _held: ExitStack = field(default_factory=ExitStack)
    _standing: dict[tuple[object, ...], StandIn] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._held.enter_context(self.receiver)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def act(self, case: GcCase) -> Acted:
        """Let one gate with a collection go through, with the fault there from the beginning."""
        records: list[Record] = []
        stand_in, config = self._stand_in(case.way), self.store_set.config
        self.store_set.execute("messageStore", "DELETE FROM messages")
        self.store_set.insert(
            message(serial, read_device_timestamp=1) for serial in range(_GARBAGE_ROWS)
        )
        reached = _reached(case.way, stand_in)
        is_slow = case.fault is Fault.SLOW
        # Trying again takes its time, and changes no sentence.
        with (
            Webapp(reached, timeout_s=_SLOW_S if is_slow else _TIMEOUT_S, attempts=1) as webapp,
            _faulty(stand_in, case),
        ):
            gate.look(self._gate(case, webapp), records.append)
        return Acted(case, config.engine, self.nodes, tuple(records), _secrets(reached, stand_in))

    def _gate(self, case: GcCase, webapp: Webapp) -> gate.Gate:
        policy = replace(POLICY, wait_s=case.wait_s)
        completion: Completion = ByWebhook(self.receiver)
        if case.seen is Seen.STATISTICS:
            never = case.fault is Fault.NEVER_COMPLETES
            completion = ByStatistics(
                webapp,
                every_s=policy.look_every_s,
                # A busy machine may pause for a while between two changes.
                stable_times=_PATIENT_LOOKS if never else policy.rest_looks,
                least_s=policy.least_s,
            )
        return gate.Gate(
            run="one",
            store_set=self.store_set,
            manifest=manifest.load(),
            engine=str(self.store_set.config.engine),
            policy=policy,
            collecting=Collecting(webapp, (Garbage.MESSAGES,), policy, completion),
            any_time=True,
        )

    def _stand_in(self, way: Way) -> StandIn:
        """Return the stand-in that a way leads to; several ways lead to the same one."""
        tls = CERTIFICATES.get(way)
        first_login = way in {Way.DEFAULT_PASSWORD, Way.FIRST_LOGIN}
        default = way is Way.DEFAULT_PASSWORD
        kind = (tls, first_login, default)
        if kind not in self._standing:
            made = StandInConfig(
                run_config=self.store_set.config,
                nodes=self.nodes,
                policy=POLICY,
                settings={"webhooks": {"url": self.receiver.url}},
                tls=tls,
                first_login=first_login,
            )
            if default:
                made = replace(made, username=_DEFAULT[0], password=_DEFAULT[1])
            self._standing[kind] = self._held.enter_context(standing(made))
        return self._standing[kind]


@contextmanager
def _faulty(stand_in: StandIn, case: GcCase) -> Iterator[None]:
    """Let a fault be there; afterwards nothing of it goes on."""
    stand_in.faults_on = "/gc" if case.where is Where.START else ""
    stand_in.delay_s = _TIMEOUT_S
    stand_in.faults = {case.fault} if case.fault else set()
    try:
        yield
    finally:
        stand_in.faults = set()
        stand_in.wait_idle()


def _reached(way: Way, stand_in: StandIn) -> WebappConfig:
    """Return the address and the credentials that an operator gives."""
    url, password = stand_in.url, stand_in.password
    ca: Path | None = stand_in.ca
    if way is Way.DOWN:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    if way is Way.NO_TLS:
        url = url.replace("http", "https")
    if way is Way.UNKNOWN_CA:
        ca = None
    if way is Way.WRONG_PASSWORD:
        password = _WRONG
    return WebappConfig(url, stand_in.username, Secret(password), ca)


def _secrets(reached: WebappConfig, stand_in: StandIn) -> frozenset[str]:
    """Return what may stand nowhere: credentials, tokens, the address, numbers, message ids."""
    password = reached.password.reveal()
    basic = b64encode(f"{reached.username}:{password}".encode()).decode()
    numbers = {person(index).number for index in range(_GARBAGE_ROWS)}
    tokens = set(stand_in.accounts._tokens)
    address = {reached.url, stand_in.url, reached.url.partition("://")[2]}
    return frozenset({password, basic, "message-", *numbers, *tokens, *address})
