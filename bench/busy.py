"""Check that threads never slow down a call: calls of several sizes on one thread and on all.

They are timed twice: alone, and while another thread is busy in Python.
"""

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
SLOWER = 1.1  # several threads can take at most so many times the time of one
MEASURED = ("bce forward, hard", "bce forward_backward, hard, out=", "bce logits forward_backward, hard, out=")


def report() -> bool:
    """Print the times, and return whether several threads are never slower than one."""
    threads = len(available()) or cecore.get_num_threads()
    if threads < 2:
        raise SystemExit("this process has only one CPU, so there is nothing to compare")
    lines, fine = [], True
    for busy in (False, True):
        stop = threading.Event()
        other = threading.Thread(target=work_in_python, args=(stop,))
        if busy:
            other.start()
        for name, size in product(MEASURED, SIZES):
            progress(f"{name}, {size:,} elements{', with a busy thread' if busy else ''}")
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
    print(f"float64, us per call, median of {ROUNDS} alternating rounds\n")
    print(table(("cell", "elements", "meanwhile", "1 thread", f"{threads} threads", "ratio", "verdict"), lines, left=3))
    return fine


def compare(call: Callable[[], Any], threads: int, repeats: int) -> tuple[float, float]:
    """Return the median seconds of a call on one thread and on several, in alternating rounds."""
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
