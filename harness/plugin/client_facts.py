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
            why = f": {one.why}" if one.why else ""
            yield "read", f"{rounded(one.marked, COUNTS)} messages marked read{left}{why}"
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
    state = "complete" if one.complete else "NOT known to be complete"
    if one.complete and not one.confirmed:
        state = "over as far as the client's own counts tell; its webhook's owner knows for sure"
    parts = [state]
    if one.deleted is not None:
        parts.append(f"{rounded(one.deleted, COUNTS)} deleted")
    elif one.rows_before is not None and one.rows_after is not None:
        before, after = rounded(one.rows_before, COUNTS), rounded(one.rows_after, COUNTS)
        parts.append(f"{before} before and {after} after")
    if one.times != 1:
        parts.append(f"begun {one.times} times" if one.times else "never begun")
    return f"{one.garbage.value}: {'; '.join((*parts, f'{one.duration_s:.1f} s'))}"
