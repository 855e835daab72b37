"""The contestants: cecore at each of its levels, the peers, and the bandwidth baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import cecore
from cecore import _dispatch

from . import bandwidth
from .cells import OUTPUTS, Cell, Problem, epsilon
from .peers import Skip, c_peer
from .results import BANDWIDTH, FORMULA, OURS, PLAIN_C

COMPILED = "torch.compile"
PEERS = {  # the name in the tables, the module and the distribution
    FORMULA: ("numpy_peer", "numpy"),
    "PyTorch": ("torch_peer", "torch"),
    "JAX": ("jax_peer", "jax"),
    "scikit-learn": ("sklearn_peer", "scikit-learn"),
    "SciPy": ("scipy_peer", "scipy"),
    "numexpr": ("numexpr_peer", "numexpr"),
    "numba": ("numba_peer", "numba"),
    COMPILED: ("torch_compiled_peer", "torch"),
}
ALSO: dict[str, Callable[[Cell], bool]] = {  # which of the cells with options or unusual arrays a peer takes
    FORMULA: lambda cell: True,
    "PyTorch": lambda cell: True,
    "JAX": lambda cell: cell.reduction == "none" and not cell.options,
    "scikit-learn": lambda cell: cell.form in ("column", "lists"),
    "SciPy": lambda cell: cell.form == "column",
    "numexpr": lambda cell: cell.form == "column",
    "numba": lambda cell: cell.form == "column",
}
Bind = Callable[[Cell, Problem, int], Callable[[], Any]]


@dataclass(frozen=True)
class Contestant:
    name: str
    bind: Bind  # raises Skip if the contestant does not take part in a cell
    tolerance: Callable[[Any, np.dtype], float] | None = None  # of a part of the result, relative; None: no check
    select: Callable[[], None] = lambda: None  # is called before the timed calls
    relative: bool = False  # small gradients have a small relative error too


def bind_cecore(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    """Return the call. The method is looked up in advance, like the functions of the peers."""
    cecore.set_num_threads(threads)
    outputs = dict(zip(OUTPUTS.get(cell.method, ()), problem.outputs, strict=False))
    if cell.activation:
        inputs = [problem.x] if problem.targets is None else [problem.targets, problem.x]  # the upstream gradient first
        return partial(getattr(cecore, cell.job), *inputs, **outputs)
    loss = cell.loss.kind(**cell.loss_options)
    call = cell.loss.function if cell.method == "function" else getattr(loss, cell.method)
    weights = {} if problem.weights is None else {"sample_weight": problem.weights}
    x, targets = problem.lists() if cell.form == "lists" else (problem.x, problem.targets)
    return partial(call, x, targets, **weights, **outputs)


def tight(part: Any, dtype: np.dtype) -> float:
    """Return 1e-14 for a float64 sum; for arrays and for float32, the documented bounds with some room."""
    return 1e-14 if np.ndim(part) == 0 and dtype == np.float64 else 8 * epsilon(dtype)


def loose(part: Any, dtype: np.dtype) -> float:
    """Return 1e-5, and 1e-3 for float32 arrays, because 1 - p in a formula rounds a small p away; more for halves."""
    return 2e-2 if dtype.itemsize == 2 else 1e-3 if np.ndim(part) and dtype == np.float32 else 1e-5


def cecore_at(level: str) -> Contestant:
    """Return cecore at one instruction-set level."""
    select = partial(setattr, _dispatch, "kernels", _dispatch.usable[level])
    return Contestant(f"{OURS}{level}", bind_cecore, tight, select, relative=True)


def peer(name: str) -> Contestant | str:
    """Return a peer, or the reason why there is none."""
    module, distribution = PEERS[name]
    try:
        bind = partial(bind_peer, name, import_module(f".peers.{module}", __package__).bind)
        return Contestant(name, bind, loose)
    except ImportError as error:
        return "not installed" if installed(distribution) is None else f"not importable: {error}"


def bind_peer(name: str, bind: Bind, cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    if cell.beyond and not (name in ALSO and ALSO[name](cell)):
        raise Skip("not written for this cell")
    return bind(cell, problem, threads)


def plain_c(level: str) -> Contestant | str:
    """Return plain C compiled for an instruction-set level, or the reason why there is none."""
    try:
        c_peer.libraries(level)
        return Contestant(f"{PLAIN_C}{level}", partial(c_peer.bind_at, level), loose)
    except ImportError as error:
        return str(error)


def installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def contestants(levels: Sequence[str], wanted: Sequence[str]) -> tuple[list[Contestant], dict[str, str]]:
    """Return the contestants, the best level of cecore first, and for each peer that is absent the reason."""
    found = {name: peer(name) for name in PEERS if _matches(name, wanted)}
    vectors = [level for level in levels if level != "baseline"] or levels
    names = {f"{PLAIN_C}{level}": level for level in reversed(vectors)}
    found |= {name: plain_c(level) for name, level in names.items() if _matches(name, wanted)}
    absent = {name: word for name, word in found.items() if isinstance(word, str)}
    field = [cecore_at(level) for level in reversed(levels)]
    field += [one for one in found.values() if isinstance(one, Contestant)]
    return [*field, Contestant(BANDWIDTH, bandwidth.bind)], absent


def _matches(name: str, wanted: Sequence[str]) -> bool:
    """Return whether the name has one of the patterns in it. Without patterns, only torch.compile does not match."""
    return any(pattern.lower() in name.lower() for pattern in wanted) if wanted else name != COMPILED
