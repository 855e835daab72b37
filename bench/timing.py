"""Interleaved timing: every round runs every contestant, so that a slow moment of the machine hits all alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from .cells import Cell
from .checks import check
from .contestants import Contestant
from .progress import progress

ELEMENTS = 100_000  # at least, in one timing: small calls are repeated


@dataclass(frozen=True)
class Timing:
    """Seconds per call."""

    median: float
    spread: float  # the interquartile range over the median

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        low, median, high = np.percentile(seconds, (25, 50, 75))
        return cls(median, (high - low) / median)


@dataclass(frozen=True)
class Measured:
    cell: Cell
    dtype: str
    size: int
    timings: dict[str, Timing]  # by contestant

    def ratio(self, of: str, to: str) -> float | None:
        """One contestant's time over another's; None where one of them did not take part."""
        if of in self.timings and to in self.timings:
            return self.timings[of].median / self.timings[to].median
        return None


def measure(cell: Cell, dtype: str, size: int, contestants: Sequence[Contestant], rounds: int, label: str) -> Measured:
    """Check, then time, all contestants of a cell; the label goes on the progress line."""
    progress(f"{label}, check")
    problem = cell.problem(size, dtype)
    check(cell, problem, contestants)
    calls = [(one, call) for one in contestants if (call := one.bind(cell, problem)) is not None]
    times: dict[str, list[float]] = {one.name: [] for one, _ in calls}
    repeats = max(1, ELEMENTS // size)
    order = random.Random(0)
    for number in range(rounds + 1):
        progress(f"{label}, round {number}/{rounds}")
        for one, call in order.sample(calls, len(calls)):
            one.select()
            seconds = run(call, repeats)
            if number:  # round 0 warms up
                times[one.name].append(seconds)
    return Measured(cell, dtype, size, {name: Timing.of(seconds) for name, seconds in times.items()})


def run(call: Callable[[], Any], repeats: int) -> float:
    """Seconds per call."""
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats
