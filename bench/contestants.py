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
from .cells import OUTPUTS, Cell, Problem
from .results import BANDWIDTH, FORMULA, OURS

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
        return partial(getattr(cecore, cell.job), problem.x, **outputs)
    loss = cell.loss.kind(reduction=cell.reduction)
    call = cell.loss.function if cell.method == "function" else getattr(loss, cell.method)
    weights = {} if problem.weights is None else {"sample_weight": problem.weights}
    return partial(call, problem.x, problem.targets, **weights, **outputs)


def tight(part: Any, dtype: np.dtype) -> float:
    """Return 1e-14 for a float64 sum; for arrays and for float32, the documented bounds with some room."""
    return 1e-14 if np.ndim(part) == 0 and dtype == np.float64 else 8 * float(np.finfo(dtype).eps)


def loose(part: Any, dtype: np.dtype) -> float:
    """Return 1e-5, and 1e-3 for float32 arrays, because 1 - p in a formula rounds a small p away."""
    return 1e-3 if np.ndim(part) and dtype == np.float32 else 1e-5


def cecore_at(level: str) -> Contestant:
    """Return cecore at one instruction-set level."""
    select = partial(setattr, _dispatch, "kernels", _dispatch.usable[level])
    return Contestant(f"{OURS}{level}", bind_cecore, tight, select, relative=True)


def peer(name: str) -> Contestant | str:
    """Return a peer, or the reason why there is none."""
    module, distribution = PEERS[name]
    try:
        return Contestant(name, import_module(f".peers.{module}", __package__).bind, loose)
    except ImportError as error:
        return "not installed" if installed(distribution) is None else f"not importable: {error}"


def installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def contestants(levels: Sequence[str], wanted: Sequence[str]) -> tuple[list[Contestant], dict[str, str]]:
    """Return the contestants, the best level of cecore first, and for each peer that is absent the reason."""
    found = {name: peer(name) for name in PEERS if _matches(name, wanted)}
    absent = {name: word for name, word in found.items() if isinstance(word, str)}
    field = [cecore_at(level) for level in reversed(levels)]
    field += [one for one in found.values() if isinstance(one, Contestant)]
    return [*field, Contestant(BANDWIDTH, bandwidth.bind)], absent


def _matches(name: str, wanted: Sequence[str]) -> bool:
    """Return whether the name has one of the patterns in it. Without patterns, only torch.compile does not match."""
    return any(pattern.lower() in name.lower() for pattern in wanted) if wanted else name != COMPILED
