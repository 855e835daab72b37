"""A run as JSON: a description of the machine, and a record for each cell."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import ROOT

OURS, BANDWIDTH, FORMULA = "cecore/", "bandwidth baseline", "NumPy formula"
PLAIN_C = "plain C/"
FORMER_NAMES = {"memory floor": BANDWIDTH}  # contestants in older files
LEVELS = {"baseline": "baseline", "x86_v3": "AVX2", "x86_v4": "AVX-512"}
DISTRIBUTIONS = ("cecore", "numpy", "torch", "jax", "jaxlib", "scikit-learn", "scipy", "numexpr", "numba")
KEY = ("cell", "dtype", "size", "threads", "layout")


@dataclass(frozen=True)
class Record:
    """The measurement of one cell: for each contestant the seconds per call, or the reason why it has no timing."""

    cell: str
    dtype: str
    size: int
    threads: int
    layout: str
    elements: int
    timings: dict[str, dict[str, float]]
    skipped: dict[str, str]

    @property
    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in KEY)

    def time(self, name: str) -> float | None:
        return self.timings[name]["median"] if name in self.timings else None

    def nanoseconds(self, name: str) -> float | None:
        """Return the time per element."""
        time = self.time(name)
        return None if time is None else time / self.elements * 1e9

    def ours(self) -> list[str]:
        """Return the names of cecore's levels, the lowest level first."""
        names = [name for name in self.timings if name.startswith(OURS)]
        return sorted(names, key=lambda name: list(LEVELS).index(name.removeprefix(OURS)))

    def peers(self) -> list[str]:
        """Return the names of the peers, the fastest peer first."""
        names = [name for name in self.timings if not name.startswith(OURS) and name != BANDWIDTH]
        return sorted(names, key=lambda name: self.timings[name]["median"])

    def ratio(self, of: str, to: str) -> float | None:
        """Return the time of contestant `of` divided by the time of `to`; None if either did not take part."""
        return self.timings[of]["median"] / self.timings[to]["median"] if {of, to} <= self.timings.keys() else None

    def ratio_to(self, former: Record, name: str) -> float:
        """Return the time of a contestant divided by its time in another record."""
        return self.timings[name]["median"] / former.timings[name]["median"]

    def speedup(self, name: str, rivals: tuple[str, ...] = ()) -> float | None:
        """Return how many times faster a contestant is than the fastest peer, or than the fastest of `rivals`."""
        best = self.best(rivals)
        return self.ratio(best, name) if best else None

    def best(self, rivals: tuple[str, ...] = ()) -> str | None:
        """Return the fastest peer, or the fastest of `rivals`."""
        return next((peer for peer in self.peers() if not rivals or peer in rivals), None)

    def to_bandwidth(self, name: str) -> float | None:
        return self.ratio(name, BANDWIDTH)


@dataclass(frozen=True)
class Ratios:
    """The timings of one group of calls that are compared with a plain call."""

    table: str
    group: str
    dtype: str
    level: str
    size: int
    timings: dict[str, dict[str, float]]  # the plain call first

    @property
    def plain(self) -> float:
        """Return the time of the plain call in ns for each number."""
        return next(iter(self.timings.values()))["median"] / self.size * 1e9

    def ratios(self) -> dict[str, float]:
        """Return the time of each variant divided by the time of the plain call."""
        plain, *others = self.timings
        return {name: self.timings[name]["median"] / self.timings[plain]["median"] for name in others}


@dataclass
class Run:
    """Everything that one command measured."""

    machine: dict[str, Any]
    processes: list[dict[str, Any]] = field(default_factory=list)
    imports: dict[str, float] = field(default_factory=dict)
    cells: list[Record] = field(default_factory=list)
    ratios: list[Ratios] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the whole file or leave the old one: an interrupted run keeps the cells that it stored before."""
        part = path.with_name(path.name + ".part")
        parts = []
        for name, value in vars(self).items():
            lines = ",\n".join(json.dumps(vars(one)) for one in value) if name in ("cells", "ratios") else ""
            parts.append(f'"{name}": [\n{lines}\n]' if lines else f'"{name}": {json.dumps(value)}')
        part.write_text("{" + ",\n".join(parts) + "}\n")
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path) -> Run:
        stored = json.loads(path.read_text())
        for record in stored["cells"]:
            for part in ("timings", "skipped"):
                record[part] = {FORMER_NAMES.get(name, name): found for name, found in record[part].items()}
        made = {"cells": [Record(**record) for record in stored["cells"]]}
        made["ratios"] = [Ratios(**record) for record in stored.get("ratios", [])]  # older files have none
        return cls(**{**stored, **made})

    def find(self, cell: str, dtype: str, size: int, threads: int = 1, layout: str = "contiguous") -> Record | None:
        key = (cell, dtype, size, threads, layout)
        return next((record for record in self.cells if record.key == key), None)

    def values(self, name: str) -> list[Any]:
        """Return the different values of one part of the key, in the order of the run."""
        return list(dict.fromkeys(getattr(record, name) for record in self.cells))


def machine() -> dict[str, Any]:
    """Return the date, the CPU, the system, the installed versions and the build of cecore."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu(),
        "caches": caches(),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # average of the last minute
        "python": platform.python_version(),
        "versions": {name: found for name in DISTRIBUTIONS if (found := _version(name)) is not None} | _compiler(),
        "build": build(),
    }


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split("\t:", 1) if "\t:" in line else (line.split(":")[0].strip(), "") for line in lines if line)
    names = {key.strip(): value.strip() for key, value in fields.items()}
    about = (f"{key} {names[name]}" for key, name in (("family", "cpu family"), ("model", "model")) if name in names)
    virtual = ["virtual machine"] if "hypervisor" in names.get("flags", "").split() else []
    return f"{names.get('model name', platform.machine())} ({', '.join([*about, *virtual])})"


def caches() -> dict[str, str]:
    """Return the sizes of the caches, if the system reports them."""
    found = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    return {f"L{_line(one / 'level')} {_line(one / 'type')}": _line(one / "size") for one in found}


def siblings(cpu: int) -> str:
    """Return the CPUs that share a core with `cpu`, including itself, if the system reports them."""
    return _line(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"))


def _line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def build() -> dict[str, Any]:
    """Return the commit (with a "+" if files differ from it; empty without git) and how each level was compiled."""
    from cecore import _dispatch

    about = {name: {"compiler": k.compiler, "flags": k.flags} for name, k in _dispatch.usable.items()}
    try:
        words = ("git", "describe", "--always", "--dirty=+")
        commit = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    return {"commit": commit, "kernels": about}


def _compiler() -> dict[str, str]:
    from .peers.c_peer import COMPILER, compiler

    found = compiler()
    return {COMPILER[0]: found} if found else {}


def _version(name: str) -> str | None:
    if name == "cecore":
        import cecore  # cecore can be on the path without being installed

        return cecore.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None
