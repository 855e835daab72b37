"""One run against an older one: what has become slower."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from .contestants import PEERS
from .report import busy, table
from .results import FLOOR, LEVELS, OURS, Record, Run

TOLERATED = 0.1  # slower than before by so much is no regression
NOISES = 3  # nor by so many times the standard error of what is compared
DISTRIBUTION_OF = {FLOOR: "numpy", **{name: distribution for name, (_, distribution) in PEERS.items()}}


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


def changes(old: Run, new: Run) -> list[Change]:
    """Every cell of cecore's that both runs have.

    Another machine, or a neighbour, makes all contestants of a cell slower alike. The median ratio of the new to the
    old times of the memory floor and the peers that took part in both runs, in the same version, is what the machine
    has changed by, and is divided out; without any of them the times stand as they are. What is left is a regression
    if it exceeds TOLERATED and NOISES times the standard error of both medians.
    """
    found = []
    before = {record.key: record for record in old.cells}
    upgraded = differing(old, new)
    for record in new.cells:
        former = before.get(record.key)
        if former is None:
            continue
        others = [name for name in record.timings.keys() & former.timings.keys() if not name.startswith(OURS)]
        ratios = [record.ratio_to(former, name) for name in others if DISTRIBUTION_OF[name] not in upgraded]
        drift = median(ratios) if ratios else 1.0
        for name in record.ours():
            if name in former.timings:
                noise = math.hypot(*(error(one.timings[name]) for one in (record, former)))
                ratio = record.ratio_to(former, name) / drift
                found.append(Change(record, name, ratio, 1 + max(TOLERATED, NOISES * noise)))
    return found


def error(timing: dict[str, float]) -> float:
    """The standard error of a median, relative, as of numbers that are normally distributed."""
    return 0.93 * timing["spread"] / math.sqrt(timing["rounds"])  # 1.253 sigma / sqrt(n), sigma = range / 1.349


def differing(old: Run, new: Run) -> list[str]:
    """The distributions of the peers that are in both runs in different versions."""
    before, after = old.machine["versions"], new.machine["versions"]
    return [name for name, found in after.items() if name != "cecore" and before.get(name, found) != found]


def compared(old: Run, new: Run, usable: list[str]) -> tuple[str, bool]:
    """The changes, largest first, and whether all is as it was: levels are usable, something is compared, none slower.

    `usable` are the instruction-set levels of this machine.
    """
    every = sorted(changes(old, new), key=lambda change: -change.ratio)
    slower = [change for change in every if change.regression]
    gone = {name.removeprefix(OURS) for record in old.cells for name in record.ours()} - set(usable)
    lines = [f"{len(every)} timings compared, {len(slower)} regressions"]
    if not every:
        lines.append("the runs have no cell in common: compare with one of the same cells, sizes and levels")
    lines += [f"{LEVELS[name]} was measured then, and is not usable now" for name in LEVELS if name in gone]
    if busy(old) or busy(new):
        lines.append("the machine was busy before one of the runs: repeat it before believing them")
    if old.machine["cpu"] != new.machine["cpu"]:
        lines.append(f"another CPU: {old.machine['cpu']}")
    upgraded = differing(old, new)
    if upgraded:
        lines.append(f"other versions, not used to tell how fast the machine is: {', '.join(upgraded)}")
    if slower:
        rows = [
            (r.cell, r.dtype, r.layout, c.name, f"{r.size:,}", str(r.threads), f"{c.ratio:.2f}", f"{c.allowed:.2f}")
            for c in slower
            for r in (c.record,)
        ]
        header = ("cell", "dtype", "layout", "contestant", "elements", "threads", "new / old", "allowed")
        lines.append("\n" + table(header, rows, left=4))
    return "\n".join(lines), bool(every) and not slower and not gone
