"""The goals of cecore: the rows of `GOALS`, and a verdict on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .cells import DTYPES, SIZE
from .results import FORMULA, LEVELS, OURS, Record, Run

FEW, MANY, MOST = (2, 3, 10, 32), (100, 1000), (50_257,)
Limits = float | tuple[float, float]  # two numbers are the limits for AVX2 and for AVX-512


@dataclass(frozen=True)
class Goal:
    """A goal for one cell on one thread.

    cecore must be at least `faster` times as fast as the fastest peer. Its time must be at most `bandwidth` times the
    time of the bandwidth baseline.
    """

    cell: str
    dtype: str
    faster: Limits
    bandwidth: Limits | None = None
    rivals: tuple[str, ...] = ()  # compare with these peers instead of all


def _goals() -> Iterator[Goal]:
    yield Goal("bce forward, hard", "float64", 10, (1.6, 1.25))
    yield Goal("bce forward, hard", "float32", 6, (2.5, 2))
    yield Goal("bce forward, int8", "float64", 8)
    yield Goal("bce forward, int8", "float32", 6)
    yield Goal("bce backward, hard, out=", "float64", 5, (1.3, 1.15))
    yield Goal("bce backward, hard, out=", "float32", 5)
    yield Goal("bce forward_backward, hard, out=", "float64", 12, (1.6, 1.3))
    yield Goal("bce forward_backward, hard, out=", "float32", 8)
    for cell in ("bce forward, soft", "bce none, hard, out="):
        yield Goal(cell, "float64", (2.5, 4))
        yield Goal(cell, "float32", 2)
    yield Goal("bce logits forward_backward, hard, out=", "float64", 8)
    yield Goal("bce logits forward_backward, hard, out=", "float32", 6)
    yield Goal("bce logits gradient_hessian, hard, out=", "float64", (2, 3), rivals=("scikit-learn",))
    yield Goal("bce logits gradient_hessian, hard, out=", "float32", 4, rivals=("scikit-learn",))
    limits = [(FEW, (1.6, 2), (1.6, 2)), (MANY, (2, 2.5), (1.3, 1.8)), (MOST, (1.8, 2.5), (1.8, 2))]
    for classes, *by_dtype in limits:
        for count in classes:
            for dtype, limit in zip(DTYPES, by_dtype, strict=True):
                yield Goal(f"ce logits forward_backward, {count:,} classes, out=", dtype, limit)


GOALS = list(_goals())
SMALL = {"bce forward, hard": 1.0, "bce function, hard": 2.0}  # microseconds for 16 elements, at most
THOUSAND, THOUSAND_RIVALS = 5.0, (FORMULA, "PyTorch", "JAX")
BY_MEMORY = {  # cells without a goal for two threads, because the threads share the bandwidth of the memory
    ("bce forward, hard", "float64"),
    ("bce backward, hard, out=", "float64"),
    ("bce backward, hard, out=", "float32"),
    ("bce forward_backward, hard, out=", "float64"),
}
THREADS_GAIN, RIVAL = 1.8, "PyTorch"
IMPORT_MS = 10.0
RIVAL_NOISE = 1.05  # smaller ratios between two contestants count as noise


@dataclass(frozen=True)
class Verdict:
    passed: bool | None  # None: not measured
    what: str
    figure: str = ""

    def __str__(self) -> str:
        word = {True: "PASS", False: "MISS", None: "----"}[self.passed]
        return f"{word}  {self.what}: {self.figure or '(not measured)'}"


def verdicts(run: Run) -> list[Verdict]:
    found = [verdict for goal in GOALS for verdict in _judge(goal, run)]
    return [*found, *_small(run), *_threads(run), _import(run), nowhere(run)]


def _limit(limits: Limits, level: str) -> float:
    return limits[level == "x86_v4"] if isinstance(limits, tuple) else limits


def _judge(goal: Goal, run: Run) -> Iterator[Verdict]:
    record = run.find(goal.cell, goal.dtype, SIZE)
    for level in ("x86_v3", "x86_v4"):
        name, title = OURS + level, f"{goal.cell}, {goal.dtype}, {LEVELS[level]}"
        faster = record.speedup(name, goal.rivals) if record else None
        if faster is None:
            yield Verdict(None, title)
        else:
            limit = _limit(goal.faster, level)
            yield Verdict(faster >= limit, title, f"{faster:.2f}x {record.best(goal.rivals)}; wanted {limit:g}x")
        near = record.to_bandwidth(name) if record else None
        if goal.bandwidth and near is not None:
            limit = _limit(goal.bandwidth, level)
            yield Verdict(near <= limit, title, f"{near:.2f}x the bandwidth baseline; wanted {limit:g}x")
        elif goal.bandwidth:
            yield Verdict(None, f"{title}, bandwidth baseline")


def _small(run: Run) -> Iterator[Verdict]:
    for cell, limit in SMALL.items():
        record = run.find(cell, "float64", 16)
        best = record.ours()[-1:] if record else []
        time = record.time(best[0]) * 1e6 if best else None
        figure = "" if time is None else f"{time:.2f} us; wanted under {limit:g} us"
        yield Verdict(None if time is None else time < limit, f"{cell}, 16 elements", figure)
    for dtype in DTYPES:
        record = run.find("bce forward, hard", dtype, 1000)
        best = record.ours()[-1:] if record else []
        there = best and set(THOUSAND_RIVALS) <= record.timings.keys()
        faster = record.speedup(best[0], THOUSAND_RIVALS) if there else None
        figure = "" if faster is None else f"{faster:.2f}x {record.best(THOUSAND_RIVALS)}; wanted {THOUSAND:g}x"
        yield Verdict(None if faster is None else faster >= THOUSAND, f"bce forward, 1,000 elements, {dtype}", figure)


def _threads(run: Run) -> Iterator[Verdict]:
    if 2 not in run.values("threads"):
        yield Verdict(None, "two threads")
        return
    for several in run.cells:
        one = run.find(several.cell, several.dtype, several.size, 1, several.layout)
        if several.threads != 2 or several.size != SIZE or one is None or not several.ours():
            continue
        name, title = several.ours()[-1], f"{several.cell}, {several.dtype}, {several.layout}, two threads"
        gain = scaling(one, several, name)
        if gain is None:
            continue
        if (several.cell, several.dtype) not in BY_MEMORY:
            yield Verdict(gain >= THREADS_GAIN, title, f"{gain:.2f}x one thread; wanted {THREADS_GAIN:g}x")
        theirs = scaling(one, several, RIVAL)
        if theirs is None:
            yield Verdict(None, f"{title}, compared with {RIVAL}")
        else:
            yield Verdict(gain * RIVAL_NOISE >= theirs, title, f"{gain:.2f}x one thread; {RIVAL} {theirs:.2f}x")


def scaling(one: Record, several: Record, name: str) -> float | None:
    """Return the time with one thread divided by the time with several threads."""
    before, after = one.time(name), several.time(name)
    return None if before is None or after is None else before / after


def _import(run: Run) -> Verdict:
    added = run.imports.get("added_ms")
    figure = "" if added is None else f"{added:.1f} ms; wanted under {IMPORT_MS:g} ms"
    return Verdict(None if added is None else added < IMPORT_MS, "import time in addition to NumPy", figure)


def losses(run: Run) -> list[tuple[Record, str, str, float]]:
    """Return the cells in which a peer is faster than cecore's best level: the record, both names and the ratio."""
    found = []
    for record in run.cells:
        for ours, peer in zip(record.ours()[-1:], record.peers()[:1], strict=False):
            ratio = record.ratio(ours, peer)
            if ratio > RIVAL_NOISE:
                found.append((record, ours, peer, ratio))
    return found


def nowhere(run: Run) -> Verdict:
    lost = losses(run)
    compared = sum(bool(record.ours() and record.peers()) for record in run.cells)
    figure = f"{len(lost)} of {compared} cells" if compared else ""
    return Verdict(
        not lost if compared else None, f"cells in which a peer is faster by more than {RIVAL_NOISE - 1:.0%}", figure
    )
