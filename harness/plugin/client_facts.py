"""What a session saw of the client and had it do, as lines of the last screen."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model import ClientSeen, Collected, History, MarkedRead
from harness.plugin.figures import COUNTS, rounded


def client_facts(records: History) -> Iterator[tuple[str, str]]:
    """Yield a name and a fact for each line: the client, its settings, what it collected."""
    for seen in [one for one in records if isinstance(one, ClientSeen)][-1:]:
        yield "client", _client(seen)
        if seen.settings:
            told = ", ".join(f"{name} {'on' if on else 'off'}" for name, on in seen.settings)
            yield "settings", told
    for one in records:
        if isinstance(one, MarkedRead):
            left = f", {rounded(one.left, COUNTS)} not" if one.left else ""
            yield "read", f"{rounded(one.marked, COUNTS)} messages marked read{left}"
        elif isinstance(one, Collected):
            yield "garbage", _collected(one)


def _client(seen: ClientSeen) -> str:
    parts = [seen.version or "no version told"]
    parts.append("1 container" if len(seen.nodes) == 1 else f"{len(seen.nodes)} containers")
    for count, what in (
        (seen.pending_callbacks, "callbacks"),
        (seen.pending_messages, "messages"),
    ):
        if count is not None:
            parts.append(f"{rounded(count, COUNTS)} {what} pending")
    return ", ".join(parts)


def _collected(one: Collected) -> str:
    deleted = "" if one.deleted is None else f", {rounded(one.deleted, COUNTS)} deleted"
    times = "" if one.times == 1 else f", asked {one.times} times"
    state = "complete" if one.complete else "NOT complete"
    if one.complete and not one.confirmed:
        state = (
            "over as far as the client's statistics tell, not confirmed: ask its webhook's owner"
        )
    return f"{one.garbage.value}: {state}{deleted}{times}, {one.duration_s:.0f} s"
