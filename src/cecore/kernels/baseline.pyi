from typing import Any

from numpy import ndarray

compiler: str
flags: str
has_fma: bool

def cpu_level() -> int: ...
def pack(
    kind: int,
    reduction: int = 0,
    eps: float = 0,
    smoothing: float = 0,
    gamma: float = 0,
    ignore_index: int | None = None,
    axis: int = -1,
    zero_outside: bool = False,
    by_count: bool = False,
    length: int = 0,
    weights: tuple[float, ...] = (),
) -> bytes: ...
def loss(
    options: bytes,
    x: Any,
    targets: Any,
    weights: Any,
    upstream: Any,
    wanted: int,
    value_out: Any,
    gradient_out: Any,
    hessian_out: Any,
) -> Any: ...
def activation(kind: int, flags: int, x: Any, upstream: Any, out: Any) -> Any: ...
def rounded(units: int, divisor: int | None = None) -> float: ...
def set_threading(least: int, chunk: int) -> tuple[int, int]: ...
def evaluate(number: int, a: ndarray, b: ndarray, c: ndarray, out: ndarray) -> None: ...
def exact_sum(terms: ndarray, repeats: int = 1) -> float: ...
def probe(
    n: int,
    wanted: int,
    flags: int,
    arrays: tuple[ndarray, ...],
    constants: tuple[float, ...],
    weighted: bool = False,
    is_wide: bool = False,
) -> float: ...
