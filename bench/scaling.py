"""What threads bring: cells on one thread and on all, beside PyTorch's if it is installed; and that they cost nothing.

The second table is for small calls, alone and while another Python thread is busy in pure Python.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import cecore

from . import AFFINITY
from .progress import progress
from .report import table

SIZE = 10_000_000
ROUNDS = 9
SIZES = (1_000, 10_000, 100_000, 200_000, 300_000, 1_000_000, 10_000_000)
SLOWER = 1.1  # than one thread: the most that is allowed

Call = Callable[[], Any]


def binary(dtype: str, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random(size, dtype), rng.integers(0, 2, size).astype(dtype), np.empty(size, dtype)


def rows(dtype: str, size: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = size // classes, classes
    return rng.standard_normal(shape, dtype), rng.integers(0, classes, shape[0]), np.empty(shape, dtype)


def own_cells(dtype: str) -> dict[str, Call]:
    p, y, g = binary(dtype, SIZE)
    bce, logits, ce = (
        cecore.BinaryCrossEntropy(),
        cecore.BinaryCrossEntropyWithLogits(),
        cecore.CrossEntropyWithLogits(),
    )
    z, few, few_g = rows(dtype, SIZE, 10)
    wide, many, many_g = rows(dtype, SIZE, 1000)
    return {
        "bce forward": lambda: bce.forward(p, y),
        "bce backward": lambda: bce.backward(p, y, out=g),
        "bce forward_backward": lambda: bce.forward_backward(p, y, gradient_out=g),
        "bce logits forward": lambda: logits.forward(p, y),
        "bce logits forward_backward": lambda: logits.forward_backward(p, y, gradient_out=g),
        "ce logits forward_backward, 10 classes": lambda: ce.forward_backward(z, few, gradient_out=few_g),
        "ce logits forward_backward, 1000 classes": lambda: ce.forward_backward(wide, many, gradient_out=many_g),
        "softmax, 1000 classes": lambda: cecore.softmax(wide, out=many_g),
    }


def torch_cells(dtype: str) -> dict[str, Call]:
    import torch
    from torch.nn import functional

    p, y, _ = map(torch.from_numpy, binary(dtype, SIZE))
    z, few, _ = map(torch.from_numpy, rows(dtype, SIZE, 10))
    wide, many, _ = map(torch.from_numpy, rows(dtype, SIZE, 1000))

    def both(loss: Callable[..., Any], x: Any, t: Any) -> Call:
        def call() -> None:
            leaf = x.detach().requires_grad_()
            loss(leaf, t).backward()

        return call

    return {
        "bce forward": lambda: functional.binary_cross_entropy(p, y),
        "bce forward_backward": both(functional.binary_cross_entropy, p, y),
        "bce logits forward": lambda: functional.binary_cross_entropy_with_logits(p, y),
        "bce logits forward_backward": both(functional.binary_cross_entropy_with_logits, p, y),
        "ce logits forward_backward, 10 classes": both(functional.cross_entropy, z, few),
        "ce logits forward_backward, 1000 classes": both(functional.cross_entropy, wide, many),
        "softmax, 1000 classes": lambda: functional.softmax(wide, 1),
    }


def compare(call: Call, set_threads: Callable[[int], Any], threads: int, repeats: int = 1) -> tuple[float, float]:
    """The median seconds of a call on one thread and on several, in turn."""
    times: dict[int, list[float]] = {1: [], threads: []}
    for number in range(ROUNDS + 1):
        for count in times:
            set_threads(count)
            start = perf_counter()
            for _ in range(repeats):
                call()
            if number:
                times[count].append((perf_counter() - start) / repeats)
    return float(np.median(times[1])), float(np.median(times[threads]))


def report() -> bool:
    os.sched_setaffinity(0, AFFINITY)
    threads = len(AFFINITY)
    if threads < 2:
        raise SystemExit("there is one CPU: nothing to compare")
    libraries: dict[str, tuple[Callable[[str], dict[str, Call]], Callable[[int], Any]]]
    libraries = {"cecore": (own_cells, cecore.set_num_threads)}
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: pip install '.[compare]'")
    else:
        libraries["PyTorch"] = torch_cells, torch.set_num_threads
    lines = []
    for dtype in ("float64", "float32"):
        for library, (cells, set_threads) in libraries.items():
            for name, call in cells(dtype).items():
                progress(f"{library}, {name}, {dtype}")
                one, several = compare(call, set_threads, threads)
                figures = (f"{one / SIZE * 1e9:.3f}", f"{several / SIZE * 1e9:.3f}", f"{one / several:.2f}")
                lines.append((name, dtype, library, *figures))
    progress("")
    print(f"{SIZE:,} elements, median of {ROUNDS} rounds in turn, ns an element\n")
    print(table(("cell", "dtype", "library", "1 thread", f"{threads} threads", "x faster"), sorted(lines), left=3))
    return small(threads)


def small(threads: int) -> bool:
    """Whether several threads are never slower than one, at any size."""
    loss = cecore.BinaryCrossEntropy()
    lines, fine = [], True
    for busy in (False, True):
        stop = threading.Event()
        other = threading.Thread(target=work_in_python, args=(stop,))
        if busy:
            other.start()
        for size in SIZES:
            p, y, g = binary("float64", size)
            progress(f"{size:,} elements{', a busy thread beside' if busy else ''}")
            repeats = max(1, 1_000_000 // size if not busy else 3)
            call = partial(loss.forward_backward, p, y, gradient_out=g)
            one, several = compare(call, cecore.set_num_threads, threads, repeats)
            verdict = "PASS" if several <= SLOWER * one else "FAIL"
            fine = fine and verdict == "PASS"
            beside = "a busy thread" if busy else ""
            lines.append(
                (f"{size:,}", beside, f"{one * 1e6:.1f}", f"{several * 1e6:.1f}", f"{several / one:.2f}", verdict)
            )
        stop.set()
        if busy:
            other.join()
    progress("")
    print("\nbce forward_backward, float64, us a call\n")
    print(table(("elements", "beside", "1 thread", f"{threads} threads", "ratio", "verdict"), lines, left=2))
    return fine


def work_in_python(stop: threading.Event) -> None:
    while not stop.is_set():
        sum(range(1000))
