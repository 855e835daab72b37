"""That threads cost nothing: small calls on one thread and on all, alone and beside a thread that is busy in Python."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

import cecore

from .cells import CELLS
from .contestants import bind_cecore
from .pinning import available
from .progress import progress
from .report import table
from .timing import run

ROUNDS = 9
SIZES = (1_000, 10_000, 32_768, 65_536, 100_000, 300_000, 1_000_000, 10_000_000)
SLOWER = 1.1  # than one thread: the most that is allowed
MEASURED = ("bce forward, hard", "bce forward_backward, hard, out=", "bce logits forward_backward, hard, out=")


def report() -> bool:
    """Whether several threads are never slower than one, at any size."""
    threads = len(available()) or cecore.get_num_threads()
    if threads < 2:
        raise SystemExit("there is one CPU: nothing to compare")
    lines, fine = [], True
    for busy in (False, True):
        stop = threading.Event()
        other = threading.Thread(target=work_in_python, args=(stop,))
        if busy:
            other.start()
        for name, size in product(MEASURED, SIZES):
            progress(f"{name}, {size:,} elements{', a busy thread beside' if busy else ''}")
            call = bind_cecore(CELLS[name], CELLS[name].problem(size, "float64"), threads)
            one, several = compare(call, threads, max(1, 1_000_000 // size if not busy else 3))
            verdict = "PASS" if several <= SLOWER * one else "FAIL"
            fine = fine and verdict == "PASS"
            times = f"{one * 1e6:.1f}", f"{several * 1e6:.1f}", f"{several / one:.2f}"
            lines.append((name, f"{size:,}", "a busy thread" if busy else "", *times, verdict))
        stop.set()
        if busy:
            other.join()
    progress("")
    print(f"float64, us a call, median of {ROUNDS} rounds in turn\n")
    print(table(("cell", "elements", "beside", "1 thread", f"{threads} threads", "ratio", "verdict"), lines, left=3))
    return fine


def compare(call: Callable[[], Any], threads: int, repeats: int) -> tuple[float, float]:
    """The median seconds of a call on one thread and on several, in turn."""
    times: dict[int, list[float]] = {1: [], threads: []}
    for number in range(ROUNDS + 1):
        for count in times:
            cecore.set_num_threads(count)
            seconds = run(call, repeats)
            if number:  # round 0 warms up
                times[count].append(seconds)
    return float(np.median(times[1])), float(np.median(times[threads]))


def work_in_python(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))
