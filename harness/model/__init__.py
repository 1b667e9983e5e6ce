"""The nouns of the harness as frozen dataclasses: no IO, no engine, no pytest.

A `History` is a tuple of records. Merging histories is concatenating them, so merging is
associative, and a history streams as one JSON object a line (`harness.history`).
Every record names the run it belongs to; the judge groups by that name.
"""

from __future__ import annotations

from harness.model.collected import (
    ClientNode,
    ClientSeen,
    Collected,
    Garbage,
    GateOpened,
    LogsWeighed,
    LogWeight,
    MarkedRead,
    NodeCollection,
    NodeOutcome,
    TableWeight,
    Weighed,
)
from harness.model.erased import (
    CanaryFlown,
    Committing,
    Erased,
    LogHolds,
    PlanMade,
    Resumed,
    RolledBack,
    TableChange,
    Withheld,
    Witnessed,
)
from harness.model.filed import (
    FileGap,
    FilesObserved,
    FilesPlanted,
    FilesProven,
    FileTrace,
    MediaRemoved,
    Scrubbed,
)
from harness.model.nouns import (
    OTHER_SET,
    STOPPED,
    EngineChoice,
    EngineKind,
    Mode,
    Moment,
    Part,
    RowClass,
    Secret,
    Treatment,
)
from harness.model.rows import (
    Answer,
    ColumnSchema,
    Hazard,
    Located,
    MediaReference,
    MediaReferences,
    Reference,
    Replacement,
    SeedRow,
    TableSchema,
)
from harness.model.runs import (
    ClosureFrozen,
    Drifted,
    Failed,
    Observed,
    Planted,
    Predicted,
    RowsDiffer,
    RunClosed,
    RunOpened,
    TableState,
    Trace,
    Unsearched,
)
from harness.model.stored import (
    Called,
    CatalogChanged,
    LeftBehind,
    Probe,
    Probed,
    RoutineFailed,
    Step,
    Told,
)
from harness.model.verdicts import Finding, FindingKind, Judgement, Verdict

Record = (
    RunOpened
    | Planted
    | ClosureFrozen
    | Observed
    | RowsDiffer
    | Drifted
    | Called
    | RoutineFailed
    | Probed
    | Told
    | CatalogChanged
    | Erased
    | CanaryFlown
    | PlanMade
    | Withheld
    | Committing
    | Resumed
    | Witnessed
    | LogHolds
    | FilesPlanted
    | FilesObserved
    | FilesProven
    | Scrubbed
    | MediaRemoved
    | Collected
    | MarkedRead
    | ClientSeen
    | Weighed
    | LogsWeighed
    | GateOpened
    | RolledBack
    | LeftBehind
    | Predicted
    | Failed
    | RunClosed
)

History = tuple[Record, ...]


__all__ = [
    "OTHER_SET",
    "STOPPED",
    "Answer",
    "Called",
    "CanaryFlown",
    "CatalogChanged",
    "ClientNode",
    "ClientSeen",
    "ClosureFrozen",
    "Collected",
    "ColumnSchema",
    "Committing",
    "Drifted",
    "EngineChoice",
    "EngineKind",
    "Erased",
    "Failed",
    "FileGap",
    "FileTrace",
    "FilesObserved",
    "FilesPlanted",
    "FilesProven",
    "Finding",
    "FindingKind",
    "Garbage",
    "GateOpened",
    "Hazard",
    "History",
    "Judgement",
    "LeftBehind",
    "Located",
    "LogHolds",
    "LogWeight",
    "LogsWeighed",
    "MarkedRead",
    "MediaReference",
    "MediaReferences",
    "MediaRemoved",
    "Mode",
    "Moment",
    "NodeCollection",
    "NodeOutcome",
    "Observed",
    "Part",
    "PlanMade",
    "Planted",
    "Predicted",
    "Probe",
    "Probed",
    "Record",
    "Reference",
    "Replacement",
    "Resumed",
    "RolledBack",
    "RoutineFailed",
    "RowClass",
    "RowsDiffer",
    "RunClosed",
    "RunOpened",
    "Scrubbed",
    "Secret",
    "SeedRow",
    "Step",
    "TableChange",
    "TableSchema",
    "TableState",
    "TableWeight",
    "Told",
    "Trace",
    "Treatment",
    "Unsearched",
    "Verdict",
    "Weighed",
    "Withheld",
    "Witnessed",
]
