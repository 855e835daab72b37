"""The goals of cecore, and a verdict on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .cells import ORDINARY_SIZES, SIZE
from .results import LEVELS, OURS, PLAIN_C, Ratios, Record, Run

NOISE = 1.05  # smaller ratios between two contestants count as noise
PROMISED = 1.1  # the promise: no peer is faster by more than a tenth
UNUSUAL_LIMIT = 1.5  # an unusual row takes at most so many times the time of an ordinary row
BANDWIDTH_LIMITS = {  # times the bandwidth baseline, for AVX2 and for AVX-512
    ("bce forward, hard", "float64"): (1.6, 1.25),
    ("bce forward, hard", "float32"): (2.5, 2.0),
    ("bce backward, hard, out=", "float64"): (1.3, 1.15),
    ("bce forward_backward, hard, out=", "float64"): (1.6, 1.3),
}
OPTION_LIMITS = {  # times the plain loss; rows of classes, and binary losses
    "ce": dict.fromkeys(("weights", "class weights", "smoothing"), 1.5)
    | dict.fromkeys(("distribution", "gamma 2", "gamma 1.7"), 2.0),
    "bce": dict.fromkeys(("pos_weight", "smoothing"), 1.5)
    | dict.fromkeys(("pos_weight per column", "pos_weight, soft"), 1.8)
    | {"weights": 2.8, "gamma 2": 3.0, "gamma 1.7": 5.0},
}
FLOAT32_PROBABILITIES = 1.8  # the limit of pos_weight and smoothing on binary probabilities in float32
SMALL = {"bce forward, hard": 1.0, "bce function, hard": 2.0}  # microseconds for 16 elements, at most
THREADED = (  # the cells that the run measures with two threads
    "bce forward, hard",
    "bce forward, soft",
    "bce backward, hard, out=",
    "bce forward_backward, hard, out=",
    "bce logits forward_backward, hard, out=",
    "bce logits gradient_hessian, hard, out=",
    "ce backward, soft, 10 classes, out=",
    "ce logits forward_backward, 3 classes, out=",
    "ce logits forward_backward, 10 classes, out=",
    "ce logits forward_backward, 100 classes, out=",
    "ce logits forward_backward, 1,000 classes, out=",
)
THREADS_GAIN = 1.9
NEAR_BANDWIDTH = 1.25  # a call that takes at most so many times the baseline is limited by the memory
IMPORT_MS = 10.0


@dataclass(frozen=True)
class Verdict:
    passed: bool | None  # None: not measured
    what: str
    figure: str = ""

    def __str__(self) -> str:
        word = {True: "PASS", False: "MISS", None: "----"}[self.passed]
        return f"{word}  {self.what}: {self.figure or '(not measured)'}"


def verdicts(run: Run) -> list[Verdict]:
    return [
        *_nowhere(run),
        *_bandwidth(run),
        *_ratios(run, "rows"),
        *_ratios(run, "options"),
        *_small(run),
        *_threads(run),
        _import(run),
    ]


# ---------------------------------------------------------------- other libraries, and plain C


def losses(run: Run) -> list[tuple[Record, str, str, float]]:
    """Return the cells in which a peer is faster than cecore's best level: the record, both names and the ratio."""
    return list(_faster(record for record in run.cells))


def _faster(records: Iterable[Record]) -> Iterator[tuple[Record, str, str, float]]:
    for record in records:
        for ours, peer in zip(record.ours()[-1:], record.peers()[:1], strict=False):
            ratio = record.ratio(ours, peer)
            if ratio > NOISE:
                yield record, ours, peer, ratio


def beaten(records: list[Record]) -> str:
    """Say in how many cells a peer is faster; nothing if there is nothing to compare."""
    compared = sum(bool(record.ours() and record.peers()) for record in records)
    return _counted([ratio for *_, ratio in _faster(records)], compared)


def _counted(ratios: list[float], compared: int) -> str:
    by_more = sum(ratio > PROMISED for ratio in ratios)
    found = f"by more than {PROMISED - 1:.0%} in {by_more}, by more than {NOISE - 1:.0%} in {len(ratios)}"
    return f"{found} of {compared} cells" if compared else ""


def _nowhere(run: Run) -> Iterator[Verdict]:
    alone = [record for record in run.cells if record.threads == 1 and record.layout == "contiguous"]
    for size in ORDINARY_SIZES:
        records = [record for record in alone if record.size == size]
        figure = beaten(records)
        fine = all(ratio <= PROMISED for *_, ratio in _faster(records))
        yield Verdict(fine if figure else None, f"a peer is faster, {size:,} elements", figure)
    for level in list(LEVELS)[1:]:
        pairs = ((record.ratio(OURS + level, PLAIN_C + level), record.size) for record in alone)
        ratios = [ratio for ratio, size in pairs if ratio is not None and size in ORDINARY_SIZES]
        fine = all(ratio <= PROMISED for ratio in ratios)
        figure = _counted([ratio for ratio in ratios if ratio > NOISE], len(ratios))
        yield Verdict(fine if ratios else None, f"plain C is faster, both compiled for {LEVELS[level]}", figure)


# ---------------------------------------------------------------- the memory


def _bandwidth(run: Run) -> Iterator[Verdict]:
    for (cell, dtype), limits in BANDWIDTH_LIMITS.items():
        record = run.find(cell, dtype, SIZE)
        for level, limit in zip(list(LEVELS)[1:], limits, strict=True):
            near = record.to_bandwidth(OURS + level) if record else None
            figure = "" if near is None else f"{near:.2f}x the bandwidth baseline; wanted at most {limit:g}x"
            yield Verdict(None if near is None else near <= limit, f"{cell}, {dtype}, {LEVELS[level]}", figure)


# ---------------------------------------------------------------- unusual rows, and options


def limit(found: Ratios, variant: str) -> float | None:
    """Return the largest wanted ratio of a variant to its plain call; None if there is no goal."""
    if found.table == "rows":
        return UNUSUAL_LIMIT
    kind = found.group.partition(" ")[0]
    single = kind == "bce" and "logits" not in found.group and found.dtype == "float32"
    if single and variant in ("pos_weight", "smoothing"):
        return FLOAT32_PROBABILITIES
    return OPTION_LIMITS[kind].get(variant)


def _ratios(run: Run, table: str) -> Iterator[Verdict]:
    if not any(found.table == table for found in run.ratios):
        yield Verdict(None, f"the table of {table}")
    for found in run.ratios:
        if found.table != table:
            continue
        judged = {name: (ratio, limit(found, name)) for name, ratio in found.ratios().items()}
        judged = {name: (ratio, wanted) for name, (ratio, wanted) in judged.items() if wanted is not None}
        missed = {name: pair for name, pair in judged.items() if pair[0] > pair[1]}
        largest = max(judged, key=lambda name: judged[name][0] / judged[name][1])
        shown = missed or {largest: judged[largest]}
        figure = "; ".join(f"{name} {ratio:.2f}x, wanted {wanted:g}x" for name, (ratio, wanted) in shown.items())
        yield Verdict(not missed, f"{table}, {found.group}, {found.dtype}, {LEVELS[found.level]}", figure)


# ---------------------------------------------------------------- small calls, threads, import


def _small(run: Run) -> Iterator[Verdict]:
    for cell, most in SMALL.items():
        record = run.find(cell, "float64", 16)
        best = record.ours()[-1:] if record else []
        time = record.time(best[0]) * 1e6 if best else None
        figure = "" if time is None else f"{time:.2f} us; wanted under {most:g} us"
        yield Verdict(None if time is None else time < most, f"{cell}, 16 elements", figure)


def _threads(run: Run) -> Iterator[Verdict]:
    if 2 not in run.values("threads"):
        yield Verdict(None, "two threads")
        return
    for several in run.cells:
        one = run.find(several.cell, several.dtype, several.size, 1, several.layout)
        if several.threads != 2 or several.size != SIZE or one is None or not several.ours():
            continue
        name, title = several.ours()[-1], f"{several.cell}, {several.dtype}, {several.layout}, two threads"
        gain, near = scaling(one, several, name), several.to_bandwidth(name)
        if gain is None:
            continue
        by_memory = near is not None and near <= NEAR_BANDWIDTH
        figure = f"{gain:.2f}x one thread; wanted {THREADS_GAIN:g}x"
        if by_memory:
            figure += f" unless the memory is the limit; {near:.2f}x the bandwidth baseline"
        yield Verdict(gain >= THREADS_GAIN or by_memory, title, figure)


def scaling(one: Record, several: Record, name: str) -> float | None:
    """Return the time with one thread divided by the time with several threads."""
    before, after = one.time(name), several.time(name)
    return None if before is None or after is None else before / after


def _import(run: Run) -> Verdict:
    added = run.imports.get("added_ms")
    figure = "" if added is None else f"{added:.1f} ms; wanted under {IMPORT_MS:g} ms"
    return Verdict(None if added is None else added < IMPORT_MS, "import time in addition to NumPy", figure)
