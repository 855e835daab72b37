"""scikit-learn: `metrics.log_loss` on probabilities, and on logits the compiled losses of its estimators, `_loss`.

`log_loss` is called as users call it, with its default arguments; only if a class does not occur in the targets is it
given the list of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.metrics import log_loss

from ..cells import Cell, Problem
from . import Skip


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    if cell.activation:
        raise Skip("no public function")
    return _on_logits(cell, problem, threads) if cell.logits else _on_probabilities(cell, problem)


def _on_probabilities(cell: Cell, problem: Problem) -> Callable[[], Any]:
    if cell.method not in ("forward", "function"):
        raise Skip("no gradients on probabilities")
    if cell.reduction == "none":
        raise Skip("only the mean")
    p, y, w = problem.x, problem.targets, problem.weights
    if cell.form == "lists":
        given = problem.lists()
        return lambda: log_loss(given[1], given[0])
    if cell.targets == "soft":
        raise Skip("only hard labels")
    if cell.job == "ce" and cell.labels:
        given = {} if np.unique(y).size == cell.classes else {"labels": np.arange(cell.classes)}
        return lambda: log_loss(y, p, **given)
    if cell.job == "bce" and not cell.hard:
        raise Skip("only hard labels")
    return lambda: log_loss(y, p, sample_weight=w)


def _on_logits(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    """Its gradients are for the sum. For the mean they are divided afterwards, as its linear models do."""
    if not (cell.loss.binary or cell.labels):
        raise Skip("only labels")
    if not all(array.flags.c_contiguous for array in (*problem.inputs, *problem.outputs)):
        raise Skip("only contiguous arrays")
    loss = HalfBinomialLoss() if cell.loss.binary else HalfMultinomialLoss(n_classes=cell.classes)
    z, y = problem.x, problem.targets.astype(problem.x.dtype)
    given = {"y_true": y, "raw_prediction": z, "n_threads": threads}
    losses, mean = np.ones_like(y), cell.reduction == "mean"
    if cell.method == "forward":
        if cell.reduction == "none":
            return lambda: loss.loss(**given, loss_out=problem.out())
        return lambda: loss.loss(**given, loss_out=losses).mean()
    if cell.method == "gradient_hessian":
        g, h = problem.outputs or (None, None)
        return lambda: loss.gradient_hessian(**given, gradient_out=g, hessian_out=h)

    def both() -> tuple[Any, np.ndarray]:
        each, gradient = loss.loss_gradient(**given, loss_out=losses, gradient_out=problem.out())
        if not mean:
            return each.sum(), gradient
        gradient /= len(each)
        return each.mean(), gradient

    return both
