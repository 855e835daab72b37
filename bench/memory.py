"""The growth of peak memory during one call beyond its result, each in a fresh process: every loss and method.

Linux only: it resets the high-water mark, so that making the inputs does not hide what the call allocates. Where the
results themselves do not show as growth, the measurement is blind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from registry import LOSSES

import cecore

from .cells import SIZE
from .progress import progress
from .report import table

LIMIT = 1024  # KiB
CLASSES = (10, 1000)
METHODS = ("forward", "backward", "forward_backward", "gradient_hessian")
ACTIVATIONS = ("sigmoid", "softmax", "log_softmax", "softmax_backward")
DTYPES = ("float64", "float32", "float16")
TARGETS = {"labels": {}, "labels, smoothed": {"label_smoothing": 0.1}, "distributions": {}}
Job = tuple[str, str, str, str, int]  # loss or function, method, dtype, targets, classes


def jobs() -> Iterator[Job]:
    for loss in LOSSES:
        for classes in CLASSES[:1] if loss.binary else CLASSES:
            yield from ((loss.name, *rest, classes) for rest in product(METHODS, DTYPES, TARGETS))
    for name, dtype in product(ACTIVATIONS, DTYPES):
        yield from ((name, "", dtype, "", classes) for classes in (CLASSES[:1] if name == "sigmoid" else CLASSES))


def report(pattern: str) -> bool:
    """Print the growth of all that have the pattern in their name; whether all are within the limit."""
    chosen = [job for job in jobs() if pattern in ", ".join(map(str, job))]
    if not chosen:
        raise SystemExit(f"nothing has {pattern!r} in its name")
    rows, fine = [], True
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for number, job in enumerate(chosen, 1):
            progress(f"{number}/{len(chosen)}  {', '.join(map(str, job))}")
            grown, result = pool.apply(growth, job)
            verdict = "FAIL" if grown - result > LIMIT else "BLIND" if grown < 0.9 * result else "PASS"
            fine = fine and verdict == "PASS"
            rows.append((*map(str, job), str(result), str(grown - result), verdict))
    progress("")
    print(f"Growth of peak memory in a call beyond its result, {SIZE:,} elements; limit {LIMIT} KiB\n")
    header = ("of", "method", "dtype", "targets", "classes", "result KiB", "beyond KiB", "verdict")
    print(table(header, rows, left=4))
    return fine


def bind(job: Job, size: int) -> Callable[[], Any]:
    """The call, on arrays that have been written to."""
    name, method, dtype, targets, classes = job
    rng = np.random.default_rng(0)
    if name in ACTIVATIONS:
        x = rng.random((size // classes, classes)).astype(dtype)
        function = getattr(cecore, name)
        return partial(function, x, x) if name == "softmax_backward" else partial(function, x)
    loss = next(loss for loss in LOSSES if loss.name == name)
    rows = size if loss.binary else size // classes
    x = loss.predictions(rng, rows, dtype, classes)
    t = loss.soft(rng, rows, x.dtype, classes) if targets == "distributions" else loss.hard(rng, rows, classes)
    return partial(
        getattr(loss.kind(**TARGETS[targets]), method), x, t.astype(np.float32 if t.dtype == np.float16 else t.dtype)
    )


def growth(*job: Any) -> tuple[int, int]:
    """KiB by which a call raises the peak, once its arrays exist and a small call has been made; and of its arrays."""
    bind(job, 10_000)()
    call = bind(job, SIZE)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before = peak()
    result = call()
    arrays = [part for part in (result if isinstance(result, tuple) else (result,)) if isinstance(part, np.ndarray)]
    return peak() - before, sum(array.nbytes for array in arrays) // 1024


def peak() -> int:
    """The high-water mark of resident memory, in KiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
