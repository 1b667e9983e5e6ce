"""Mark inbound messages read, which lets the client collect more of them.

It changes what the senders and the business's own people see as read: so it is asked for
explicitly, apart from collecting. A message's id has a phone number inside it,
and is never told.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Final

from harness import clock
from harness.errors import WebappError
from harness.maintenance.completion import Check, pause
from harness.maintenance.webapp_api import Webapp
from harness.model import MarkedRead

REFUSALS_MOST: Final = 5
_COUNTED_BETWEEN_CHECKS: Final = 1000


def mark_read(  # noqa: PLR0913  # each is one thing to decide
    webapp: Webapp,
    run: str,
    ids: Iterable[str],
    *,
    most: int,
    per_s: float,
    check: Check,
    wait_s: float = math.inf,
) -> MarkedRead:
    """Mark messages read, at most so many in all and per second, one after the other.

    It ends after `wait_s` seconds at the latest, but for the request that is under way.

    It stops after several refusals in a row. What is left is counted, but not asked for; what
    `check` raises ends it at once.
    """
    at, begun = clock.now(), time.monotonic()
    marked = gone = refused = asked = row = 0
    why = ""
    waiting = iter(ids)
    while (
        asked < most
        and row < REFUSALS_MOST
        and time.monotonic() - begun < wait_s
        and (one := next(waiting, None)) is not None
    ):
        pause(begun + asked / per_s - time.monotonic(), check)
        asked += 1
        try:
            found = webapp.mark_read(one)
        except WebappError as error:
            refused, row = refused + 1, row + 1
            why = f"Stopped after {row} refusals in a row. {error}"
        else:
            row = 0
            marked, gone = marked + found, gone + (not found)
    left = 0
    for left, _ in enumerate(waiting, start=1):  # the last count is the result
        if left % _COUNTED_BETWEEN_CHECKS == 0:
            check()
    if row < REFUSALS_MOST:
        why = _rest(refused, left, most)
    return MarkedRead(
        run=run,
        at=at,
        duration_s=round(time.monotonic() - begun, 3),
        marked=marked,
        gone=gone,
        refused=refused,
        left=left,
        why=why,
    )


def _rest(refused: int, left: int, most: int) -> str:
    parts = []
    if refused:
        parts.append(f"{refused} messages were not taken by the client")
    if left:
        parts.append(f"{left} are left beyond the {most} that were to be asked for")
    return f"{', '.join(parts)}: run it again.".capitalize() if parts else ""
