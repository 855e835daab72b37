"""Choose the instruction-set level of the kernels. Only this module imports compiled kernels."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from types import ModuleType

import numpy as np

from ._threads import get_num_threads
from .kernels import baseline

LEVELS = {"baseline": 0, "x86_v3": 3, "x86_v4": 4}  # lowest first


def _load(name: str) -> ModuleType | str:
    """Return the kernels of a level, or the reason why they cannot be used."""
    if LEVELS[name] > baseline.cpu_level():
        return "not supported by this CPU"
    try:
        return importlib.import_module(f"cecore.kernels.{name}")
    except ModuleNotFoundError:
        return "not built"
    except ImportError as error:
        return f"not importable: {error}"


def _choose(wanted: str | None) -> str:
    """Return the highest usable level that is not above the wanted level."""
    if wanted and wanted not in LEVELS:
        raise ImportError(f"CECORE_SIMD = {wanted!r}: expected one of {', '.join(LEVELS)}")
    limit = LEVELS[wanted] if wanted else max(LEVELS.values())
    return [name for name in usable if LEVELS[name] <= limit][-1]


levels = {name: _load(name) for name in LEVELS}
usable: dict[str, ModuleType] = {name: found for name, found in levels.items() if not isinstance(found, str)}
chosen = _choose(os.environ.get("CECORE_SIMD"))
kernels = usable[chosen]
pack = baseline.pack  # all levels read the options in the form that the baseline packs


def show_config() -> None:
    """Print the versions, the instruction-set levels, the number of threads, the compiler and its flags.

    Examples
    --------
    >>> import cecore
    >>> cecore.show_config()  # doctest: +ELLIPSIS
    cecore ...
    """
    from . import __version__

    print(f"cecore {__version__}")
    print(f"  Python    {platform.python_version()} on {platform.machine()}, {sys.platform}; NumPy {np.__version__}")
    for name, found in levels.items():
        state = found if isinstance(found, str) else "in use" if found is kernels else "available"
        print(f"  {name:9} {state}")
    print(f"  threads   {get_num_threads()}")
    print(f"  compiler  {kernels.compiler}")
    print(f"  flags     {kernels.flags}")
