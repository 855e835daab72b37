"""Interleaved timing: every round runs the contestants in another order, and what a neighbour disturbs is repeated."""

from __future__ import annotations

import gc
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from .pinning import available

Call = Callable[[], Any]
TIMED = 300e-6  # seconds, at least, in one timing: small calls are repeated
SLOW = 0.1  # seconds: to see how long a call takes, once is enough
WARMED = 0.01  # seconds: shorter calls find caches as the call before has left them, so one of the own comes first
FEWEST = 5  # timings of a contestant, however slow
PAUSE = 0.015  # seconds: GNU OpenMP's idle threads look for work for some 10 ms, on the next contestant's CPUs
GAUGED = 100  # calls of the gauge: some 0.2 ms
CALIBRATED = 1.0  # seconds
QUIET = 1.5  # times the gauge's least: beyond, something else computes there; the clock makes up to 1.3


@dataclass(frozen=True)
class Effort:
    """How long a cell may take."""

    rounds: int  # at most
    seconds: float  # for each contestant, more or less
    patience: float  # times the whole, for what is disturbed


@dataclass(frozen=True)
class Timing:
    """Seconds per call."""

    median: float
    spread: float  # the interquartile range over the median
    rounds: int
    disturbed: int  # of the rounds: none if all contestants had enough quiet ones

    @classmethod
    def of(cls, timings: Sequence[tuple[float, bool]], only_quiet: bool) -> Timing:
        """Of seconds, and whether nothing disturbed them: of those alone, or of all."""
        quiet = [seconds for seconds, fine in timings if fine]
        taken = quiet if only_quiet else [seconds for seconds, _ in timings]
        low, median, high = np.percentile(taken, (25, 50, 75))
        return cls(float(f"{median:.5g}"), round(float((high - low) / median), 4), len(taken), len(taken) - len(quiet))


class Gauge:
    """Exponentials in the first-level cache: something else on the CPU, be it another virtual machine, slows them."""

    def __init__(self) -> None:
        self.x = np.linspace(-1, 1, 2000)
        self.out = np.empty_like(self.x)
        self.cpus = available()
        self.least = math.inf
        end = perf_counter() + CALIBRATED
        while perf_counter() < end:
            self.quiet()

    def quiet(self) -> bool:
        """Whether each CPU that this process may use is as fast as it has ever been."""
        if len(self.cpus) < 2:
            return self._as_fast_as_ever()
        try:
            found = []
            for cpu in self.cpus:
                os.sched_setaffinity(0, [cpu])  # this thread alone goes there
                found.append(self._as_fast_as_ever())
        finally:
            os.sched_setaffinity(0, self.cpus)
        return all(found)

    def _as_fast_as_ever(self) -> bool:
        self._call()  # brings the numbers into the cache
        seconds = run(self._call, GAUGED)
        self.least = min(self.least, seconds)
        return seconds <= QUIET * self.least

    def _call(self) -> None:
        np.exp(self.x, out=self.out)


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
    calls: dict[str, Call], select: dict[str, Call], effort: Effort, several_threads: bool, gauge: Gauge
) -> dict[str, Timing]:
    """The timings of calls that have been warmed up."""
    repeats, rounds, once = {}, {}, {}
    planned = 0.0
    for name, call in calls.items():
        select[name]()
        if several_threads:
            let_others_rest(call)
        first = run(call, 1)
        once[name] = first if first > SLOW else min(first, run(call, 1))
    warmed = bool(once) and min(once.values()) < WARMED  # all or none
    for name, seconds in once.items():
        repeats[name] = max(1, round(TIMED / seconds))
        round_ = seconds * repeats[name] + (PAUSE + seconds if several_threads else seconds * warmed)
        rounds[name] = min(effort.rounds, max(FEWEST, int(effort.seconds / round_)))
        planned += rounds[name] * round_
    deadline = perf_counter() + effort.patience * planned

    def timed(name: str) -> tuple[float, bool]:
        """Seconds, and whether the CPUs were quiet before and after: until they were, or the time for that is over."""
        while True:
            quiet = gauge.quiet()
            patient = perf_counter() < deadline
            if not quiet and patient:
                continue
            select[name]()
            if several_threads:
                let_others_rest(calls[name])
            elif warmed:
                calls[name]()
            seconds = run(calls[name], repeats[name])
            quiet = quiet and gauge.quiet()
            if quiet or not patient:
                return seconds, quiet

    times: dict[str, list[tuple[float, bool]]] = {name: [] for name in calls}
    order, most = random.Random(0), max(rounds.values())
    gc.collect()
    gc.disable()
    try:
        for number in range(most):
            # one with fewer rounds takes part in some that lie evenly
            taking = [name for name in calls if number * rounds[name] % most < rounds[name]]
            for name in order.sample(taking, len(taking)):
                times[name].append(timed(name))
    finally:
        gc.enable()
    only_quiet = all(sum(quiet for _, quiet in timings) >= FEWEST for timings in times.values())  # all or none
    return {name: Timing.of(timings, only_quiet) for name, timings in times.items()}
