"""PyTorch, eager: `torch.nn.functional`, and autograd for gradients, on tensors that share memory with the arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..cells import HALF, Cell, Problem
from . import Skip

EPS = 1e-7


Loss = Callable[[Any], Any]


def bind(
    cell: Cell, problem: Problem, threads: int, prepared: Callable[[Loss], Loss] = lambda loss: loss
) -> Callable[[], Any]:
    torch.set_num_threads(threads)
    x = tensor(problem.x)
    if cell.activation:
        return _activation(cell, x, problem)
    if cell.form == "lists":
        return _from_lists(*problem.lists())
    if cell.job == "ce" and not cell.labels and cell.method != "forward":
        return _row_derivatives(cell, x, problem)
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


def tensor(array: np.ndarray) -> Any:
    if array.dtype.name == "bfloat16":  # from_numpy does not know this dtype
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def _from_lists(x: list[float], t: list[float]) -> Callable[[], Any]:
    convert = partial(torch.tensor, dtype=torch.float64)
    return lambda: functional.binary_cross_entropy(convert(x), convert(t))


def _loss(cell: Cell, problem: Problem) -> Callable[[Any], Any]:
    t, reduction = tensor(problem.targets), cell.reduction
    if cell.form in HALF:
        return _in_float32(cell, t)
    if cell.options:
        return _with_options(cell, problem, t)
    if cell.job == "bce":
        return _binary_loss(cell, problem, t)
    if cell.job == "bce_logits":
        return lambda z: functional.binary_cross_entropy_with_logits(z, t, reduction=reduction)
    if cell.job == "ce_logits":
        return lambda z: functional.cross_entropy(z, t, reduction=reduction)
    if cell.labels:
        column = t[:, None]
        return lambda p: -p.gather(1, column).clamp(EPS, 1 - EPS).log().mean()
    if reduction == "none":
        return lambda p: -(t * p.clamp(EPS, 1 - EPS).log()).sum(-1)
    return lambda p: -(t * p.clamp(EPS, 1 - EPS).log()).sum(-1).mean()


def _in_float32(cell: Cell, t: Any) -> Callable[[Any], Any]:
    """The loss in float32, as automatic mixed precision computes it."""
    functions = {
        "bce": functional.binary_cross_entropy,
        "bce_logits": functional.binary_cross_entropy_with_logits,
        "ce_logits": functional.cross_entropy,
    }
    function, reduction = functions[cell.job], cell.reduction
    if cell.labels:
        return lambda x: function(x.float(), t, reduction=reduction)
    if not cell.logits:  # many probabilities are rounded to 1, where PyTorch limits the logarithm to -100
        return lambda x: function(x.float().clamp(EPS, 1 - EPS), t.float(), reduction=reduction)
    return lambda x: function(x.float(), t.float(), reduction=reduction)


def _with_options(cell: Cell, problem: Problem, t: Any) -> Callable[[Any], Any]:
    options, w = cell.loss_options, None if problem.weights is None else tensor(problem.weights)
    gamma, smoothing = options.get("focal_gamma"), options.get("label_smoothing", 0.0)
    dtype = tensor(problem.x).dtype
    if cell.job == "ce_logits":
        given = {"label_smoothing": smoothing}
        if "class_weight" in options:
            given["weight"] = torch.tensor(options["class_weight"], dtype=dtype)
        losses = partial(functional.cross_entropy, target=t, **given)
    else:
        positive = torch.tensor(options["pos_weight"], dtype=dtype) if "pos_weight" in options else None
        losses = partial(_binary, cell.logits, t, smoothing, positive)
    if gamma is not None:

        def focal(z: Any) -> Any:
            each = losses(z, reduction="none")
            return ((1 - torch.exp(-each)) ** gamma * each).mean()

        return focal
    if w is None:
        return lambda z: losses(z, reduction="mean")
    if cell.job == "ce_logits":
        return lambda z: (losses(z, reduction="none") * w).sum() / w.sum()
    return lambda z: losses(z, weight=w, reduction="sum") / w.sum()


def _binary(logits: bool, t: Any, smoothing: float, positive: Any, x: Any, reduction: str, weight: Any = None) -> Any:
    if smoothing:
        t = t * (1 - smoothing) + smoothing / 2
    if logits:
        return functional.binary_cross_entropy_with_logits(x, t, weight, reduction=reduction, pos_weight=positive)
    if positive is not None:  # only the loss on logits has this option
        weight = 1 + (positive - 1) * t
    return functional.binary_cross_entropy(x, t, weight, reduction=reduction)


def _row_derivatives(cell: Cell, x: Any, problem: Problem) -> Callable[[], Any]:
    """Return the value and the derivatives in closed form: autograd gives clipped probabilities the gradient 0."""
    t, n = tensor(problem.targets), len(problem.x)
    outputs = [tensor(output) for output in problem.outputs] or [None, None]

    def backward() -> Any:
        return torch.div(t, x.clamp(EPS, 1 - EPS), out=outputs[0]).mul_(-1 / n)

    def both() -> tuple[Any, Any]:
        q = x.clamp(EPS, 1 - EPS)
        return (t * q.log()).sum() / -n, torch.div(t, q, out=outputs[0]).mul_(-1 / n)

    def derivatives() -> tuple[Any, Any]:
        q = x.clamp(EPS, 1 - EPS)
        gradient = torch.div(t, q, out=outputs[0])
        hessian = torch.div(gradient, q, out=outputs[1])
        return gradient.neg_(), hessian

    return {"backward": backward, "forward_backward": both, "gradient_hessian": derivatives}[cell.method]


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
    y = tensor(problem.targets)
    g, h = [tensor(output) for output in problem.outputs] or (None, None)
    if "focal_gamma" in cell.loss_options:
        raise Skip("no second derivative of the focal loss")
    w = None if problem.weights is None else tensor(problem.weights)
    positive = cell.loss_options.get("pos_weight")

    def with_options() -> tuple[Any, Any]:
        p = torch.sigmoid(x)
        if positive is None:
            return torch.sub(p, y, out=g).mul_(w), torch.addcmul(p, p, p, value=-1, out=h).mul_(w)
        total = torch.add(y, y, alpha=positive - 2).add_(1)  # positive * y + 1 - y
        hessian = torch.addcmul(p, p, p, value=-1, out=h).mul_(total)
        return torch.mul(p, total, out=g).sub_(y, alpha=positive), hessian

    if cell.options:
        return with_options

    def by_logits() -> tuple[Any, Any]:
        p = torch.sigmoid(x, out=h)
        gradient = torch.sub(p, y, out=g)
        return gradient, torch.addcmul(p, p, p, value=-1, out=h)

    def by_probs() -> tuple[Any, Any]:  # for hard labels: -1 / q or 1 / (1 - q), and its square
        gradient = torch.clamp(x, EPS, 1 - EPS, out=g).add_(y).sub_(1).reciprocal_().neg_()
        return gradient, torch.square(gradient, out=h)

    return by_logits if cell.logits else by_probs


def _activation(cell: Cell, x: Any, problem: Problem) -> Callable[[], Any]:
    job, out = cell.job, tensor(problem.outputs[0]) if problem.outputs else None
    if job == "softmax_backward":
        function, upstream = torch.ops.aten._softmax_backward_data, tensor(problem.targets)
        given = {} if out is None else {"grad_input": out}
        return lambda: function(upstream, x, -1, x.dtype, **given)
    if job == "sigmoid":
        return lambda: torch.sigmoid(x, out=out)
    function = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}[job]
    return lambda: function(x, -1, out=out)
