"""Plain C: the loops of plain_loops.h, called by ctypes.

The system's compiler compiles them for one instruction-set level. It may reorder sums and use the vector functions of
glibc (libmvec).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..cells import Cell, Problem
from . import Skip

LOOPS = Path(__file__).with_name("plain_loops.h")  # no .c file of the tree is written by hand
COMPILER = os.environ.get("CC", "cc").split()
FLAGS = {
    "x86_v4": ("-Ofast", "-march=native", "-mprefer-vector-width=512"),
    "x86_v3": ("-O3", "-ffast-math", "-march=x86-64-v3"),
    "baseline": ("-O3", "-ffast-math"),
}
REALS = {"float64": ("double", ctypes.c_double), "float32": ("float", ctypes.c_float)}
KINDS = {"hard": "hard", "soft": "soft", "blocks": "soft"}  # the loops on probabilities for each kind of targets


@cache
def libraries(level: str) -> dict[str, ctypes.CDLL]:
    """Compile the loops for each dtype. Raise ImportError with the reason if they cannot be compiled or loaded."""
    if shutil.which(COMPILER[0]) is None:
        raise ImportError(f"no compiler ({COMPILER[0]})")
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            return {dtype: _library(Path(folder), level, dtype) for dtype in REALS}
    except subprocess.CalledProcessError as error:
        raise ImportError(f"the compiler fails: {error.stderr.strip().partition(chr(10))[0]}") from error
    except OSError as error:
        raise ImportError(f"the compiled library does not load: {error}") from error


def _library(folder: Path, level: str, dtype: str) -> ctypes.CDLL:
    name, real = REALS[dtype]
    path = folder / f"{name}.so"
    # Linked with -Ofast, GCC's start-up code would make the whole process flush subnormal numbers to 0.
    source, compiled = path.with_suffix(".c"), path.with_suffix(".o")
    source.write_text(f'#define REAL {name}\n#include "{LOOPS.as_posix()}"\n', encoding="utf-8")
    words = [*COMPILER, *FLAGS[level], "-fPIC", "-c", str(source), "-o", str(compiled)]
    subprocess.run(words, check=True, capture_output=True, text=True)
    words = [*COMPILER, "-shared", str(compiled), "-o", str(path), "-lmvec", "-lm"]
    subprocess.run(words, check=True, capture_output=True, text=True)
    library = ctypes.CDLL(str(path))
    for function in ("hard_forward", "soft_forward", "logits_forward", "rows_forward", "labels_forward"):
        for made in (function, f"{function}_backward"):
            if hasattr(library, made):
                getattr(library, made).restype = real
    return library


def compiler() -> str | None:
    """Return the version of the compiler, if there is one."""
    try:
        words = [*COMPILER, "-dumpfullversion", "-dumpversion"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def bind_at(level: str, cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    if threads > 1:
        raise Skip("one thread only")
    if problem.x.dtype.name not in REALS or not all(array.flags.c_contiguous for array in problem.inputs):
        raise Skip("only contiguous arrays in float64 or float32")
    name = _name(cell)
    function = getattr(libraries(level)[problem.x.dtype.name], name, None) if name else None
    if function is None:
        raise Skip("no loop for this cell")
    if problem.targets is not None and problem.targets.dtype not in (problem.x.dtype, np.int64):
        raise Skip("only targets in the dtype of the predictions")
    written = 0 if name.endswith("_forward") else 2 if name.endswith("hessian") else 1
    shape = [ctypes.c_long(len(problem.x)), *([ctypes.c_long(cell.classes)] if cell.classes > 1 else [])]
    inputs = [_pointer(array) for array in problem.inputs]

    def fresh() -> Any:
        outputs = tuple(problem.out() for _ in range(written))
        return _results(function, (*inputs, *map(_pointer, outputs), *shape), outputs)

    if written and not problem.outputs:
        return fresh
    outputs = problem.outputs[:written]
    arguments = (*inputs, *map(_pointer, outputs), *shape)
    return partial(_results, function, arguments, outputs, problem)


def _name(cell: Cell) -> str | None:
    """Return the name of the loop for a cell; None if there is none."""
    if cell.beyond or cell.results == "in place":
        return None
    if cell.activation:
        return cell.job
    if cell.job == "ce_logits":
        return f"labels_{cell.method}" if cell.targets == "labels" else None
    if cell.job == "ce":
        return None if cell.labels else f"rows_{cell.method}"
    if cell.targets not in KINDS:
        return None
    kind = "logits" if cell.job == "bce_logits" else KINDS[cell.targets]
    return f"{kind}_{'none' if cell.reduction == 'none' else cell.method}"


def _results(function: Any, arguments: tuple[Any, ...], outputs: tuple[np.ndarray, ...], *_: Any) -> Any:
    """Call a loop. What follows `outputs` is only kept alive."""
    value = function(*arguments)
    results = outputs if function.restype is ctypes.c_int else (value, *outputs)
    return results[0] if len(results) == 1 else results


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
