"""Interleaved timing: each round times the contestants in a new order, and repeats what a noisy neighbour disturbs."""

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
TIMED = 300e-6  # seconds of one timing, at least: small calls are repeated
SLOW = 0.1  # seconds: one trial is enough to estimate the time of a longer call
WARMED = 0.01  # seconds: shorter calls depend on the content of the caches, so the contestant makes one call before
FEWEST = 5  # timings of a contestant, however slow
FEWER = 3  # timings of a contestant that takes more than CLEARLY times as long as the fastest
CLEARLY = 3.0
PAUSE = 0.015  # seconds: idle threads of GNU OpenMP spin for about 10 ms, on the CPUs of the next contestant
PROBED = 100  # calls of the probe, about 0.2 ms
CALIBRATED = 1.0  # seconds to calibrate the probe
QUIET = 1.5  # a probe that takes so many times its least time has company; a change of the clock makes up to 1.3


@dataclass(frozen=True)
class Effort:
    """How long the timing of a cell can take."""

    rounds: int  # at most
    seconds: float  # for each contestant, approximately
    patience: float  # disturbed timings are repeated until so many times the planned time have passed


@dataclass(frozen=True)
class Timing:
    """Seconds per call."""

    median: float
    spread: float  # the interquartile range over the median
    rounds: int
    disturbed: int  # rounds that were disturbed; 0 if all contestants had enough quiet rounds

    @classmethod
    def of(cls, timings: Sequence[tuple[float, bool]], only_quiet: bool) -> Timing:
        """Summarise pairs of seconds and whether nothing disturbed them: only the quiet timings, or all."""
        quiet = [seconds for seconds, fine in timings if fine]
        taken = quiet if only_quiet else [seconds for seconds, _ in timings]
        low, median, high = np.percentile(taken, (25, 50, 75))
        return cls(float(f"{median:.5g}"), round(float((high - low) / median), 4), len(taken), len(taken) - len(quiet))


class Probe:
    """A probe for noisy neighbours: anything else on the core, even in another virtual machine, slows exponentials."""

    def __init__(self) -> None:
        self.x = np.linspace(-1, 1, 2000)
        self.out = np.empty_like(self.x)
        self.cpus = available()
        self.least = math.inf
        end = perf_counter() + CALIBRATED
        while perf_counter() < end:
            self.quiet()

    def quiet(self) -> bool:
        """Return whether each CPU of this process is about as fast as it has ever been."""
        if len(self.cpus) < 2:
            return self._as_fast_as_ever()
        try:
            found = []
            for cpu in self.cpus:
                os.sched_setaffinity(0, [cpu])  # moves only this thread
                found.append(self._as_fast_as_ever())
        finally:
            os.sched_setaffinity(0, self.cpus)
        return all(found)

    def _as_fast_as_ever(self) -> bool:
        self._call()  # loads the numbers into the cache
        seconds = run(self._call, PROBED)
        self.least = min(self.least, seconds)
        return seconds <= QUIET * self.least

    def _call(self) -> None:
        np.exp(self.x, out=self.out)


def run(call: Call, repeats: int) -> float:
    """Return the seconds per call."""
    start = perf_counter()
    for _ in range(repeats):
        call()
    return (perf_counter() - start) / repeats


def let_others_rest(call: Call) -> None:
    """Wait until the threads of the previous contestant sleep, and wake the threads of this contestant."""
    end = perf_counter() + PAUSE
    while perf_counter() < end:
        pass
    call()


def interleaved(
    calls: dict[str, Call], select: dict[str, Call], effort: Effort, several_threads: bool, probe: Probe
) -> dict[str, Timing]:
    """Return the timings of calls that have been warmed up."""
    repeats, rounds, once = {}, {}, {}
    planned = 0.0
    for name, call in calls.items():
        select[name]()
        if several_threads:
            let_others_rest(call)
        first = run(call, 1)
        once[name] = first if first > SLOW else min(first, run(call, 1))
    warmed = bool(once) and min(once.values()) < WARMED  # for all contestants or for none
    for name, seconds in once.items():
        repeats[name] = max(1, round(TIMED / seconds))
        round_ = seconds * repeats[name] + (PAUSE + seconds if several_threads else seconds * warmed)
        fewest = FEWER if seconds > CLEARLY * min(once.values()) else FEWEST
        rounds[name] = min(effort.rounds, max(fewest, int(effort.seconds / round_)))
        planned += rounds[name] * round_
    deadline = perf_counter() + effort.patience * planned

    def timed(name: str) -> tuple[float, bool]:
        """Return the seconds per call, and whether the CPUs were quiet before and after it.

        A disturbed timing is repeated, until the time for that is over.
        """
        while True:
            quiet = probe.quiet()
            patient = perf_counter() < deadline
            if not quiet and patient:
                continue
            select[name]()
            if several_threads:
                let_others_rest(calls[name])
            elif warmed:
                calls[name]()
            seconds = run(calls[name], repeats[name])
            quiet = quiet and probe.quiet()
            if quiet or not patient:
                return seconds, quiet

    times: dict[str, list[tuple[float, bool]]] = {name: [] for name in calls}
    order, most = random.Random(0), max(rounds.values())
    gc.collect()
    gc.disable()
    try:
        for number in range(most):
            # a contestant with fewer rounds takes part in evenly spaced rounds
            taking = [name for name in calls if number * rounds[name] % most < rounds[name]]
            for name in order.sample(taking, len(taking)):
                times[name].append(timed(name))
    finally:
        gc.enable()
    enough = {name: FEWEST if rounds[name] >= FEWEST else FEWER for name in calls}
    only_quiet = all(sum(quiet for _, quiet in times[name]) >= enough[name] for name in calls)  # for all or for none
    return {name: Timing.of(timings, only_quiet) for name, timings in times.items()}
