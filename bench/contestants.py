"""Who is measured: cecore at each of its levels, the peers, and the memory floor."""

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

from . import floor
from .cells import OUTPUTS, Cell, Problem
from .results import FLOOR, FORMULA, OURS

COMPILED = "torch.compile"
PEERS = {  # by the names of the tables: the module and the distribution
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
    bind: Bind  # raises Skip where it does not take part
    tolerance: Callable[[Any, np.dtype], float] | None = None  # relative, of a part of the result; None: no check
    select: Callable[[], None] = lambda: None  # called before the timed calls
    relative: bool = False  # right for small gradients too


def bind_cecore(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    """The call on arrays, the method looked up beforehand, as the functions of the peers are."""
    cecore.set_num_threads(threads)
    outputs = dict(zip(OUTPUTS.get(cell.method, ()), problem.outputs, strict=False))
    if cell.activation:
        return partial(getattr(cecore, cell.job), problem.x, **outputs)
    loss = cell.loss.kind(reduction=cell.reduction)
    call = cell.loss.function if cell.method == "function" else getattr(loss, cell.method)
    weights = {} if problem.weights is None else {"sample_weight": problem.weights}
    return partial(call, problem.x, problem.targets, **weights, **outputs)


def tight(part: Any, dtype: np.dtype) -> float:
    """1e-14 for a float64 sum; of arrays and of float32, the documented bounds with some room."""
    return 1e-14 if np.ndim(part) == 0 and dtype == np.float64 else 8 * float(np.finfo(dtype).eps)


def loose(part: Any, dtype: np.dtype) -> float:
    """1e-5; of arrays in float32 less, as a formula's 1 - p has rounded a small p away."""
    return 1e-3 if np.ndim(part) and dtype == np.float32 else 1e-5


def cecore_at(level: str) -> Contestant:
    """Cecore, at one instruction-set level."""
    select = partial(setattr, _dispatch, "kernels", _dispatch.usable[level])
    return Contestant(f"{OURS}{level}", bind_cecore, tight, select, relative=True)


def peer(name: str) -> Contestant | str:
    """A peer, or why there is none."""
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
    """Those that take part, and a word on each other; the best level of cecore comes first."""
    found = {name: peer(name) for name in PEERS if _matches(name, wanted)}
    absent = {name: word for name, word in found.items() if isinstance(word, str)}
    field = [cecore_at(level) for level in reversed(levels)]
    field += [one for one in found.values() if isinstance(one, Contestant)]
    return [*field, Contestant(FLOOR, floor.bind)], absent


def _matches(name: str, wanted: Sequence[str]) -> bool:
    """Whether the name has one of the patterns in it; without any, all but the one that must be asked for."""
    return any(pattern.lower() in name.lower() for pattern in wanted) if wanted else name != COMPILED
