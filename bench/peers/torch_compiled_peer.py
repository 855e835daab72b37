"""PyTorch again, with `torch.compile` over the loss: it takes some ten seconds for a cell beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..cells import Cell, Problem
from . import Skip, torch_peer


def bind(cell: Cell, problem: Problem, threads: int) -> Callable[[], Any]:
    if cell.activation or cell.method == "gradient_hessian":
        raise Skip("the same as PyTorch")
    torch.compiler.reset()
    return torch_peer.bind(cell, problem, threads, torch.compile)
