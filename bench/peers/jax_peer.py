"""JAX: one jitted function for each call, `jax.value_and_grad` for gradients, on its own copies of the arrays.

Each formula is written in the way that XLA compiles to the fastest code on a CPU. XLA stores the terms of a sum in an
array. Large arrays are therefore summed in pieces that stay in the cache, in the cells where that is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..cells import Cell, Problem
from . import Skip

EPS = 1e-7
PIECE = 50_000  # elements
jax.config.update("jax_enable_x64", True)


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    if not all(array.flags.c_contiguous for array in problem.inputs):
        raise Skip("JAX arrays have no strides")
    x = jnp.array(problem.x)
    rest = tuple(jnp.array(array) for array in problem.inputs[1:])
    if cell.results == "in place":
        return _in_place(jax.jit(jax.value_and_grad(_loss(cell)), donate_argnums=0), x, rest)
    function = piecewise(cell) if _in_pieces(cell, x.size, threads) else _function(cell)
    if problem.outputs:
        return _reusing(function, (x, *rest), [jnp.array(output) for output in problem.outputs])
    call = jax.jit(function)
    return lambda: jax.block_until_ready(call(x, *rest))


def _reusing(function: Callable[..., Any], arguments: tuple[Any, ...], outputs: list[Any]) -> Callable[[], Any]:
    """Return a call that donates spare arrays: XLA writes the results there, and the next call donates those."""
    call = jax.jit(lambda spares, *arguments: function(*arguments), donate_argnums=0, keep_unused=True)
    spares, count = tuple(outputs), len(outputs)

    def step() -> Any:
        nonlocal spares
        result = jax.block_until_ready(call(spares, *arguments))
        spares = result[-count:] if isinstance(result, tuple) else (result,)
        return result

    return step


def _in_place(call: Callable[..., Any], x: Any, rest: tuple[Any, ...]) -> Callable[[], Any]:
    """Return a call that donates the logits, so that XLA can write the gradient to their memory."""

    def step() -> tuple[Any, Any]:
        nonlocal x
        value, x = jax.block_until_ready(call(x, *rest))
        return value, x

    return step


def _function(cell: Cell) -> Callable[..., Any]:
    if cell.activation:
        return ACTIVATIONS[cell.job]
    if cell.job == "ce" and not cell.labels and cell.method in ROW_DERIVATIVES:
        return ROW_DERIVATIVES[cell.method]
    if cell.method == "gradient_hessian":
        return derivatives_by_logits if cell.logits else derivatives_by_probs
    loss = _loss(cell)
    transforms = {"backward": jax.grad, "forward_backward": jax.value_and_grad}
    return transforms.get(cell.method, lambda function: function)(loss)


def _loss(cell: Cell) -> Callable[..., Any]:
    return reduced(_losses(cell), cell.reduction)


def _losses(cell: Cell) -> Callable[..., Any]:
    if cell.job == "bce":
        return hard_losses if cell.hard else soft_losses if cell.method == "forward_backward" else soft_losses_log1p
    by_kind = {"ce": (probs_by_labels, probs_by_rows), "ce_logits": (logits_by_labels, logits_by_rows)}
    return softplus_losses if cell.job == "bce_logits" else by_kind[cell.job][not cell.labels]


def _in_pieces(cell: Cell, size: int, threads: int) -> bool:
    """Return whether sums in pieces were found to be faster. With several threads, the threads share each piece."""
    if cell.activation or not cell.loss.binary or cell.reduction == "none" or size < 20 * PIECE or size % PIECE:
        return False
    return (cell.job, cell.method) == ("bce", "forward") or (cell.method == "forward_backward" and threads == 1)


def piecewise(cell: Cell) -> Callable[..., Any]:
    losses, with_gradient = _losses(cell), cell.method == "forward_backward"

    def function(x: Any, t: Any, w: Any = None) -> Any:
        divisor = x.size if w is None else jnp.sum(w)

        def part(x: Any, t: Any, w: Any = None) -> Any:
            each = losses(x, t)
            return jnp.sum(each if w is None else w * each) / divisor

        def step(total: Any, piece: Any) -> Any:
            if not with_gradient:
                return total + part(*piece), None
            value, gradient = jax.value_and_grad(part)(*piece)
            return total + value, gradient

        pieces = tuple(array.reshape(-1, PIECE) for array in (x, t, w) if array is not None)
        total, gradients = jax.lax.scan(step, jnp.zeros((), x.dtype), pieces)
        return (total, gradients.reshape(x.shape)) if with_gradient else total

    return function


def reduced(losses: Callable[..., Any], reduction: str) -> Callable[..., Any]:
    def loss(x: Any, t: Any, w: Any = None) -> Any:
        each = losses(x, t)
        if reduction == "none":
            return each if w is None else w * each
        if reduction == "sum":
            return jnp.sum(each)
        return jnp.mean(each) if w is None else jnp.sum(w * each) / jnp.sum(w)

    return loss


def hard_losses(p: Any, y: Any) -> Any:
    q = jnp.clip(p, EPS, 1 - EPS)
    return -jnp.log(jnp.where(y > 0.5, q, 1 - q))


def soft_losses(p: Any, y: Any) -> Any:
    q = jnp.clip(p, EPS, 1 - EPS)
    return -(y * jnp.log(q) + (1 - y) * jnp.log(1 - q))


def soft_losses_log1p(p: Any, y: Any) -> Any:
    q = jnp.clip(p, EPS, 1 - EPS)
    return -(y * jnp.log(q) + (1 - y) * jnp.log1p(-q))


def derivatives_by_probs(p: Any, y: Any) -> tuple[Any, Any]:
    gradient = 1 / (1 - y - jnp.clip(p, EPS, 1 - EPS))  # for hard labels
    return gradient, gradient * gradient


def softplus_losses(z: Any, y: Any) -> Any:
    return jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z)))


def derivatives_by_logits(z: Any, y: Any) -> tuple[Any, Any]:
    p = jax.nn.sigmoid(z)
    return p - y, p * (1 - p)


def _at(x: Any, t: Any) -> Any:
    return jnp.take_along_axis(x, t[:, None], axis=-1)[:, 0]


def probs_by_labels(p: Any, t: Any) -> Any:
    return -jnp.log(jnp.clip(_at(p, t), EPS, 1 - EPS))


def probs_by_rows(p: Any, t: Any) -> Any:
    return -jnp.sum(t * jnp.log(jnp.clip(p, EPS, 1 - EPS)), axis=-1)


def gradient_by_rows(p: Any, t: Any) -> Any:  # autodiff gives clipped probabilities the gradient 0
    return t / jnp.clip(p, EPS, 1 - EPS) * (-1 / len(p))


def both_by_rows(p: Any, t: Any) -> tuple[Any, Any]:
    return jnp.mean(probs_by_rows(p, t)), gradient_by_rows(p, t)


def derivatives_by_rows(p: Any, t: Any) -> tuple[Any, Any]:
    q = jnp.clip(p, EPS, 1 - EPS)
    return -t / q, t / (q * q)


def softmax_backward(s: Any, upstream: Any) -> Any:
    return s * (upstream - jnp.sum(s * upstream, axis=-1, keepdims=True))


ROW_DERIVATIVES = {
    "backward": gradient_by_rows,
    "forward_backward": both_by_rows,
    "gradient_hessian": derivatives_by_rows,
}
ACTIVATIONS = {
    "sigmoid": jax.nn.sigmoid,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "softmax_backward": softmax_backward,
}


def logits_by_labels(z: Any, t: Any) -> Any:
    return jax.nn.logsumexp(z, axis=-1) - _at(z, t)


def logits_by_rows(z: Any, t: Any) -> Any:
    return jnp.sum(t, axis=-1) * jax.nn.logsumexp(z, axis=-1) - jnp.sum(t * z, axis=-1)
