"""What is new, gone and unchanged since an earlier session: two verdict documents compared.

A comparison informs and never decides: neither the verdict nor the exit status asks it.
What cannot be compared is said in a remark, so that silence never passes for sameness.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from harness.evidence.baseline import Reading
from harness.model import Finding, Verdict

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A finding, and whether it stands among the expected ones; `was` is an earlier count."""

    expected: bool
    finding: Finding
    was: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a session differs from an earlier one, on the engines where that can be said."""

    session: str
    verdict: Verdict
    compared: tuple[str, ...]
    new: tuple[Entry, ...]
    gone: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    unchanged: int
    remarks: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether any finding came, went or has another count."""
        return bool(self.new or self.gone or self.changed)


# --- comparing ------------------------------------------------------------------------------


def compare(then: Reading, now: Reading) -> Comparison:
    """Tell how a session differs from an earlier one.

    A finding is the same if all but its wording is; if its count differs too it was changed.
    """
    comparable = _comparable(then, now)
    before, after = _entries(then, comparable), _entries(now, comparable)
    # The closest first: the same place may be named several times, each for a reason of its own.
    worded, before, after = _paired(before, after, lambda one: (one.expected, one.finding))
    same, before, after = _paired(before, after, lambda one: (one.expected, one.finding.fact))
    recounted, before, after = _paired(before, after, lambda one: (_place(one), one.finding.why))
    others, gone, new = _paired(before, after, _place)
    changed = (
        Entry(late.expected, late.finding, was=early.finding.count)
        for early, late in (*recounted, *others)
    )
    return Comparison(
        session=then.session,
        verdict=then.verdict,
        compared=tuple(sorted(_compared(then, comparable))),
        new=tuple(sorted(new)),
        gone=tuple(sorted(gone)),
        changed=tuple(sorted(changed)),
        unchanged=len(worded) + len(same),
        remarks=tuple(remark for rule in REMARKS for remark in rule(then, now)),
    )


def _comparable(then: Reading, now: Reading) -> frozenset[tuple[str, bool]]:
    """Return engines, with False for their findings and True for the expected ones.

    What a session says about itself belongs to the engine without a name.
    """
    if then.mode != now.mode:
        return frozenset()
    same = {
        (engine, control)
        for engine in then.engines & now.engines
        for control in (False, True)
        if then.routines(engine, control=control) == now.routines(engine, control=control)
    }
    return frozenset(same | {("", False), ("", True)})


def _compared(then: Reading, comparable: frozenset[tuple[str, bool]]) -> set[str]:
    """Return the engines on which the same routine ran in both sessions, judged or as a control."""
    same = ((engine, list(then.on(engine, control=control))) for engine, control in comparable)
    return {engine for engine, runs in same if runs}


def _entries(told: Reading, comparable: frozenset[tuple[str, bool]]) -> list[Entry]:
    every = [Entry(expected=False, finding=finding) for finding in told.findings]
    every += [Entry(expected=True, finding=finding) for finding in told.expected]
    return [one for one in every if (one.finding.engine, one.expected) in comparable]


def _place(entry: Entry) -> Hashable:
    return entry.expected, entry.finding.fact[:-1]


def _paired(
    before: Iterable[T], after: Iterable[T], key: Callable[[T], Hashable]
) -> tuple[list[tuple[T, T]], list[T], list[T]]:
    """Pair what agrees in its key, one for one, and return the rest of both sides as well."""
    waiting: dict[Hashable, deque[T]] = defaultdict(deque)
    for one in before:
        waiting[key(one)].append(one)
    pairs, alone = [], []
    for one in after:
        if waiting[key(one)]:
            pairs.append((waiting[key(one)].popleft(), one))
        else:
            alone.append(one)
    return pairs, [one for queue in waiting.values() for one in queue], alone


# --- remarks --------------------------------------------------------------------------------


def _other_mode(then: Reading, now: Reading) -> Iterator[str]:
    """Disposable stores and real ones have nothing in common."""
    if then.mode != now.mode:
        yield f"not comparable: the baseline is of mode {then.mode}, this session of {now.mode}"


def _other_engines(then: Reading, now: Reading) -> Iterator[str]:
    """What ran in one session only is neither new nor gone."""
    for who, engines in (
        ("only the baseline", then.engines - now.engines),
        ("only this session", now.engines - then.engines),
    ):
        if engines:
            yield f"not comparable: {', '.join(sorted(engines))}, which {who} ran"


def _other_routines(then: Reading, now: Reading) -> Iterator[str]:
    """Findings are about a routine: another one's are other findings."""
    for control, role in ((False, "judged"), (True, "the control")):
        engines: dict[tuple[str, str], list[str]] = defaultdict(list)
        for engine in sorted(then.engines & now.engines):
            routines = (
                then.routines(engine, control=control),
                now.routines(engine, control=control),
            )
            engines[routines].append(engine)
        for (early, late), where in engines.items():
            if early != late:
                what = "expected findings on " if control else ""
                yield f"not comparable: {what}{', '.join(where)}: {role} was {early}, now {late}"


def _other_scope(then: Reading, now: Reading) -> Iterator[str]:
    """What was not searched cannot have been found."""
    if then.scope != now.scope:
        yield "compare with care: the baseline's scope was another one"


def _in_part(then: Reading, now: Reading) -> Iterator[str]:
    """A part of the scenarios shows a part of the findings."""
    parts = {(True, True): "both were", (True, False): "the baseline was"}
    parts |= {(False, True): "this session was"}
    if who := parts.get((then.partial is not None, now.partial is not None)):
        yield f"compare with care: {who} partial"


def _untold(then: Reading, now: Reading) -> Iterator[str]:
    """Where a session could not tell, a finding may be missing that is there."""
    for who, told in (("the baseline", then), ("this session", now)):
        if told.verdict is Verdict.UNKNOWN:
            yield f"compare with care: {who} is UNKNOWN, so not all was looked at"


def _other_harness(then: Reading, now: Reading) -> Iterator[str]:
    """Another version may look elsewhere, or seed other people."""
    if then.harness_version != now.harness_version:
        yield (
            f"compare with care: the harness was {then.harness_version}, now {now.harness_version}"
        )


def _other_servers(then: Reading, now: Reading) -> Iterator[str]:
    """One series of an engine has many releases."""
    for engine in sorted(then.engines & now.engines):
        early, late = (
            {run.engine_version for run in told.runs if run.engine == engine}
            for told in (then, now)
        )
        if early != late:
            versions = ", now ".join(" and ".join(sorted(one)) or "none" for one in (early, late))
            yield f"compare with care: {engine} was {versions}"


def _other_cases(then: Reading, now: Reading) -> Iterator[str]:
    """Counts add up over cases, so other cases make other counts."""
    for engine in sorted(then.engines & now.engines):
        roles = [control for one, control in _comparable(then, now) if one == engine]
        early, late = (
            Counter(
                (run.case, control) for control in roles for run in told.on(engine, control=control)
            )
            for told in (then, now)
        )
        if early != late:
            counts = f"{early.total()} runs, now {late.total()}"
            yield f"compare with care: the cases on {engine} were others ({counts})"


Remark = Callable[[Reading, Reading], Iterator[str]]
REMARKS: Final[tuple[Remark, ...]] = (
    _other_mode,
    _other_engines,
    _other_routines,
    _other_scope,
    _in_part,
    _untold,
    _other_harness,
    _other_servers,
    _other_cases,
)
