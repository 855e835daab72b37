"""How many threads a call may use."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from . import _checks

if TYPE_CHECKING:
    from typing import Literal

MOST = 256  # as the kernels have it
AUTO = "auto"


class _Setting(threading.local):
    """Of each thread: a number, "auto", or None where none was set."""

    number: int | str | None = None


_setting = _Setting()


def set_num_threads(n: int | Literal["auto"]) -> None:
    """Set how many threads a call from the calling thread may use.

    Results do not depend on it. A call uses two from 65,536 probabilities or 32,768 logits on, and twice as many for
    four times the work; where labels choose one number of each row, and there is no gradient, a row counts as one.

    Parameters
    ----------
    n : int or "auto"
        From 1 to 256. ``"auto"``, the default: in the main thread as many as the process may use, by its affinity and
        its control group's quota, and not more than ``OMP_NUM_THREADS``; in any other thread one. The environment
        variable ``CECORE_NUM_THREADS`` sets it for the main thread before that runs.

    Raises
    ------
    ValueError, TypeError
        Another `n`.

    Examples
    --------
    >>> import cecore
    >>> cecore.set_num_threads(2)
    >>> cecore.get_num_threads()
    2
    >>> cecore.set_num_threads("auto")
    """
    _setting.number = _checked("n", n)


def get_num_threads() -> int:
    """How many threads a call from the calling thread may use.

    Returns
    -------
    int

    Examples
    --------
    >>> import cecore
    >>> with cecore.num_threads(1):
    ...     cecore.get_num_threads()
    1
    """
    main = threading.get_ident() == threading.main_thread().ident
    number = _default if _setting.number is None and main else _setting.number
    if isinstance(number, int):
        return number
    return usable() if main else 1


thread_count = get_num_threads  # as the kernels call it


@contextmanager
def num_threads(n: int | Literal["auto"]) -> Iterator[None]:
    """`set_num_threads` for a while, as a context manager.

    Parameters
    ----------
    n : int or "auto"
        As in `set_num_threads`.

    Raises
    ------
    ValueError, TypeError
        As `set_num_threads`.

    Examples
    --------
    >>> import cecore
    >>> with cecore.num_threads(1):
    ...     cecore.binary_cross_entropy([0.9, 0.2], [1, 0])
    0.16425203348601802
    """
    former = _setting.number
    set_num_threads(n)
    try:
        yield
    finally:
        _setting.number = former


def _checked(name: str, value: int | str) -> int | str:
    if value == AUTO:
        return AUTO
    if isinstance(value, str):
        raise ValueError(f'{name} = {value!r}: expected "auto" or an integer from 1 to {MOST}')
    return _checks.integer(name, value, 1, MOST)


# ---------------------------------------------------------------- what the process may use


def usable() -> int:
    """As many threads as the process may use."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        cpus = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count()
    return max(1, min(cpus or 1, _limit(), MOST))


@lru_cache(maxsize=1)
def _limit() -> int:
    """That of the control group and of OMP_NUM_THREADS, read once."""
    openmp = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limit = (int(openmp) or MOST) if openmp.isdecimal() and len(openmp) < 10 else MOST
    quota = cpu_quota()
    return limit if quota is None else min(limit, max(1, math.ceil(quota)))


def cpu_quota(root: str | os.PathLike[str] = "/") -> float | None:
    """The CPUs that the process's control groups grant it, of version 2 or 1; None without a limit."""
    top = os.path.abspath(root)
    quotas = []
    for hierarchy, controllers, path in _groups(os.path.join(top, "proc/self/cgroup")):
        unified = hierarchy == "0"
        if not unified and "cpu" not in controllers.split(","):
            continue
        for folder in _folders(top, unified, path):
            quota = _quota_v2(folder) if unified else _quota_v1(folder)
            if quota is not None:
                quotas.append(quota)
    return min(quotas, default=None)


def _groups(path: str) -> list[list[str]]:
    return [line.split(":", 2) for line in _lines(path) if line.count(":") >= 2]


def _folders(root: str, unified: bool, path: str) -> Iterator[str]:
    """A group's folder and those above it, up to where its hierarchy is mounted."""
    for line in _lines(os.path.join(root, "proc/self/mountinfo")):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] != ("cgroup2" if unified else "cgroup") or not (unified or "cpu" in kind[2].split(",")):
            continue
        mount = os.path.normpath(os.path.join(root, fields[4].lstrip("/")))
        inside = os.path.relpath(path, fields[3])  # a container may see a part of the hierarchy alone
        folder = mount if inside.startswith("..") else os.path.normpath(os.path.join(mount, inside))
        yield folder
        while folder != mount:
            folder = os.path.dirname(folder)
            yield folder


def _quota_v2(folder: str) -> float | None:
    quota, _, period = "".join(_lines(os.path.join(folder, "cpu.max"))).partition(" ")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _quota_v1(folder: str) -> float | None:
    quota = "".join(_lines(os.path.join(folder, "cpu.cfs_quota_us")))
    period = "".join(_lines(os.path.join(folder, "cpu.cfs_period_us")))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) else None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except (OSError, UnicodeError):
        return []


def _from_environment() -> int | str:
    value = os.environ.get("CECORE_NUM_THREADS", AUTO).strip() or AUTO
    try:
        return _checked("CECORE_NUM_THREADS", int(value) if value.isdecimal() else value)
    except ValueError as error:
        raise ImportError(str(error)) from None


_default = _from_environment()
