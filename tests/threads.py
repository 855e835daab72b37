"""Threads in the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cecore
from cecore import _dispatch


@contextmanager
def threads(number: int, chunk: int = 1) -> Iterator[None]:
    """Compute with this many threads, even for the smallest arrays."""
    former = _dispatch.kernels.set_threading(1, chunk)
    try:
        with cecore.num_threads(number):
            yield
    finally:
        _dispatch.kernels.set_threading(*former)
