"""The number of threads that a call can use: the setting of each thread, and the limit of the process."""

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

MOST = 256  # MAX_THREADS of the kernels
AUTO = "auto"


class _Setting(threading.local):
    """The setting of the current thread: a number, "auto", or None if the thread never set one."""

    number: int | str | None = None


_setting = _Setting()


def set_num_threads(n: int | Literal["auto"]) -> None:
    """Set the largest number of threads that a call from the current thread can use.

    The setting does not change any result. It holds for the current thread only.

    Parameters
    ----------
    n : int or "auto"
        An integer from 1 to 256, or ``"auto"``, the default. In the main thread, ``"auto"`` allows as many threads as
        the process has CPUs. The CPU affinity of the process, the quota of its control group (cgroup) and the
        environment variable ``OMP_NUM_THREADS`` limit that number. In any other thread, ``"auto"`` allows one thread.
        The environment variable ``CECORE_NUM_THREADS`` sets `n` for the main thread when cecore is imported.

    Raises
    ------
    ValueError
        If `n` is an integer outside 1 to 256, or a string other than ``"auto"``.
    TypeError
        If `n` is neither an integer nor a string.

    Notes
    -----
    A call uses two threads if it has 65,536 probabilities or 32,768 logits. A call with fewer numbers uses one thread.
    For four times the work, a call uses twice as many threads. If the targets are class labels and no derivatives are
    computed, a loss on probabilities needs only one probability of each row. Each row then counts as one probability.

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
    """Return the largest number of threads that a call from the current thread can use.

    Returns
    -------
    int
        The number that was set for the current thread, or the number that ``"auto"`` stands for.

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


thread_count = get_num_threads  # the name that the kernels use


@contextmanager
def num_threads(n: int | Literal["auto"]) -> Iterator[None]:
    """Set the largest number of threads for the block of a ``with`` statement.

    The number holds for calls from the current thread. At the end of the block, the thread gets back its former
    setting.

    Parameters
    ----------
    n : int or "auto"
        An integer from 1 to 256, or ``"auto"``. In the main thread, ``"auto"`` allows as many threads as the process
        has CPUs, limited by its CPU affinity, the quota of its control group and ``OMP_NUM_THREADS``. In any other
        thread, ``"auto"`` allows one thread.

    Raises
    ------
    ValueError
        If `n` is an integer outside 1 to 256, or a string other than ``"auto"``.
    TypeError
        If `n` is neither an integer nor a string.

    Examples
    --------
    >>> import cecore
    >>> with cecore.num_threads(1):
    ...     cecore.binary_cross_entropy([0.9, 0.2], [1, 0])
    0.16425203348601802
    """
    former, _setting.number = _setting.number, _checked("n", n)
    try:
        yield
    finally:
        _setting.number = former


def _checked(name: str, value: int | str) -> int | str:
    if value == AUTO:
        return AUTO
    if isinstance(value, str):
        raise ValueError(f'{name} = {_checks.shown(value)}: expected "auto" or an integer from 1 to {MOST}')
    return _checks.integer(name, value, 1, MOST)


# ---------------------------------------------------------------- the limit of the process


def usable() -> int:
    """Return how many threads the process can use: its CPUs, limited by its control group and OMP_NUM_THREADS."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        cpus = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count()
    return max(1, min(cpus or 1, _limit(), MOST))


@lru_cache(maxsize=1)
def _limit() -> int:
    """Return the limit that the control group and OMP_NUM_THREADS set together. It is read once."""
    openmp = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limit = (int(openmp) or MOST) if openmp.isdecimal() and len(openmp) < 10 else MOST
    quota = cpu_quota()
    return limit if quota is None else min(limit, max(1, math.ceil(quota)))


def cpu_quota(root: str | os.PathLike[str] = "/") -> float | None:
    """Return how many CPUs the control groups (version 1 or 2) grant the process, or None if there is no limit."""
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
    """Yield the folder of a control group and each folder above it, up to the mount point of its hierarchy."""
    for line in _lines(os.path.join(root, "proc/self/mountinfo")):
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] != ("cgroup2" if unified else "cgroup") or not (unified or "cpu" in kind[2].split(",")):
            continue
        mount = os.path.normpath(os.path.join(root, fields[4].lstrip("/")))
        inside = os.path.relpath(path, fields[3])  # a container may see only a part of the hierarchy
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
        return _checked("CECORE_NUM_THREADS", int(value) if value.isdecimal() and len(value) < 10 else value)
    except ValueError as error:
        raise ImportError(str(error)) from None


_default = _from_environment()
