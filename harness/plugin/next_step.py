"""What to do after a live session: a sentence, and the next command as it is to be typed.

The command repeats the options that were given, so that it can be copied whole; numbers are
never part of it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.errors import PlanChangedError
from harness.judge import runs_of
from harness.model import Mode, PlanMade, Verdict
from harness.plugin import webapp_request
from harness.plugin.outcome import Concluded

if TYPE_CHECKING:
    from harness.plugin.live_stage import LiveStage

_SOMEBODY: Final = ("--wa-id-file=FILE",)
_ACTING: Final = frozenset(webapp_request.FLAGS.values())
_CLIENTS: Final = frozenset(webapp_request.VALUES.values())
_STORE_SETS_OF_AN_ERASURE: Final = 1


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do, and the command that does it, if one does."""

    sentence: str
    command: str = ""


def next_step(line: Concluded, stage: LiveStage) -> NextStep:
    """Return what an operator is to do next."""
    if stage.unfinished():
        return NextStep(
            "finish what was begun, before anything else:",
            _command(stage, f"--resume={os.path.relpath(stage.session.folder)}", named=False),
        )
    if isinstance(stage.refused, PlanChangedError):
        return NextStep("rehearse again, which prints the new plan:", _rehearsal(stage))
    if line.refusal:
        return NextStep("do what the sentence above says, then run the same command again")
    return _after[line.judgement.verdict](line, stage)


def _after_clear(line: Concluded, stage: LiveStage) -> NextStep:
    if stage.mode is Mode.PREFLIGHT:
        return NextStep("rehearse, which changes nothing:", _rehearsal(stage))
    if stage.mode is Mode.REHEARSE and line.judgement.held:
        plans = {
            one.digest
            for run in runs_of(stage.records())
            for one in run.all(PlanMade)
            if len(stage.request.subjects) == 1
        }
        given = [f"--plan={digest}" for digest in sorted(plans)]
        how = (
            ", if it is still as rehearsed" if given else ", without --plan: that is one subject's"
        )
        return NextStep(f"erase{how}:", _command(stage, *given))
    if stage.mode is Mode.LIVE:
        return NextStep("keep the evidence; to look again at any time:", _audit(stage))
    return NextStep("keep the evidence; it is no statement that anything was erased")


def _after_trace(line: Concluded, stage: LiveStage) -> NextStep:
    del line
    if stage.mode is Mode.REHEARSE:
        return NextStep("do not erase yet: every finding is in verdict.json, by column")
    if stage.mode is Mode.AUDIT:
        if len(stage.request.configs) > _STORE_SETS_OF_AN_ERASURE:
            return NextStep("erase them from the store set that the replicas copy, or from each")
        return NextStep("to erase them, rehearse first:", _rehearsal(stage))
    # Coreapps that are stopped collect nothing, and the Webapp has nobody to ask.
    sentence = "see verdict.json, stop the Coreapps, and erase again:"
    return NextStep(sentence, _command(stage, client=False))


def _after_unknown(line: Concluded, stage: LiveStage) -> NextStep:
    del line
    asked = stage.asked or stage.rows == "committed"
    if stage.mode is Mode.LIVE and asked and stage.uncollected:
        # Without --plan: of the plan that was asked for there is nothing left.
        sentence = "mend the cause named above, and have garbage collected by another run:"
        return NextStep(sentence, _command(stage))
    left = [one for one in stage.request.subjects if stage.began(one) is False]
    if left and stage.rows == "committed":
        return NextStep(
            "mend the cause named above and run the same command again: for those who are erased "
            "already it changes nothing"
        )
    return NextStep("mend the cause named above and run the same command again")


_after: Final = {
    Verdict.CLEAR: _after_clear,
    Verdict.TRACE: _after_trace,
    Verdict.UNKNOWN: _after_unknown,
}


def _rehearsal(stage: LiveStage) -> str:
    return _command(stage, "--rehearse")


def _audit(stage: LiveStage) -> str:
    return _command(stage, "--audit")


def _command(stage: LiveStage, *given: str, named: bool = True, client: bool = True) -> str:
    subjects = stage.request.named or _SOMEBODY
    left_away: tuple[str, ...] = ()
    if not client:
        left_away = (*_CLIENTS, *_ACTING)
    elif "--audit" in given:
        # It changes nothing, and refuses what would have the client change something.
        left_away = (*_ACTING,)
    lasting = (one for one in stage.request.lasting if one.partition("=")[0] not in left_away)
    return shlex.join(("pytest", "--live", *given, *lasting, *(subjects if named else ())))
