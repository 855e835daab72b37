from typing import Any

from numpy import ndarray

compiler: str
flags: str
has_fma: bool

def cpu_level() -> int: ...
def elements(
    eps: float,
    zero_outside: bool,
    reduction: int,
    probs: Any,
    targets: Any,
    weights: Any,
    upstream: Any,
    wanted: int,
    value_out: Any,
    gradient_out: Any,
    hessian_out: Any,
) -> Any: ...
def rows(
    eps: float,
    zero_outside: bool,
    reduction: int,
    probs: Any,
    targets: Any,
    weights: Any,
    upstream: Any,
    wanted: int,
    value_out: Any,
    gradient_out: Any,
    hessian_out: Any,
) -> Any: ...
def evaluate(function: str, x: ndarray, y: ndarray, out: ndarray) -> None: ...
def exact_sum(terms: ndarray) -> float: ...
