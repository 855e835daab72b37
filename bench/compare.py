"""Compare a run with an older one: what has become slower?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from .contestants import PEERS
from .peers.c_peer import COMPILER
from .report import busy, table
from .results import BANDWIDTH, LEVELS, OURS, PLAIN_C, Record, Run

TOLERATED = 0.1  # a time that grew by less is not a regression
NOISES = 3  # a change of less than so many standard errors is not a regression
DISTRIBUTION_OF = {
    BANDWIDTH: "numpy",
    **{name: distribution for name, (_, distribution) in PEERS.items()},
    **{f"{PLAIN_C}{level}": COMPILER[0] for level in LEVELS},
}


@dataclass(frozen=True)
class Change:
    """One level of cecore in a cell of two runs: the new time is `ratio` times the old time, without drift."""

    record: Record
    name: str
    ratio: float
    allowed: float

    @property
    def regression(self) -> bool:
        return self.ratio > self.allowed


def changes(old: Run, new: Run) -> list[Change]:
    """Return every timing of cecore that both runs have.

    A slower machine, or a noisy neighbour, slows all contestants of a cell alike. The change of the machine is the
    median ratio of new to old times over the bandwidth baseline and the peers that took part in both runs in the same
    version. It is divided out; if there is no such contestant, the times are compared as they are. The remaining change
    is a regression if it exceeds TOLERATED and NOISES times the standard error of both medians.
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
    """Return the relative standard error of a median, assuming a normal distribution."""
    return 0.93 * timing["spread"] / math.sqrt(timing["rounds"])  # 1.253 sigma / sqrt(n), sigma = range / 1.349


def differing(old: Run, new: Run) -> list[str]:
    """Return the distributions of the peers whose versions differ between the runs."""
    before, after = old.machine["versions"], new.machine["versions"]
    return [name for name, found in after.items() if name != "cecore" and before.get(name, found) != found]


def compared(old: Run, new: Run, usable: list[str]) -> tuple[str, bool]:
    """Return the text of the comparison, with the largest change first, and whether nothing has become worse.

    It is worse if a timing is a regression, if nothing could be compared, or if an instruction-set level of the old run
    is not among `usable`, the levels of this machine.
    """
    every = sorted(changes(old, new), key=lambda change: -change.ratio)
    slower = [change for change in every if change.regression]
    gone = {name.removeprefix(OURS) for record in old.cells for name in record.ours()} - set(usable)
    lines = [f"{len(every)} timings compared, {len(slower)} regressions"]
    if not every:
        lines.append("the runs have no cell in common: compare with a run of the same cells, sizes and levels")
    lines += [f"{LEVELS[name]} was measured in the old run, but is not usable now" for name in LEVELS if name in gone]
    if busy(old) or busy(new):
        lines.append("the machine was busy before one of the runs: repeat that run before you trust the comparison")
    if old.machine["cpu"] != new.machine["cpu"]:
        lines.append(f"the old run was made on another CPU: {old.machine['cpu']}")
    upgraded = differing(old, new)
    if upgraded:
        lines.append(f"not used to compare the machines, because the versions differ: {', '.join(upgraded)}")
    if slower:
        rows = [
            (r.cell, r.dtype, r.layout, c.name, f"{r.size:,}", str(r.threads), f"{c.ratio:.2f}", f"{c.allowed:.2f}")
            for c in slower
            for r in (c.record,)
        ]
        header = ("cell", "dtype", "layout", "contestant", "elements", "threads", "new / old", "allowed")
        lines.append("\n" + table(header, rows, left=4))
    return "\n".join(lines), bool(every) and not slower and not gone
