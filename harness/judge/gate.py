"""Rules about an upgrade gate: was everything looked at, and is the client set up for it.

`capacity` has the rules about how full the stores are. What is only good to know is a remark:
shown among what was expected, and never decisive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from harness.errors import RefusalError
from harness.judge import capacity
from harness.judge.runs import REMARK, Run
from harness.maintenance.settings import (
    SettingFault,
    Version,
    Weight,
    audit,
    parse_version,
)
from harness.model import (
    ClientNode,
    ClientSeen,
    Collected,
    Finding,
    FindingKind,
    Garbage,
    GateOpened,
    Moment,
    Record,
    RunClosed,
    RunOpened,
    Weighed,
)

_NEEDED: Final[tuple[tuple[str, type[Record]], ...]] = (
    ("what it was asked", GateOpened),
    ("the weight of its tables", Weighed),
    ("its last phase", RunClosed),
)
_BELONGS: Final = "does --webapp-url belong to this store set? Look which it is, and correct it"
_GAP_FACTOR: Final = 2
_COUNTED_GAP_ROWS: Final = 1_000
_ESTIMATED_GAP_ROWS: Final = 10_000
_NOT_IN_USE: Final = frozenset({"uninitialized", "unregistered", ""})


def whole(run: Run) -> Iterator[Finding]:
    """A gate that failed, stopped half way or left something out lets nobody through."""
    for failed in run.failures:
        why = f"{failed.error}: {failed.sentence}"
        yield run.finding(FindingKind.COVERAGE, why, surface=f"phase {failed.phase}")
    if not run.failures:
        for lacking in _lacking(run):
            why = f"the run is not whole: it lacks {lacking}"
            yield run.finding(FindingKind.COVERAGE, why, surface=f"run {run.opened.run}")


def _lacking(run: Run) -> Iterator[str]:
    if len(run.all(RunOpened)) != 1:
        yield "one beginning"
    for name, kind in _NEEDED:
        if not run.all(kind):
            yield name
    if any(gate.webapp for gate in run.all(GateOpened)) and not run.all(ClientSeen):
        yield "a look at the client through its API"
    # What was weighed before a collection says nothing about what is there now.
    order = [one for one in run.records if isinstance(one, Weighed) or _of_messages(one)]
    if order and not isinstance(order[-1], Weighed):
        yield "the weight of its tables after the garbage collection"


def _of_messages(record: Record) -> bool:
    return isinstance(record, Collected) and record.garbage is Garbage.MESSAGES


def version(run: Run) -> Iterator[Finding]:
    """The client's version must be known, the one that was given, and older than the goal."""
    for gate in run.all(GateOpened)[-1:]:
        said = _client_version(run)
        seen = _version(said)
        given = _version(gate.from_version)
        goal = _version(gate.to_version)
        now = seen or given
        if run.all(ClientSeen) and now is None:
            why = "it is not known, so its settings cannot be judged: give --from-version"
            yield run.finding(FindingKind.COVERAGE, why, surface="the client's version")
        if said and given and seen is None:
            why = (
                "it says one that cannot be read, so that --from-version cannot be compared with "
                "it: look in its own answers, and report this version as one that we lack"
            )
            yield run.finding(FindingKind.COVERAGE, why, surface="the client's version")
        if gate.to_version and goal is None:
            why = "the version to upgrade to is none: write --to-version such as 2.35"
            yield run.finding(FindingKind.COVERAGE, why, surface="--to-version")
        if seen and given and seen != given:
            why = f"the client says {seen}, and {given} was given: correct --from-version"
            yield run.finding(FindingKind.SETTINGS, why, surface="--from-version")
        if now and goal and goal < now:
            why = f"{goal} is older than {now}, which the client runs: correct --to-version"
            yield run.finding(FindingKind.SETTINGS, why, surface="--to-version")


def foreign(run: Run) -> Iterator[Finding]:
    """The client that was looked at must be the one whose stores were weighed."""
    for seen in run.all(ClientSeen)[-1:]:
        weighed = [one for one in run.all(Weighed) if one.moment is Moment.BEFORE]
        if why := unlike(seen, weighed[-1] if weighed else None, run.opened.engine):
            yield run.finding(FindingKind.COVERAGE, why, surface="--webapp-url")


def unlike(seen: ClientSeen, weighed: Weighed | None, engine: str) -> str:
    """Return why a client is probably not over a store set; empty where nothing tells so.

    Args:
        seen: The client, as its API shows it.
        weighed: The store set, weighed shortly before.
        engine: Its engine, with or without a version.
    """
    kind = engine.partition(":")[0]
    if seen.engine and seen.engine != kind:
        return f"the client's database is {seen.engine}, and the store set's {kind}: {_BELONGS}"
    table = capacity.messages_weighed(weighed) if weighed else None
    if table is None or seen.messages is None:
        return ""
    less, more = sorted((seen.messages, table.rows))
    # Messages come and go between both looks, and an estimate may be old.
    gap = _COUNTED_GAP_ROWS if table.exact else _ESTIMATED_GAP_ROWS
    if more - less <= gap or more <= _GAP_FACTOR * less:
        return ""
    said = capacity.figure(seen.messages)
    rows = f"{'' if table.exact else 'about '}{capacity.figure(table.rows)}"
    renew = "" if table.exact else ", and if it does, run ANALYZE on the messages table"
    return f"the client counts {said} messages, and the store set has {rows}: {_BELONGS}{renew}"


def settings(run: Run) -> Iterator[Finding]:
    """The client's settings must let its messages be collected, now and after the upgrade."""
    for one in _audited(run):
        if one.weight is not Weight.REMARK:
            untold = one.weight is Weight.UNTOLD
            kind = FindingKind.COVERAGE if untold else FindingKind.SETTINGS
            yield run.finding(kind, _cited(one), surface=f"setting {one.setting}")


def remarks(run: Run) -> Iterator[Finding]:
    """Yield what is good to know about the client and its stores: shown, never decisive."""
    yield from capacity.remarks(run)
    for one in _audited(run):
        if one.weight is Weight.REMARK:
            surface = f"setting {one.setting}"
            yield run.finding(FindingKind.SETTINGS, f"{REMARK}{_cited(one)}", surface=surface)
    for seen in run.all(ClientSeen)[-1:]:
        if why := _not_in_use(seen.nodes):
            yield run.finding(FindingKind.SETTINGS, f"{REMARK}{why}", surface="the client's nodes")


def _not_in_use(nodes: Sequence[ClientNode]) -> str:
    """Return what is to be asked about containers that are not in use; empty where all are.

    Of several Coreapps only one is connected: `disconnected` alone is no matter there.
    """
    if not nodes:
        return "its health names no node: are its Coreapps running?"
    told = [(one.name, one.gateway_status) for one in nodes]
    idle = [(name, status or "without a status") for name, status in told if status in _NOT_IN_USE]
    if len(nodes) == 1:
        return "".join(f"its only node is {one}: is it the one to be upgraded?" for _, one in idle)
    named = ", ".join(f"{name} is {status}" for name, status in idle)
    return f"{named}: are they part of what is to be upgraded?" if idle else ""


def _audited(run: Run) -> Iterator[SettingFault]:
    """Audit the newest settings that the client showed; nothing where its version is unknown."""
    gates, clients = run.all(GateOpened), run.all(ClientSeen)
    if not gates or not clients:
        return
    now = _version(_client_version(run)) or _version(gates[-1].from_version)
    if now is None:
        return
    weighed = run.all(Weighed)
    yield from audit(
        dict(clients[-1].settings),
        version=now,
        to_version=_version(gates[-1].to_version),
        sent_per_s=weighed[-1].sent_per_s if weighed else None,
        # The API does not tell when a Coreapp was started.
        changed_since_restart=None,
        api_driven_per_s=gates[-1].api_driven_rate_per_s,
        collected_lately=capacity.collected_lately(run),
    )


def _cited(one: SettingFault) -> str:
    return f"{one.why} [{one.known}; {one.rule}]"


def _client_version(run: Run) -> str:
    return next((seen.version for seen in reversed(run.all(ClientSeen)) if seen.version), "")


def _version(text: str) -> Version | None:
    """Read a version, without what may follow its numbers, such as -beta."""
    try:
        return parse_version(text.partition("-")[0])
    except RefusalError:
        return None
