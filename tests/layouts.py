"""The same numbers in other layouts of memory, and in other objects that hold them."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np


def strided(array: np.ndarray) -> np.ndarray:
    """Every second element of each axis, with other numbers between."""
    spread = np.full([2 * n for n in array.shape], 77, array.dtype)
    view = spread[(..., *(slice(0, None, 2) for _ in array.shape))]
    view[...] = array
    return view


def reversed_(array: np.ndarray) -> np.ndarray:
    back = (..., *(slice(None, None, -1) for _ in array.shape))
    return array[back].copy()[back]


def fortran(array: np.ndarray) -> np.ndarray:
    return array.copy("F")


def rolled(array: np.ndarray) -> np.ndarray:
    """The first axis last in memory, the others in order."""
    return np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0) if array.ndim else array.copy()


def unaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def swapped(array: np.ndarray) -> np.ndarray:
    if array.dtype.itemsize == 1:
        return array.copy()
    return array.astype(array.dtype.newbyteorder())


def swapped_and_strided(array: np.ndarray) -> np.ndarray:
    return strided(swapped(array))


def field(array: np.ndarray) -> np.ndarray:
    """Of a packed structure: strided and unaligned."""
    records = np.zeros(array.shape, [("before", np.uint8), ("number", array.dtype), ("after", np.int16)])
    records["number"] = array
    return records["number"]


def mapped(array: np.ndarray) -> np.ndarray:
    """Memory of the system's, as a subclass of ndarray."""
    memory = mmap.mmap(-1, max(array.nbytes, 1))
    view: np.ndarray = np.ndarray.__new__(np.memmap, array.shape, array.dtype, memory)
    view[...] = array
    return view


def plain(array: np.ndarray) -> np.ndarray:
    return array.copy()


WRITEABLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    function.__name__.strip("_"): function
    for function in (
        plain,
        strided,
        reversed_,
        fortran,
        rolled,
        unaligned,
        swapped,
        swapped_and_strided,
        field,
        mapped,
    )
}


def read_only(array: np.ndarray) -> np.ndarray:
    view = strided(array)
    view.flags.writeable = False
    return view


class Exotic:
    """What has nothing but ``__array__``."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


class Lent:
    """What has nothing but DLPack."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def lent(array: np.ndarray) -> Any:
    known = array.dtype.kind in "fiub" and array.dtype.itemsize <= 8 and array.dtype.isnative
    return Lent(array.copy()) if known else array


def listed(array: np.ndarray) -> Any:
    """As Python numbers, where these have no dtype of their own to lose."""
    return array.tolist() if array.dtype in (np.float64, np.int64) and array.size else array


def buffered(array: np.ndarray) -> Any:
    known = array.dtype.kind in "fiub" and array.dtype != np.longdouble
    return memoryview(strided(array)) if known and array.ndim else array


READABLE: dict[str, Callable[[np.ndarray], Any]] = {
    **WRITEABLE,
    "read_only": read_only,
    "list": listed,
    "memoryview": buffered,
    "__array__": Exotic,
    "DLPack": lent,
}
