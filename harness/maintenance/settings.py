"""Whether the client's settings let its messages table be emptied: an audit, without any IO.

Each answer cites the fact that it rests on. What the vendor's guides do not say (which settings
a new installation begins with, from which version on a setting has its later name) is never
filled in: the settings that the client shows decide, and what they leave open is said to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from harness.errors import RefusalError
from harness.maintenance.policy import Known

PASS_THROUGH: Final = "pass_through"  # noqa: S105  # a setting's name
DATABASE_GC: Final = "db_garbagecollector_enable"
MESSAGES_GC: Final = "garbagecollector_enable.messages"
MEDIA_GC: Final = "garbagecollector_enable.media"
RESTART: Final = "restart"
API_DRIVEN_PER_S: Final = 120.0
_WRITTEN: Final = re.compile(r"v?((?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){1,3})", re.ASCII)
_PARTS: Final = 4


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version of the client; parts that are not written count as 0. `text` has no leading v."""

    parts: tuple[int, ...]
    text: str = field(compare=False, default="")

    def __str__(self) -> str:
        return f"v{self.text}"


def parse_version(text: str) -> Version:
    """Read a version such as ``2.29.1``, ``v2.29.1`` or ``2.35``.

    Raises:
        RefusalError: The text is not one; it is no part of the message.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise RefusalError(
            "A version of the client is two to four numbers with dots between them, such as "
            "2.29.1 or v2.35, and what was given is not: write it as the client's own answers do."
        )
    parts = tuple(int(part) for part in written[1].split("."))
    return Version(parts + (0,) * (_PARTS - len(parts)), written[1])


FLIPPED: Final = parse_version("2.29.1")
"""The version from which messages are kept unless something collects them."""
NO_RETURN: Final = parse_version("2.35")
"""The version from which pass_through cannot be switched on again."""


class Weight(StrEnum):
    """What an answer of the audit means: to be mended, not to be told, or good to know."""

    FAULT = "fault"
    UNTOLD = "untold"
    REMARK = "remark"


class SettingRule(StrEnum):
    """The facts that answers rest on, each in the words that are shown."""

    DEFAULT = "settings guide: before v2.29.1 pass_through is on unless set, from it on it is off"
    GROWS = "settings guide: from v2.29.1 on the messages table grows with pass_through off"
    EXISTS = "settings guide: automatic collection has a setting from v2.29.1 on"
    LATER_NAME = "settings guide: later versions call the setting garbagecollector_enable"
    AUTOMATIC = "the vendor's advice: automatic collection for most"
    API_DRIVEN = (
        "the vendor's advice: above 120 requests per second collection is driven through the API, "
        "every 24 h in a quiet period"
    )
    UPGRADE = (
        "settings guide: an upgrade to v2.29.1 sets db_garbagecollector_enable on where "
        "pass_through is on, and off where it is off"
    )
    NO_RETURN = "settings guide: pass_through cannot be switched on again from v2.35 on"
    MEDIA = "settings guide: garbagecollector_enable has a part for media"
    RESTART = "settings guide: a change of these settings needs a restart of the Coreapps"


@dataclass(frozen=True, slots=True)
class SettingFault:
    """What is wrong with a setting, and the way out; `rule` is the fact that it rests on.

    `known`: the sentence follows word for word from the fact, or is inferred from it.
    """

    setting: str
    why: str
    rule: SettingRule
    known: Known
    weight: Weight = Weight.FAULT


@dataclass(frozen=True, slots=True)
class _Client:
    """What is known of the client, with the questions that rules ask of it."""

    settings: Mapping[str, bool]
    version: Version
    to_version: Version | None
    sent_per_s: float | None
    api_driven_per_s: float
    collected_lately: bool

    @property
    def pass_through(self) -> bool:
        """Whether messages go on delivery or read; by default of the version if not shown."""
        return self.settings.get(PASS_THROUGH, self.version < FLIPPED)

    @property
    def key(self) -> str:
        """The setting that says whether messages are collected automatically."""
        return MESSAGES_GC if MESSAGES_GC in self.settings else DATABASE_GC

    @property
    def automatic(self) -> bool | None:
        """Whether messages are collected automatically; None if the client does not show it."""
        return self.settings.get(self.key, False if self.version < FLIPPED else None)

    @property
    def busy(self) -> bool | None:
        """Whether the traffic is above the limit for automatic collection; None if not known."""
        return None if self.sent_per_s is None else self.sent_per_s > self.api_driven_per_s

    def crosses(self, border: Version) -> bool:
        """Tell whether the upgrade goes over a version."""
        return self.to_version is not None and self.version < border <= self.to_version


def audit(  # noqa: PLR0913  # each is one thing that a rule asks, by its name
    settings: Mapping[str, bool],
    *,
    version: Version,
    to_version: Version | None = None,
    sent_per_s: float | None = None,
    changed_since_restart: bool | None = None,
    api_driven_per_s: float = API_DRIVEN_PER_S,
    collected_lately: bool = False,
) -> Iterator[SettingFault]:
    """Yield what is wrong with a client's settings, what cannot be told, and what to know.

    Args:
        settings: What the client shows, by dotted name; it may leave any of them out.
        version: The client's.
        to_version: The one that it is to be upgraded to, if any.
        sent_per_s: Outbound messages a second, which stand for its requests; None if not known.
        changed_since_restart: Whether a setting was changed since the Coreapps were started.
        api_driven_per_s: The rate above which collection is driven through the API.
        collected_lately: Whether a complete collection through the API is known, not longer ago
            than the interval for them.
    """
    client = _Client(settings, version, to_version, sent_per_s, api_driven_per_s, collected_lately)
    yield from _defaults(client)
    yield from _contradictions(client)
    yield from _removal(client)
    yield from _media(client)
    yield from _upgrade(client)
    yield from _restart(changed_since_restart=changed_since_restart)


def _fault(
    setting: str, rule: SettingRule, why: str, known: Known = Known.CONFIRMED
) -> SettingFault:
    return SettingFault(setting, why, rule, known)


def _remark(
    setting: str, rule: SettingRule, why: str, known: Known = Known.CONFIRMED
) -> SettingFault:
    return SettingFault(setting, why, rule, known, Weight.REMARK)


def _defaults(client: _Client) -> Iterator[SettingFault]:
    """Say which settings the client does not show, and what stands for them."""
    if PASS_THROUGH not in client.settings:
        state = "on" if client.pass_through else "off"
        why = f"not shown by the client: taken as {state}, the default of {client.version}"
        # What the default is, is stated; that this client has it is not.
        yield _remark(PASS_THROUGH, SettingRule.DEFAULT, why, Known.INFERRED)
    if client.automatic is None:
        why = (
            "not shown by the client, and no default is stated: whether messages are collected "
            "automatically cannot be told; set it explicitly and restart the Coreapps"
        )
        yield SettingFault(
            client.key, why, SettingRule.EXISTS, Known.INFERRED, weight=Weight.UNTOLD
        )


def _contradictions(client: _Client) -> Iterator[SettingFault]:
    """Say where settings contradict each other or the version."""
    shown = client.settings
    if client.version < FLIPPED:
        for key in (DATABASE_GC, MESSAGES_GC, MEDIA_GC):
            if key in shown:
                why = (
                    f"shown, though {client.version} does not have it: the version is not this "
                    "client's; give the one that it runs"
                )
                yield _fault(key, SettingRule.EXISTS, why, Known.INFERRED)
    if DATABASE_GC in shown and shown.get(MESSAGES_GC, shown[DATABASE_GC]) != shown[DATABASE_GC]:
        why = f"it contradicts {DATABASE_GC}, its earlier name: set both to the same"
        yield _fault(MESSAGES_GC, SettingRule.LATER_NAME, why, Known.INFERRED)


def _removal(client: _Client) -> Iterator[SettingFault]:
    """Say whether anything takes messages away, and whether it is what the traffic needs."""
    if client.automatic:
        yield from _automatic(client)
    elif client.automatic is False:
        yield from _not_automatic(client)
    if client.pass_through and client.version >= NO_RETURN:
        why = "on, and once switched off it stays off: leave it as it is"
        yield _remark(PASS_THROUGH, SettingRule.NO_RETURN, why)


def _automatic(client: _Client) -> Iterator[SettingFault]:
    limit = f"{client.api_driven_per_s:g} a second"
    if client.busy:
        why = (
            f"automatic collection is on, at more than {limit}: switch it off, restart the "
            "Coreapps, and collect through the API in a quiet period"
        )
        # What is measured is outbound messages, which stand for the requests of the advice.
        yield _fault(client.key, SettingRule.API_DRIVEN, why, Known.INFERRED)
    elif client.busy is None:
        why = f"automatic collection is on, which fits up to {limit}; the rate is not known"
        yield _remark(client.key, SettingRule.API_DRIVEN, why, Known.INFERRED)


def _not_automatic(client: _Client) -> Iterator[SettingFault]:
    switch_on = f"set {client.key} on and restart the Coreapps"
    if client.busy:
        if not client.pass_through:
            why = (
                "off, and nothing is collected automatically, as is right for this traffic: "
                "messages go only where collection is driven through the API, once a day"
            )
            yield _remark(PASS_THROUGH, SettingRule.API_DRIVEN, why, Known.INFERRED)
    elif not client.pass_through:
        if client.key not in client.settings:  # before v2.29.1 there is none
            switch_on = "set pass_through on and restart the Coreapps"
        known = Known.INFERRED if client.version < FLIPPED else Known.CONFIRMED
        yield _grows(client, switch_on, known)
    elif client.key in client.settings:
        why = (
            "automatic collection is off: messages that are neither delivered nor read "
            f"stay; {switch_on}"
        )
        if client.busy is None:
            why += ", unless collection is driven through the API; the rate is not known"
        # It is advice for most, and pass_through takes away what is delivered or read.
        yield _remark(client.key, SettingRule.AUTOMATIC, why, Known.INFERRED)


def _grows(client: _Client, switch_on: str, known: Known) -> SettingFault:
    """Return what nothing but a collection through the API keeps from growing."""
    off = "off, and nothing is collected automatically: messages go only where"
    if client.collected_lately:
        why = f"{off} collection is driven through the API, which was done lately: keep it up"
        return _remark(PASS_THROUGH, SettingRule.GROWS, why, known)
    why = (
        f"{off} collection is driven through the API, and none is known within its interval: "
        f"{switch_on}, or have garbage collected regularly (--run-gc)"
    )
    return _fault(PASS_THROUGH, SettingRule.GROWS, why, known)


def _media(client: _Client) -> Iterator[SettingFault]:
    if client.settings.get(MEDIA_GC) is False:
        why = (
            "media are not collected automatically: they stay unless somebody has them collected "
            "through the API, which this harness does not do (it collects messages only)"
        )
        yield _remark(MEDIA_GC, SettingRule.MEDIA, why, Known.INFERRED)


def _upgrade(client: _Client) -> Iterator[SettingFault]:
    """Say what will be set after the upgrade, and what is then to be done by hand."""
    if client.crosses(FLIPPED):
        if client.pass_through:
            why = f"it is off after the upgrade to {client.to_version}, unless it was set"
            yield _remark(PASS_THROUGH, SettingRule.DEFAULT, why, Known.INFERRED)
        yield _flipped(client)
    if client.crosses(NO_RETURN):
        why = f"off, and cannot be switched on again after the upgrade to {client.to_version}"
        if client.pass_through:
            why = f"after the upgrade to {client.to_version} it stays off once it is off"
        yield _remark(PASS_THROUGH, SettingRule.NO_RETURN, why)


def _flipped(client: _Client) -> SettingFault:
    """Return what the upgrade over v2.29.1 makes of automatic collection."""
    # What is stated is about an upgrade to just this version.
    known = Known.CONFIRMED if client.to_version == FLIPPED else Known.INFERRED
    after = f"after the upgrade to {client.to_version} automatic collection is"
    if client.pass_through:
        why = f"{after} on: nothing is to be done"
        if client.busy:
            why = f"{after} on: switch it off by hand for this traffic, and restart the Coreapps"
        return _remark(DATABASE_GC, SettingRule.UPGRADE, why, known)
    if client.busy:
        why = f"{after} off, as is right for this traffic: nothing is to be done"
        return _remark(DATABASE_GC, SettingRule.UPGRADE, why, known)
    why = (
        f"{after} off: set pass_through on before it, or switch automatic collection on by hand "
        "after it where pass_through had been on before"
    )
    if client.collected_lately:
        why = f"{after} off: go on to drive collection through the API, as was done lately"
        return _remark(DATABASE_GC, SettingRule.UPGRADE, why, known)
    return _fault(DATABASE_GC, SettingRule.UPGRADE, why, known)


def _restart(*, changed_since_restart: bool | None) -> Iterator[SettingFault]:
    if changed_since_restart:
        why = "a setting was changed, and is not in force yet: restart the Coreapps"
        yield _fault(RESTART, SettingRule.RESTART, why)
    elif changed_since_restart is None:
        why = "whether the Coreapps were restarted since the last change is not known"
        yield _remark(RESTART, SettingRule.RESTART, why)
