"""The two roots of everything the harness raises on purpose.

`TraceFoundError` means that the system under test kept or changed data: a verdict.
`HarnessError` means that we could not tell, or refused to start: never a verdict of
CLEAR. Messages name store, surface, expected and got with units, and the next step;
they never hold an identifier, a password or the content of a row.
"""

from __future__ import annotations

from collections.abc import Callable


class TraceFoundError(AssertionError):
    """The stores kept something of the subject, or someone else's data was changed."""


class HarnessError(Exception):
    """We could not tell: the verdict is UNKNOWN and the message says what to do next."""


class RefusalError(HarnessError):
    """The request is malformed or unsafe; nothing was touched and the session exits 4."""


class InvalidWaIdError(RefusalError):
    """The text given as a wa_id is not one; the text itself is never part of the message."""


class ConfigError(RefusalError):
    """A db.env file, an environment variable or an option cannot be used as it is."""


class HoldError(RefusalError):
    """The subject is under a legal hold."""


class PlanChangedError(RefusalError):
    """The located counts are no longer those that were rehearsed; nothing was changed."""


class GivenUpError(HarnessError):
    """The run was ended from outside before its commit, and rolled back."""


class BusyError(RefusalError):
    """Somebody else is erasing from the same store set; nothing was touched."""


class ManifestError(HarnessError):
    """The manifest contradicts itself or lacks something that the harness needs."""


class ServerError(HarnessError):
    """A disposable server could not be installed, started or kept alive."""


class StoreError(HarnessError):
    """A store refused a statement; the driver's text was stripped of row values.

    `code` is the server's own; `lacks` names the object that the server does not have, where
    that is why it refused; `said` returns the server's sentence, to be searched and never shown.
    """

    def __init__(
        self, message: str, *, code: str = "", lacks: str = "", said: Callable[[], str] = str
    ) -> None:
        super().__init__(message)
        self.code = code
        self.lacks = lacks
        self.said = said


class StoreUnreachableError(StoreError):
    """A store could not be reached, or the connection was lost half way."""


class ConflictError(StoreError):
    """Somebody else's change came between; the transaction is rolled back and may be retried."""


class UnsettledError(StoreError):
    """Prepared transactions still stand on the server: `--resume` finishes what was decided."""


class PlanError(HarnessError):
    """The plan cannot be carried out as located; every row was left, or put back, as it was."""


class MaskError(PlanError):
    """A mention cannot be masked without changing more than the identifier."""


class RoutineError(HarnessError):
    """A deletion routine could not be installed, called or removed."""


class SelfCommittingError(RoutineError):
    """A routine ends the transaction that it is called in; it was stopped, nothing was changed."""


class SurfaceError(HarnessError):
    """A log folder, a media volume or a file of theirs cannot be searched or changed."""


class WebappError(HarnessError):
    """The client's API answered with an error, or with something that is not its own.

    `code` is the API's own, 0 where it gave none. `started` tells whether what was asked for
    may have been begun all the same.
    """

    def __init__(self, message: str, *, code: int = 0, started: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.started = started


class WebappDeniedError(WebappError):
    """The client's API does not let anybody in with the credentials that were given."""


class WebappUnreachableError(WebappError):
    """The client's API could not be reached, or the connection was lost half way."""


class MaintenanceError(HarnessError):
    """Logs could not be rotated or cleaned up; the lines are there, the message has the way out."""


class EvidenceError(HarnessError):
    """The session's evidence could not be written, or failed its own search for secrets."""
