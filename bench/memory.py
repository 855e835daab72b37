"""How much memory a call needs at its peak in addition to its inputs and its results.

``python -m bench --memory`` measures it for every loss, method and layout, each in a fresh process. It works on Linux
only: the kernel's mark of the peak is reset before the call, so that making the inputs does not hide what the call
allocates. If the peak does not even grow by the results, the measurement is blind and says so. Two more kinds of input
are arrays that are larger than the memory behind them, and a file of 4 GB. For the file only anonymous memory counts,
because the system can drop the pages of a file at any time.
"""

from __future__ import annotations

import ctypes
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from layouts import WRITEABLE
from registry import LOSSES

import cecore

from .cells import SIZE
from .checks import parts
from .progress import progress
from .report import table

LIMIT = 1024  # KiB per thread
MAPPED_LIMIT = 100 * 1024  # KiB
MAPPED_SIZE = 1 << 30  # numbers of 4 bytes
CLASSES = (10, 1000)
METHODS = ("forward", "backward", "forward_backward", "gradient_hessian")
ACTIVATIONS = ("sigmoid", "softmax", "log_softmax", "softmax_backward")
DTYPES = ("float64", "float32", "float16")
TARGETS = {"labels": {}, "labels, smoothed": {"label_smoothing": 0.1}, "distributions": {}}
LAYOUTS = ("strided", "reversed", "fortran", "unaligned", "swapped", "field", "axis 0", "int8")
EVERYWHERE = "strided, results too"
HUGE = ("windows", "stride 0", "mapped file")
Job = tuple[str, str, str, str, int, str]  # loss or function, method, dtype, targets, classes, layout


def jobs() -> Iterator[Job]:
    for loss in LOSSES:
        for classes in CLASSES[:1] if loss.binary else CLASSES:
            yield from ((loss.name, *rest, classes, "plain") for rest in product(METHODS, DTYPES, TARGETS))
            for layout in LAYOUTS[:-2] + LAYOUTS[-1:] if loss.binary else LAYOUTS:
                yield from ((loss.name, method, "float32", "labels", classes, layout) for method in METHODS[::2])
    for name, dtype in product(ACTIVATIONS, DTYPES):
        few = CLASSES[:1] if name == "sigmoid" else CLASSES
        yield from ((name, "", dtype, "", classes, "plain") for classes in few)
    for name, classes in product(("ce", "ce_logits"), (100, 200, 20_000)):
        yield name, "gradient_hessian", "float64", "distributions", classes, EVERYWHERE
    yield from (("bce", "forward", "float32", "labels", 1, layout) for layout in HUGE)
    yield from (("ce_logits", "forward", "float32", "labels", 32_000, layout) for layout in HUGE[:2])


def report(pattern: str) -> bool:
    """Print the memory of all calls with the pattern in their name, and return whether all are within the limit."""
    chosen = [job for job in jobs() if pattern in ", ".join(map(str, job))]
    if not chosen:
        raise SystemExit(f"no call has {pattern!r} in its name")
    rows, fine = [], True
    limit = LIMIT * cecore.get_num_threads()
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for number, job in enumerate(chosen, 1):
            progress(f"{number}/{len(chosen)}  {', '.join(map(str, job))}")
            mapped = job[-1] == "mapped file"
            grown, result = pool.apply(anonymous_growth if mapped else growth, job)
            within = grown - result <= (MAPPED_LIMIT if mapped else limit)
            verdict = "FAIL" if not within else "BLIND" if blind(grown, result) else "PASS"
            fine = fine and verdict == "PASS"
            rows.append((*map(str, job), str(result), str(grown - result), verdict))
    progress("")
    print(f"Peak memory of a call in addition to its inputs and results: {SIZE:,} elements, limit {limit} KiB")
    print(f"({MAPPED_LIMIT} KiB for the mapped file), {cecore.get_num_threads()} threads\n")
    header = ("function", "method", "dtype", "targets", "classes", "layout", "result KiB", "extra KiB", "verdict")
    print(table(header, rows, left=4))
    return fine


def bind(job: Job, size: int) -> Callable[[], Any]:
    """Return the call, on arrays that have been written to."""
    name, method, dtype, targets, classes, layout = job
    rng = np.random.default_rng(0)
    if name in ACTIVATIONS:
        x = rng.random((size // classes, classes)).astype(dtype)
        function = getattr(cecore, name)
        return partial(function, x, x) if name == "softmax_backward" else partial(function, x)
    loss = next(loss for loss in LOSSES if loss.name == name)
    rows = size if loss.binary else size // classes
    x = loss.predictions(rng, rows, dtype, classes)
    t = loss.soft(rng, rows, x.dtype, classes) if targets == "distributions" else loss.hard(rng, rows, classes)
    t = t.astype(np.float32 if t.dtype == np.float16 else t.dtype)
    options: dict[str, Any] = dict(TARGETS[targets])
    outputs: dict[str, np.ndarray] = {}
    if layout == EVERYWHERE:
        x, t = WRITEABLE["strided"](x), WRITEABLE["strided"](t)
        outputs = {name: WRITEABLE["strided"](x) for name in ("gradient_out", "hessian_out")}
    elif layout == "axis 0":
        x, options["axis"] = np.ascontiguousarray(x.T), 0
    elif layout == "int8":
        t = t.astype(np.int8 if classes < 128 else np.int16)
        x = WRITEABLE["strided"](x)
    elif layout != "plain":
        x, t = WRITEABLE[layout](x), WRITEABLE[layout](t)
    return partial(getattr(loss.kind(**options), method), x, t, **outputs)


def bind_huge(job: Job, size: int) -> Callable[[], Any]:
    """Return a call on more numbers than fit into memory: the stride is 0, or rows are windows over one array."""
    name, method, dtype, _, _, layout = job
    loss = next(loss for loss in LOSSES if loss.name == name)
    shape = (size // 32_000, 32_000)
    if layout == "stride 0":
        x = np.broadcast_to(np.asarray(0.25, dtype), shape)
    else:
        base = np.random.default_rng(0).random(sum(shape)).astype(dtype)
        x = np.lib.stride_tricks.as_strided(base, shape, base.strides * 2)
    t = np.broadcast_to(np.int8(1), shape if loss.binary else shape[:1])
    return partial(getattr(loss.kind(), method), x, t)


def growth(*job: Any) -> tuple[int, int]:
    """Return the KiB by which a call raises the peak and the KiB of its results, after a smaller call to warm up."""
    huge = job[-1] in HUGE
    make = bind_huge if huge else bind
    warm_up = 300_000 if cecore.get_num_threads() > 1 else 10_000  # with several threads, the warm-up starts them
    bind((*job[:4], 10, "plain") if huge else job, max(warm_up, job[4]))()
    call = make(job, 70_000 * 32_000 if huge else SIZE // 8 if job[-1] == EVERYWHERE else SIZE)
    grown, result = peak_growth(call)
    return grown, 0 if job[-1] == EVERYWHERE else result  # there the arrays for the results exist before the call


def peak_growth(call: Callable[[], Any]) -> tuple[int, int]:
    """Return the KiB by which a call raises the peak of this process, and the KiB of its results."""
    with suppress(OSError, AttributeError):  # memory that earlier calls have freed would hide what this call takes
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before = status("VmHWM")
    result = call()
    return status("VmHWM") - before, sum(part.nbytes for part in parts(result) if part.ndim) // 1024


def blind(grown: int, result: int) -> bool:
    """Return whether the peak grew by less than the results of the call."""
    return grown < 0.9 * result


def extra_kib(call: Callable[[], Any]) -> int | None:
    """Return the KiB that a call with new arrays needs in addition to its results; None if that cannot be measured."""
    try:
        grown, result = peak_growth(call)
    except OSError:  # not Linux
        return None
    return None if blind(grown, result) else grown - result


def anonymous_growth(*job: Any) -> tuple[int, int]:
    """Return the same for a file of 4 GB: the growth of anonymous memory, sampled some hundred times a second."""
    loss = next(loss for loss in LOSSES if loss.name == job[0])
    made = getattr(loss.kind(), job[1])
    made(loss.predictions(np.random.default_rng(0), 1_000_000, job[2]), np.zeros(1_000_000, np.int8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions"
        part = loss.predictions(np.random.default_rng(0), MAPPED_SIZE // 64, job[2])
        with path.open("wb") as file:
            for _ in range(64):
                part.tofile(file)
        x = np.memmap(path, job[2], "r")
        peak = before = status("RssAnon")
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.005):
                peak = max(peak, status("RssAnon"))

        watcher = threading.Thread(target=watch)
        watcher.start()
        made(x, np.broadcast_to(np.int8(1), x.size))
        done.set()
        watcher.join()
    return peak - before, 0


def status(name: str) -> int:
    """Return a figure of this process in KiB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])
