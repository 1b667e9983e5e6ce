"""What an earlier session's verdict.json says, read strictly: the baseline of a comparison.

The file comes from anywhere, so a refusal says what to do and nothing of what stood there.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cattrs import Converter

from harness.errors import ConfigError
from harness.evidence.session import SESSION_NAME, Mode
from harness.evidence.verdict import Scope
from harness.model import Finding, Verdict

if TYPE_CHECKING:
    from pathlib import Path

READABLE_VERSIONS: Final = (1, 2, 3, 4, 5)
_WITH_PLANS: Final = 3
_LARGEST_SIZE_BYTES: Final = 64 * 1024 * 1024
_GIVE: Final = "give the verdict.json that an earlier session wrote"


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run, as a verdict document tells it."""

    run: str
    case: str
    engine: str
    engine_version: str
    routine: str
    routine_digest: str
    control: bool
    subject: str
    at: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a verdict document says, as far as it is compared."""

    harness_version: str
    session: str
    mode: Mode
    verdict: Verdict
    scope: Scope
    partial: str | None
    findings: tuple[Finding, ...]
    expected: tuple[Finding, ...]
    runs: tuple[RunLine, ...]

    @property
    def engines(self) -> frozenset[str]:
        """The engines that the session ran on or has findings about."""
        found = {finding.engine for finding in (*self.findings, *self.expected)}
        return frozenset(found | {run.engine for run in self.runs}) - {""}

    def on(self, engine: str, *, control: bool) -> Iterator[RunLine]:
        """Yield the runs on an engine that were judged, or those that were controls."""
        return (run for run in self.runs if (run.engine, run.control) == (engine, control))

    def routines(self, engine: str, *, control: bool) -> str:
        """Name the routines of those runs; they are what a finding is about."""
        named = {run.routine for run in self.on(engine, control=control)}
        return " and ".join(sorted(named)) or "none"


def read_verdict(path: Path) -> Reading:
    """Return what an earlier session's verdict.json says.

    Raises:
        ConfigError: The file cannot be read, or is not a verdict document of a version that
            is known here. No part of its content is in the message.
    """
    document = _document(_content(path))
    version = document.get("version")
    if type(version) is not int:
        raise ConfigError(f"The file given with --baseline is no verdict document: {_GIVE}.")
    if version not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise ConfigError(
            "The verdict.json given with --baseline has a version other than those known here "
            f"({known}): compare it with the harness that wrote it, or leave --baseline away."
        )
    return reading_of(document)


def reading_of(document: dict[str, Any]) -> Reading:
    """Return what a verdict document says; strict, so that no change of its form goes unseen.

    Raises:
        ConfigError: A field is missing, or is not what the document's schema allows.
    """
    try:
        told = {name: document[name] for name in Reading.__dataclass_fields__}
        if document["version"] == 1:
            # It knew no routine FILEs.
            told["runs"] = [{"routine_digest": "", **run} for run in told["runs"]]
        if document["version"] >= _WITH_PLANS:
            # What was done to real stores is not compared.
            told["runs"] = [_without_plan(run) for run in told["runs"]]
        made = _CONVERTER.structure(told, Reading)
        # cattrs turns "5" into 5; written back, such a document differs.
        exact = _as_json(_CONVERTER.unstructure(made)) == _as_json(told)
    except Exception:  # noqa: BLE001  # whatever cattrs and json raise quotes the content
        exact = False
    if not exact or not SESSION_NAME.fullmatch(made.session) or _smallest_count(made) < 0:
        raise ConfigError(
            f"The verdict.json given with --baseline is not as a harness writes it: {_GIVE}."
        )
    return made


def _without_plan(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in {"plan", "changes"}}


def _content(path: Path) -> bytes:
    """Return the file's bytes; a pipe or a device could be endless, so only files are read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(
                "What --baseline names is not a file: name the verdict.json in a session's folder."
            )
        with path.open("rb") as stream:
            return stream.read(_LARGEST_SIZE_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"The file given with --baseline cannot be read ({error.strerror}): mend the path."
        ) from None


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content) if len(content) <= _LARGEST_SIZE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ConfigError(f"The file given with --baseline is no verdict document: {_GIVE}.")
    return document


def _as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)


def _smallest_count(made: Reading) -> int:
    return min((finding.count for finding in (*made.findings, *made.expected)), default=0)


_CONVERTER: Final = Converter(forbid_extra_keys=True, detailed_validation=False)
