"""The application's settings: their defaults by the client's version, and what needs a restart."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from harness.webapp.answers import INVALID, SUPERFLUOUS, Document, RefusedError

OBJECT_FROM: Final = "2.39.1"
"""From which version `garbagecollector_enable` is there: not found, a parameter of the stand-in."""
_SWITCH_FROM: Final = (2, 29, 1)
_NO_WAY_BACK_FROM: Final = (2, 35)
_PASS_THROUGH: Final = "pass_through"  # noqa: S105  # a setting's name
_SWITCH: Final = "db_garbagecollector_enable"
_OBJECT: Final = "garbagecollector_enable"
_AFTER_RESTART: Final = (_PASS_THROUGH, _SWITCH, _OBJECT)
# Settings that collections do not depend on, so that there is something to leave alone.
_OTHERS: Final[Mapping[str, Any]] = {
    "callback_persist": True,
    "sent_status": False,
    "callback_backoff_delay_ms": 3000,
    "max_callback_backoff_delay_ms": 900000,
    "webhooks": {"url": "", "max_concurrent_requests": 6},
}


def parse(version: str) -> tuple[int, ...]:
    """Return a version's numbers, so that they can be compared."""
    return tuple(int(part) for part in version.removeprefix("v").split("."))


class ApplicationSettings:
    """What GET, PATCH and DELETE of /v1/settings/application work on.

    Choices of this stand-in's, where nothing was found: on a new installation the automatic
    collector is on; from `object_from` on, `garbagecollector_enable` stands in place of
    `db_garbagecollector_enable`; a setting that the version does not know is refused with 1010,
    a value of another type, and `pass_through` from 2.35 on, with 1009.
    """

    def __init__(
        self, version: str, given: Mapping[str, Any], *, object_from: str = OBJECT_FROM
    ) -> None:
        self._object_from = parse(object_from)
        self._version = parse(version)
        self._collects = True
        self._given: Document = deepcopy(dict(given))
        self._effective = self.current

    @property
    def current(self) -> Document:
        """The settings as GET shows them."""
        return _merged(self._defaults(), self._given)

    @property
    def effective(self) -> Document:
        """The settings as the Coreapps work by them: those of the last restart."""
        return deepcopy(self._effective)

    @property
    def restart_pending(self) -> bool:
        """Whether a setting was changed that a restart has yet to put in force."""
        now = self.current
        return any(now.get(key) != self._effective.get(key) for key in _AFTER_RESTART)

    @property
    def webhook(self) -> str:
        """Where notifications go, at once and without a restart; empty if nowhere."""
        return str(self.current["webhooks"]["url"])

    @property
    def passes_through(self) -> bool:
        """Whether the Coreapps remove messages once they are delivered or read."""
        return bool(self._effective[_PASS_THROUGH])

    def collects(self, what: str) -> bool:
        """Tell whether the automatic collector is on, for ``messages`` or ``media``."""
        if _OBJECT in self._effective:
            return bool(self._effective[_OBJECT][what])
        return bool(self._effective.get(_SWITCH, False))

    def patch(self, document: object) -> None:
        """Change what a document names, and leave everything else alone.

        Raises:
            RefusedError: A setting or its value cannot be taken; nothing was changed.
        """
        if not isinstance(document, dict):
            raise RefusedError(INVALID, "The body is not a JSON object.")
        self._check(document, self._defaults(), "")
        if document.get(_PASS_THROUGH) and self._version >= _NO_WAY_BACK_FROM:
            raise RefusedError(INVALID, "pass_through cannot be enabled any more.")
        self._given = _merged(self._given, document)

    def reset(self) -> None:
        """Go back to the version's defaults."""
        self._given = {}

    def restart(self) -> None:
        """Put in force what was changed."""
        self._effective = self.current

    def upgrade(self, version: str) -> None:
        """Go to another version, as the rule for 2.29.1 has it.

        Who comes from before that with `pass_through` on has the automatic collector on
        afterwards, who comes with it off has it off.
        """
        before, self._version = self._version, parse(version)
        if before < _SWITCH_FROM <= self._version:
            self._collects = self.passes_through
        self.restart()

    def _defaults(self) -> Document:
        defaults: Document = deepcopy(dict(_OTHERS))
        defaults[_PASS_THROUGH] = self._version < _SWITCH_FROM
        if self._version >= max(self._object_from, _SWITCH_FROM):
            defaults[_OBJECT] = {"media": self._collects, "messages": self._collects}
        elif self._version >= _SWITCH_FROM:
            defaults[_SWITCH] = self._collects
        return defaults

    def _check(self, given: Document, known: Document, above: str) -> None:
        for key, value in given.items():
            if key not in known:
                raise RefusedError(SUPERFLUOUS, f"{above}{key} is not a setting.")
            if type(value) is not type(known[key]):
                raise RefusedError(INVALID, f"{above}{key} is of another type.")
            if isinstance(value, dict):
                self._check(value, known[key], f"{above}{key}.")


def _merged(below: Document, above: Mapping[str, Any]) -> Document:
    """Return a copy in which `above` replaces what it names, at any depth."""
    merged = deepcopy(below)
    for key, value in above.items():
        inner = merged.get(key)
        nested = isinstance(value, Mapping) and isinstance(inner, dict)
        merged[key] = _merged(inner, value) if nested and inner is not None else deepcopy(value)
    return merged
