"""What can be made to go wrong, on demand and while the stand-in runs."""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """One thing that goes wrong for as long as it is among `StandIn.faults`.

    NO_COREAPP: collections cannot be started. TOKEN_EXPIRES: each token serves once.
    REFUSES_TOKEN_ALWAYS: a login succeeds, and its token is refused. HTML: a proxy's page for
    502; HTML_200: a page that pretends to be an answer. BAD_JSON: an answer cut short.
    WRONG_SHAPE: JSON of another shape. BUSY, OVERLOADED: refused with 1015, 1016. HANGS_UP: what
    was asked is done, and the connection closed without an answer. REDIRECT: sent elsewhere.
    SLOW: `StandIn.delay_s` go by before an answer, or until nobody waits for it; what
    was asked is done then. HUGE: an answer without an end.

    Of collections: NEVER_COMPLETES: rows come and go and no notification is sent. STALLS:
    accepted, and nothing happens. FAILS: each stops after its first batch. FAILS_ONCE: only the
    next one does. NODE_SILENT: the last Coreapp works, and does not tell. NODE_FAILS: the last
    Coreapp stops after its first batch.
    """

    NO_COREAPP = "no Coreapp"
    TOKEN_EXPIRES = "token expires"  # noqa: S105  # a fault's name
    REFUSES_TOKEN_ALWAYS = "refuses each token"  # noqa: S105  # a fault's name
    HTML = "HTML"
    HTML_200 = "HTML with status 200"
    BAD_JSON = "bad JSON"
    WRONG_SHAPE = "wrong shape"
    BUSY = "busy"
    OVERLOADED = "overloaded"
    HANGS_UP = "hangs up"
    REDIRECT = "redirect"
    SLOW = "slow"
    HUGE = "huge"
    NEVER_COMPLETES = "never completes"
    STALLS = "stalls"
    FAILS = "fails"
    FAILS_ONCE = "fails once"
    NODE_SILENT = "a node is silent"
    NODE_FAILS = "a node fails"
