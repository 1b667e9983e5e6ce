"""History -> verdict with findings: a pure function, so that it can be asked again.

Each rule is a function from one run's records to findings; a run's judgement is what its
rules found, and a session's is what its runs' were. Only unexpected findings decide: a
*control* is a run that must fail in exactly the way the manifest predicts.

`runs` groups records and answers questions about a run; `coverage`, `rows` and `conduct` hold
the rules: was everything looked at, is everybody's data as it must be, does a stored routine
behave; `files` has those about logs, archives and media, `collection` those about garbage
collection. `gate`, `capacity` and `schema` are asked of an upgrade gate. `judging` asks them all.
"""

from harness.judge.judging import (
    EXAMINATION_RULES,
    GATE_RULES,
    RULES,
    judge,
    judge_run,
    unpredicted,
)
from harness.judge.runs import REMARK, Run, runs_of

__all__ = [
    "EXAMINATION_RULES",
    "GATE_RULES",
    "REMARK",
    "RULES",
    "Run",
    "judge",
    "judge_run",
    "runs_of",
    "unpredicted",
]
