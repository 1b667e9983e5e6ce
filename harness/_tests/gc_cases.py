"""Everything that may go wrong when a client is to collect garbage, and what must be said of it.

Verdicts and sentences are typed by hand. Each case is one upgrade gate with `--run-gc`, over real
stores and a stand-in with one Coreapp, and again with three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.model import Verdict
from harness.webapp import Certificate, Fault

CLEAR, UNKNOWN = Verdict.CLEAR, Verdict.UNKNOWN
ALONE, SEVERAL = 1, 3


class Seen(StrEnum):
    """How the end of a collection becomes known."""

    WEBHOOK = "webhook"
    STATISTICS = "statistics"


class Where(StrEnum):
    """Which answers of the Webapp a fault is in."""

    ALL = "every answer"
    START = "the start's answer"


class Way(StrEnum):
    """How the Webapp is reached, other than over plain HTTP with the right password."""

    PLAIN = ""
    DOWN = "nothing listens"
    WRONG_PASSWORD = "wrong password"  # a case's name
    DEFAULT_PASSWORD = "default password still in force, and given"
    FIRST_LOGIN = "default password still in force, another one given"
    NO_TLS = "https where plain HTTP is spoken"
    TRUSTED = "TLS, issuer given"
    UNKNOWN_CA = "TLS, issuer not given"
    OTHER_HOST = "certificate for another host"
    EXPIRED = "certificate that has expired"
    SELF_SIGNED = "certificate that signs itself"


CERTIFICATES: Final = {
    Way.TRUSTED: Certificate.GOOD,
    Way.UNKNOWN_CA: Certificate.GOOD,
    Way.OTHER_HOST: Certificate.OTHER_HOST,
    Way.EXPIRED: Certificate.EXPIRED,
    Way.SELF_SIGNED: Certificate.SELF_SIGNED,
}


@dataclass(frozen=True, slots=True)
class GcCase:
    """One fault, or none, in one place, with the end of the collection seen in one way.

    `said` is a part of the only sentence, `several` the one where three Coreapps have another.
    `wait_s` bounds the collection: short where the end never comes.
    """

    fault: Fault | None
    verdict: Verdict
    said: str
    seen: Seen = Seen.WEBHOOK
    where: Where | None = None
    way: Way = Way.PLAIN
    several: str = ""
    wait_s: float = 20.0

    def wanted(self, nodes: int) -> str:
        """Return what is said with so many Coreapps."""
        return self.several if nodes != ALONE and self.several else self.said

    def __str__(self) -> str:
        name = str(self.fault or self.way or "nothing is wrong")
        if self.fault and self.where:
            name = f"{name}, in {self.where}"
        return name


def _unreached(way: Way, said: str) -> GcCase:
    return GcCase(None, UNKNOWN, said, way=way)


def _answered(fault: Fault, said: str) -> GcCase:
    """Return the case of a fault that shows before anything is asked for."""
    return GcCase(fault, UNKNOWN, said, where=Where.ALL)


def _not_begun(fault: Fault, said: str) -> GcCase:
    return GcCase(fault, UNKNOWN, f"it was not begun. {said}", where=Where.START, wait_s=0.5)


def _doubted(fault: Fault, said: str) -> GcCase:
    """Return the case of a start whose answer does not tell whether it was taken; it was not."""
    doubt = f"it is not known to have ended. {said}"
    return GcCase(fault, UNKNOWN, doubt, where=Where.START, wait_s=0.5)


def _unanswered(fault: Fault, said: str) -> Iterator[GcCase]:
    """Yield the cases of a start that was taken and whose answer is lost.

    Notifications settle whether it has begun; statistics never do.
    """
    doubt = f"it is not known to have ended. {said}"
    yield GcCase(fault, CLEAR, COMPLETE, where=Where.START)
    yield GcCase(fault, UNKNOWN, doubt, Seen.STATISTICS, Where.START)


def _unsettled(fault: Fault) -> GcCase:
    """Return the case of what statistics cannot tell from a collection that went through."""
    return GcCase(fault, CLEAR, AT_REST, Seen.STATISTICS)


COMPLETE = "complete; 6 deleted"
AT_REST = "over as far as the client's own counts tell; its webhook's owner knows for sure"
_BUSY = "has too many requests (1015): try again in a quiet period."
_OVERLOADED = "is overloaded (1016): try again in a quiet period."
_PAGE = "A page came instead of JSON, from a proxy perhaps: give the Webapp's own address"
_NOT_JSON = "The Webapp's answer is not JSON: check that --webapp-url leads to it"
_SHAPE = "The Webapp's answer does not have the shape of its API"
_HUNG_UP = "The Webapp hung up before it had answered in full: look at its logs"
_ELSEWHERE = "The Webapp's address leads elsewhere, and credentials do not follow it there"
_LATE = "The Webapp did not answer in full in time: look whether it is overloaded"
_LARGE = "The Webapp's answer is larger than any of its API: check that --webapp-url leads to it"

_ONE_SILENT: Final = (
    "it is not known to have ended. The only Coreapp did not report in time: look at its log. "
    "Collect again with --run-gc."
)
_ALL_SILENT: Final = "3 of 3 Coreapps did not report in time: look at their logs. Silent: wacore1:"

CASES: Final = (
    GcCase(None, CLEAR, COMPLETE),
    GcCase(None, CLEAR, AT_REST, Seen.STATISTICS),
    GcCase(None, CLEAR, COMPLETE, way=Way.TRUSTED),
    # --- the way there
    _unreached(Way.DOWN, "Nothing listens where the Webapp should be: start it"),
    _unreached(Way.WRONG_PASSWORD, "mend WA_WEB_USERNAME and WA_WEB_PASSWORD."),
    _unreached(Way.DEFAULT_PASSWORD, "wants its default password changed first"),
    _unreached(Way.FIRST_LOGIN, "where its default password is still in force, log in once"),
    _unreached(Way.NO_TLS, "does not speak TLS as it should: check scheme and port"),
    _unreached(Way.UNKNOWN_CA, "from an issuer that is not known here: give the issuer's"),
    _unreached(Way.OTHER_HOST, "is for another host: give the name in --webapp-url"),
    _unreached(Way.EXPIRED, "The Webapp's certificate has expired: renew it."),
    _unreached(Way.SELF_SIGNED, "from an issuer that is not known here: give the issuer's"),
    # --- tokens
    GcCase(Fault.TOKEN_EXPIRES, CLEAR, COMPLETE, where=Where.ALL),
    _answered(Fault.REFUSES_TOKEN_ALWAYS, "refused a token that it had given a moment before"),
    # --- answers
    _answered(Fault.HTML, _PAGE),
    _doubted(Fault.HTML, _PAGE),
    _answered(Fault.HTML_200, _PAGE),
    _doubted(Fault.HTML_200, _PAGE),
    _answered(Fault.BAD_JSON, _NOT_JSON),
    _doubted(Fault.BAD_JSON, _NOT_JSON),
    _answered(Fault.WRONG_SHAPE, _SHAPE),
    _doubted(Fault.WRONG_SHAPE, _SHAPE),
    _answered(Fault.BUSY, _BUSY),
    _not_begun(Fault.BUSY, f"The Webapp {_BUSY}"),
    _answered(Fault.OVERLOADED, _OVERLOADED),
    _not_begun(Fault.OVERLOADED, f"The client {_OVERLOADED}"),
    _answered(Fault.HANGS_UP, _HUNG_UP),
    *_unanswered(Fault.HANGS_UP, _HUNG_UP),
    _answered(Fault.REDIRECT, _ELSEWHERE),
    _not_begun(Fault.REDIRECT, _ELSEWHERE),
    _answered(Fault.SLOW, _LATE),
    *_unanswered(Fault.SLOW, _LATE),
    _answered(Fault.HUGE, _LARGE),
    _doubted(Fault.HUGE, _LARGE),
    # --- collections
    _not_begun(Fault.NO_COREAPP, "No Coreapp answers the Webapp (1014): start the Coreapps"),
    GcCase(
        Fault.NEVER_COMPLETES,
        UNKNOWN,
        _ONE_SILENT,
        several=_ALL_SILENT,
        wait_s=0.5,
    ),
    GcCase(
        Fault.NEVER_COMPLETES,
        UNKNOWN,
        "counts of messages and receipts did not come to rest in time: allow it more",
        Seen.STATISTICS,
        wait_s=1.0,
    ),
    GcCase(
        Fault.STALLS,
        UNKNOWN,
        _ONE_SILENT,
        several=_ALL_SILENT,
        wait_s=0.5,
    ),
    _unsettled(Fault.STALLS),
    GcCase(
        Fault.FAILS,
        UNKNOWN,
        "it failed. The only Coreapp reported a failure: look at its log. Failed: the only "
        "Coreapp (1014). Collect again with --run-gc.",
        several="it failed. 3 of 3 Coreapps reported a failure: look at their logs. Failed: wacore1:",
    ),
    _unsettled(Fault.FAILS),
    GcCase(
        Fault.FAILS_ONCE,
        UNKNOWN,
        "it failed. The only Coreapp reported a failure: look at its log.",
        several="it failed. 3 of 3 Coreapps reported a failure: look at their logs.",
    ),
    _unsettled(Fault.FAILS_ONCE),
    GcCase(
        Fault.NODE_SILENT,
        UNKNOWN,
        _ONE_SILENT,
        several="1 of 3 Coreapps did not report in time: look at their logs. Silent: wacore3:",
        wait_s=1.5,
    ),
    _unsettled(Fault.NODE_SILENT),
    GcCase(
        Fault.NODE_FAILS,
        UNKNOWN,
        "it failed. The only Coreapp reported a failure: look at its log.",
        several="it failed. 1 of 3 Coreapps reported a failure: look at their logs. Failed: wacore3:",
    ),
    _unsettled(Fault.NODE_FAILS),
)
