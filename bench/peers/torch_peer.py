"""PyTorch, eager: `torch.nn.functional`, and autograd for gradients, on tensors that share memory with the arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ..cells import Cell, Problem
from . import Skip

EPS = 1e-7


Loss = Callable[[Any], Any]


def bind(
    cell: Cell, problem: Problem, threads: int, prepared: Callable[[Loss], Loss] = lambda loss: loss
) -> Callable[[], Any]:
    torch.set_num_threads(threads)
    x = torch.from_numpy(problem.x)
    if cell.activation:
        return _activation(cell.job, x, problem)
    if cell.method == "gradient_hessian":
        return _derivatives(cell, x, problem)
    if cell.results == "in place":
        raise Skip("autograd always makes a new gradient")
    loss = prepared(_loss(cell, problem))
    if cell.method in ("forward", "function"):
        return lambda: loss(x)
    leaf = x.detach().requires_grad_()
    if cell.method == "backward":  # the graph was made before, so the forward pass is not timed
        value = loss(leaf)
        return lambda: torch.autograd.grad(value, leaf, retain_graph=True)[0]

    def both() -> tuple[Any, Any]:
        value = loss(leaf)
        return value, torch.autograd.grad(value, leaf)[0]

    return both


def _loss(cell: Cell, problem: Problem) -> Callable[[Any], Any]:
    t, reduction = torch.from_numpy(problem.targets), cell.reduction
    if cell.job == "bce":
        return _binary_loss(cell, problem, t)
    if cell.job == "bce_logits":
        return lambda z: functional.binary_cross_entropy_with_logits(z, t, reduction=reduction)
    if cell.job == "ce_logits":
        return lambda z: functional.cross_entropy(z, t, reduction=reduction)
    if cell.labels:
        column = t[:, None]
        return lambda p: -p.gather(1, column).clamp(EPS, 1 - EPS).log().mean()
    return lambda p: -(t * p.clamp(EPS, 1 - EPS).log()).sum(-1).mean()


def _binary_loss(cell: Cell, problem: Problem, t: Any) -> Callable[[Any], Any]:
    """PyTorch limits the logarithm to -100 instead of clipping, so only subnormal probabilities need a clamp before."""
    if problem.weights is not None:
        w = torch.from_numpy(problem.weights)
        if cell.reduction == "none":
            return lambda p: functional.binary_cross_entropy(p, t, w, reduction="none")
        return lambda p: functional.binary_cross_entropy(p, t, w, reduction="sum") / w.sum()
    if cell.targets == "int8":  # PyTorch takes no integers here
        return lambda p: functional.binary_cross_entropy(p, t.to(p.dtype), reduction=cell.reduction)
    if cell.targets == "subnormals":
        return lambda p: functional.binary_cross_entropy(p.clamp(EPS, 1 - EPS), t, reduction=cell.reduction)
    return lambda p: functional.binary_cross_entropy(p, t, reduction=cell.reduction)


def _derivatives(cell: Cell, x: Any, problem: Problem) -> Callable[[], Any]:
    """Return the derivatives in closed form, because differentiating twice would be slower."""
    y = torch.from_numpy(problem.targets)
    outputs = [torch.from_numpy(output) for output in problem.outputs] or (None, None)
    g, h = outputs

    def by_logits() -> tuple[Any, Any]:
        p = torch.sigmoid(x, out=h)
        gradient = torch.sub(p, y, out=g)
        return gradient, torch.addcmul(p, p, p, value=-1, out=h)

    def by_probs() -> tuple[Any, Any]:  # for hard labels: -1 / q or 1 / (1 - q), and its square
        gradient = torch.clamp(x, EPS, 1 - EPS, out=g).add_(y).sub_(1).reciprocal_().neg_()
        return gradient, torch.square(gradient, out=h)

    return by_logits if cell.logits else by_probs


def _activation(job: str, x: Any, problem: Problem) -> Callable[[], Any]:
    out = torch.from_numpy(problem.outputs[0]) if problem.outputs else None
    if job == "sigmoid":
        return lambda: torch.sigmoid(x, out=out)
    function = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}[job]
    return lambda: function(x, -1, out=out)
