"""PyTorch with `torch.compile` over the loss. Compiling takes about ten seconds for each cell, before the timing."""

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
