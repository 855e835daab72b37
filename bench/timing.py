"""Interleaved timing: every round runs the contestants in another order, so that a slow moment hits all alike."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

Call = Callable[[], Any]
TIMED = 300e-6  # seconds, at least, in one timing: small calls are repeated
SLOW = 0.1  # seconds: to see how long a call takes, once is enough
FEWEST = 3  # timings of a contestant, however slow
PAUSE = 0.015  # seconds: GNU OpenMP's idle threads look for work for some 10 ms, on the next contestant's CPUs


@dataclass(frozen=True)
class Effort:
    """How long a cell may take."""

    rounds: int  # at most
    seconds: float  # for each contestant, more or less


@dataclass(frozen=True)
class Timing:
    """Seconds per call."""

    median: float
    spread: float  # the interquartile range over the median
    rounds: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        low, median, high = np.percentile(seconds, (25, 50, 75))
        return cls(float(median), float((high - low) / median), len(seconds))


def run(call: Call, repeats: int) -> float:
    """Seconds per call."""
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats


def let_others_rest(call: Call) -> None:
    """Wait until the threads of the contestant before are asleep, and wake those of this one."""
    end = perf_counter() + PAUSE
    while perf_counter() < end:
        pass
    call()


def interleaved(
    calls: dict[str, Call], select: dict[str, Call], effort: Effort, several_threads: bool
) -> dict[str, Timing]:
    """The timings of calls that have been warmed up."""
    repeats, rounds = {}, {}
    for name, call in calls.items():
        select[name]()
        if several_threads:
            let_others_rest(call)
        once = run(call, 1)
        once = once if once > SLOW else min(once, run(call, 1))
        repeats[name] = max(1, round(TIMED / once))
        round_ = once * repeats[name] + (PAUSE + once if several_threads else 0)
        rounds[name] = min(effort.rounds, max(FEWEST, int(effort.seconds / round_)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    order, most = random.Random(0), max(rounds.values())
    gc.collect()
    gc.disable()
    try:
        for number in range(most):
            # one with fewer rounds takes part in some that lie evenly
            taking = [name for name in calls if number * rounds[name] % most < rounds[name]]
            for name in order.sample(taking, len(taking)):
                select[name]()
                if several_threads:
                    let_others_rest(calls[name])
                times[name].append(run(calls[name], repeats[name]))
    finally:
        gc.enable()
    return {name: Timing.of(seconds) for name, seconds in times.items()}
