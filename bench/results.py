"""A run as JSON: what the machine was, and a record of each cell; and one run against another."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

OURS, FLOOR, FORMULA = "cecore/", "memory floor", "NumPy formula"
LEVELS = {"baseline": "baseline", "x86_v3": "AVX2", "x86_v4": "AVX-512"}
DISTRIBUTIONS = ("cecore", "numpy", "torch", "jax", "jaxlib", "scikit-learn", "scipy", "numexpr", "numba")
KEY = ("cell", "dtype", "size", "threads", "layout")
TOLERATED = 0.1  # slower than before by so much is no regression
NOISES = 2  # nor by so many times the spreads of what is compared


@dataclass(frozen=True)
class Record:
    """One cell as it was measured: seconds per call by contestant."""

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
        """Per element."""
        time = self.time(name)
        return None if time is None else time / self.elements * 1e9

    def ours(self) -> list[str]:
        """Cecore's levels, the lowest first."""
        names = [name for name in self.timings if name.startswith(OURS)]
        return sorted(names, key=lambda name: list(LEVELS).index(name.removeprefix(OURS)))

    def peers(self) -> list[str]:
        """The fastest first."""
        names = [name for name in self.timings if not name.startswith(OURS) and name != FLOOR]
        return sorted(names, key=lambda name: self.timings[name]["median"])

    def ratio(self, of: str, to: str) -> float | None:
        """One contestant's time over another's; None where one of them did not take part."""
        return self.timings[of]["median"] / self.timings[to]["median"] if {of, to} <= self.timings.keys() else None

    def speedup(self, name: str, rivals: tuple[str, ...] = ()) -> float | None:
        """How many times faster than the fastest peer, or than the fastest of some."""
        best = self.best(rivals)
        return self.ratio(best, name) if best else None

    def best(self, rivals: tuple[str, ...] = ()) -> str | None:
        """The fastest peer, or the fastest of some."""
        return next((peer for peer in self.peers() if not rivals or peer in rivals), None)

    def to_floor(self, name: str) -> float | None:
        return self.ratio(name, FLOOR)


@dataclass
class Run:
    """All that one command measured."""

    machine: dict[str, Any]
    processes: list[dict[str, Any]] = field(default_factory=list)
    imports: dict[str, float] = field(default_factory=dict)
    cells: list[Record] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Whole or not at all: an interrupted run keeps what it has."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps({**vars(self), "cells": [vars(record) for record in self.cells]}, indent=1) + "\n")
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path) -> Run:
        stored = json.loads(path.read_text())
        return cls(**{**stored, "cells": [Record(**record) for record in stored["cells"]]})

    def find(self, cell: str, dtype: str, size: int, threads: int = 1, layout: str = "contiguous") -> Record | None:
        key = (cell, dtype, size, threads, layout)
        return next((record for record in self.cells if record.key == key), None)

    def values(self, name: str) -> list[Any]:
        """Of a part of the key, in the order of the run."""
        return list(dict.fromkeys(getattr(record, name) for record in self.cells))


def machine() -> dict[str, Any]:
    """The date, the CPU, the system and what is installed."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # of the minute before
        "python": platform.python_version(),
        "versions": {name: found for name in DISTRIBUTIONS if (found := _version(name)) is not None},
    }


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split("\t:", 1) if "\t:" in line else (line.split(":")[0].strip(), "") for line in lines if line)
    names = {key.strip(): value.strip() for key, value in fields.items()}
    about = (f"{key} {names[name]}" for key, name in (("family", "cpu family"), ("model", "model")) if name in names)
    return f"{names.get('model name', platform.machine())} ({', '.join(about)})"


def _version(name: str) -> str | None:
    if name == "cecore":
        import cecore  # it may be on the path without being installed

        return cecore.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Change:
    """A cell of cecore's in two runs: `ratio` times the old time, on a machine of the same speed."""

    record: Record
    name: str
    ratio: float
    allowed: float

    @property
    def regression(self) -> bool:
        return self.ratio > self.allowed


def compare(old: Run, new: Run) -> list[Change]:
    """Every cell of cecore's that both runs have.

    Another machine, or a neighbour, makes all contestants of a cell slower alike. The median ratio of the new to the
    old times of the memory floor and the peers that took part in both runs is what the machine has changed by, and is
    divided out; without any of them the times stand as they are. What is left is a regression if it exceeds TOLERATED
    and NOISES times the spreads of both timings.
    """
    changes = []
    before = {record.key: record for record in old.cells}
    for record in new.cells:
        former = before.get(record.key)
        if former is None:
            continue
        others = [name for name in record.timings.keys() & former.timings.keys() if not name.startswith(OURS)]
        drift = median(record.time(name) / former.time(name) for name in others) if others else 1.0
        for name in record.ours():
            if name in former.timings:
                noise = record.timings[name]["spread"] + former.timings[name]["spread"]
                ratio = record.time(name) / former.time(name) / drift
                changes.append(Change(record, name, ratio, 1 + max(TOLERATED, NOISES * noise)))
    return changes
