"""What can go wrong with the client's API, in one sentence each, with the way out.

Source: the codes and their HTTP statuses are those that the client's documentation lists. What
the server says itself is never part of a sentence.
"""

from __future__ import annotations

from typing import Final

from harness.maintenance.webapp_connection import Loss

LOSSES: Final = {
    Loss.UNRESOLVED: "The name of the Webapp is not known here: mend the host in --webapp-url.",
    Loss.REFUSED: (
        "Nothing listens where the Webapp should be: start it, or mend host and port in "
        "--webapp-url."
    ),
    Loss.UNREACHABLE: (
        "The Webapp cannot be reached: check host and port in --webapp-url, and the way there."
    ),
    Loss.TIMED_OUT: (
        "The Webapp did not answer in full in time: look whether it is overloaded, and try again."
    ),
    Loss.HUNG_UP: (
        "The Webapp hung up before it had answered in full: look at its logs, and try again."
    ),
    Loss.TOO_LARGE: (
        "The Webapp's answer is larger than any of its API: check that --webapp-url leads to it."
    ),
    Loss.NOT_HTTP: (
        "What answers for the Webapp does not speak HTTP: check scheme and port in --webapp-url."
    ),
    Loss.NO_TLS: (
        "What answers for the Webapp does not speak TLS as it should: check scheme and port in "
        "--webapp-url."
    ),
    Loss.CERTIFICATE_EXPIRED: "The Webapp's certificate has expired: renew it.",
    Loss.CERTIFICATE_NOT_YET_VALID: (
        "The Webapp's certificate is not valid yet: check the clocks here and there."
    ),
    Loss.CERTIFICATE_OF_OTHER_HOST: (
        "The Webapp's certificate is for another host: give the name in --webapp-url that the "
        "certificate has."
    ),
    Loss.CERTIFICATE_OF_UNKNOWN_ISSUER: (
        "The Webapp's certificate is from an issuer that is not known here: give the issuer's "
        "certificate, or its own if it signs itself, with --webapp-ca."
    ),
    Loss.CERTIFICATE_REFUSED: (
        "The Webapp's certificate cannot be relied on: have it issued anew, with the host's name."
    ),
}

DENIED: Final = 1005
INTERNAL: Final = 1014
TOO_MANY: Final = 1015
OVERLOADED: Final = 1016
NOT_FOUND: Final = 1006
PARAMETER_MISSING: Final = 1008
TOKEN_REFUSED: Final = 1024
CODES: Final = {
    DENIED: (
        "The Webapp denies access (1005): give the credentials of an administrator, or look "
        "whether its version has expired."
    ),
    NOT_FOUND: "The Webapp does not have what it was asked for (1006): check its version.",
    PARAMETER_MISSING: (
        "The Webapp misses something in the request (1008): check that its version is supported."
    ),
    1009: (
        "The Webapp does not take a value in the request (1009): check that its version is "
        "supported."
    ),
    1010: (
        "The Webapp does not take everything in the request (1010): check that its version is "
        "supported."
    ),
    1011: "The client is not ready (1011): wait until it has started, and try again.",
    INTERNAL: "The client has an internal error (1014): look at the logs of its Coreapps.",
    TOO_MANY: "The Webapp has too many requests (1015): try again in a quiet period.",
    OVERLOADED: "The client is overloaded (1016): try again in a quiet period.",
    1023: "The client reports an error of its own (1023): look at the logs of its Coreapps.",
    TOKEN_REFUSED: "The Webapp does not accept the token (1024): look whether its clock is right.",
}
"""Each documented code; whoever gets one of these knows that nothing was begun."""

NO_COREAPP: Final = "No Coreapp answers the Webapp (1014): start the Coreapps, and try again."
WRONG_CREDENTIALS: Final = (
    "The Webapp does not accept the credentials: mend WA_WEB_USERNAME and WA_WEB_PASSWORD."
)
DEFAULT_IN_FORCE: Final = (
    "The Webapp wants its default password changed first, which the harness never does: log in "
    "once with a new password by yourself, and give it in WA_WEB_PASSWORD."
)
DENIED_AT_LOGIN: Final = (
    "The Webapp denies the login (1005): mend WA_WEB_USERNAME and WA_WEB_PASSWORD, or, where its "
    "default password is still in force, log in once with a new one by yourself."
)
NOT_LET_IN: Final = frozenset({WRONG_CREDENTIALS, DEFAULT_IN_FORCE, DENIED_AT_LOGIN})
EXPIRED_AT_ONCE: Final = (
    "The Webapp refused a token that it had given a moment before: look whether its clock is "
    "right, and whether several Webapps behind one address share their database."
)
NOT_JSON: Final = (
    "The Webapp's answer is not JSON: check that --webapp-url leads to it, and to nothing else."
)
HTML: Final = (
    "A page came instead of JSON, from a proxy perhaps: give the Webapp's own address in "
    "--webapp-url."
)
REDIRECT: Final = (
    "The Webapp's address leads elsewhere, and credentials do not follow it there: give the "
    "Webapp's own address in --webapp-url."
)
BUSY: Final = "The Webapp has too much to do (HTTP {status}): try again in a quiet period."
UNKNOWN_CODE: Final = (
    "The Webapp answered with an error that is not documented ({code}): look at its logs."
)
UNKNOWN_STATUS: Final = (
    "The Webapp answered with HTTP {status} and no error of its API: check that --webapp-url "
    "leads to it, and look at its logs."
)
SHAPE: Final = (
    "The Webapp's answer does not have the shape of its API ({what}): check that its version is "
    "supported."
)
