"""The short table in the README: cecore compared with what people use today, ``python -m bench --readme``.

The same processes measure it as the rest of the bench, with the same checks. The run is stored in docs/readme.json.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import ROOT
from .report import table
from .results import FORMULA, LEVELS, OURS, Record, Run

STORED = ROOT / "docs" / "readme.json"
MARKERS = "<!-- speed: written by python -m bench --readme -->", "<!-- end of speed -->"
SECTION = re.compile("(?<=" + re.escape(MARKERS[0]) + r"\n).*?(?=" + re.escape(MARKERS[1]) + ")", re.DOTALL)
LOG_LOSS, PYTORCH = "scikit-learn", "PyTorch"  # the names of the contestants
COLUMNS = {FORMULA: FORMULA, LOG_LOSS: "`log_loss`", PYTORCH: PYTORCH}  # the headings of the table
HEADING = "one call, in float64"
NAMES = {"cecore": "cecore", "numpy": "NumPy", "scikit-learn": "scikit-learn", "torch": "PyTorch"}  # by distribution


@dataclass(frozen=True)
class Row:
    """One row of the table: a cell on an array with `size` elements."""

    title: str
    cell: str
    dtype: str
    size: int


ROWS = (
    Row("log loss, 1,000,000 binary probabilities", "bce forward, hard", "float64", 1_000_000),
    Row("the same in float32", "bce forward, hard", "float32", 1_000_000),
    Row("log loss, 100,000 x 10 probabilities", "ce forward, labels, 10 classes", "float64", 1_000_000),
    Row("loss and gradient, 1,000,000 binary logits", "bce logits forward_backward, hard, fresh", "float64", 1_000_000),
    Row(
        "loss and gradient, 100,000 x 10 logits",
        "ce logits forward_backward, 10 classes, fresh",
        "float64",
        1_000_000,
    ),
    Row(
        "loss and gradient, 1,000 x 1,000 logits",
        "ce logits forward_backward, 1,000 classes, fresh",
        "float64",
        1_000_000,
    ),
)


def plan(level: str, rounds: int | None) -> dict[str, Any]:
    """Return what the process has to measure: the rows of the table, with cecore at one instruction-set level."""
    return {
        "cells": [],
        "dtypes": [],
        "sizes": [],
        "layouts": [],
        "more": [(row.cell, row.dtype, row.size, "contiguous") for row in ROWS],
        "levels": [level],
        "contestants": list(COLUMNS),
        "effort": {"rounds": rounds or 25, "seconds": 0.5, "patience": 3},
        "memory": True,
    }


def write(run: Run, path: Path = ROOT / "README.md") -> None:
    """Write the table and its caption between the markers of the README."""
    text = path.read_text()
    if not SECTION.search(text):
        raise SystemExit(f"{path.name} has no lines {MARKERS[0]} and {MARKERS[1]} to write between")
    path.write_text(SECTION.sub(lambda _: section(run), text))


def section(run: Run) -> str:
    """Return the text between the markers."""
    return f"\n{short_table(run)}\n\n{caption(run)}\n\n"


def short_table(run: Run) -> str:
    rows = []
    for row in ROWS:
        record = run.find(row.cell, row.dtype, row.size)
        if record is None:
            raise SystemExit(f"the run has no measurement of {row.cell!r}, {row.dtype}, {row.size:,} elements")
        rows.append((row.title, _ours(record), *(_peer(record, name) for name in COLUMNS)))
    return table((HEADING, "cecore", *COLUMNS.values()), rows, left=1)


def _ours(record: Record) -> str:
    name = record.ours()[-1]
    return f"{record.time(name) * 1e3:.2f} ms{_memory(record, name)}"


def _peer(record: Record, name: str) -> str:
    if name == LOG_LOSS and "logits" in record.cell:
        return "-"  # log_loss takes probabilities only
    if name not in record.timings:
        raise SystemExit(f"{record.cell}: {name} was not measured ({record.skipped.get(name, 'not installed')})")
    ratio = record.ratio(name, record.ours()[-1])
    times, word = (ratio, "slower") if ratio >= 1 else (1 / ratio, "faster")
    return f"{times:.{0 if times >= 10 else 1}f}x {word}{_memory(record, name)}"


def _memory(record: Record, name: str) -> str:
    """Return the extra memory of a call; nothing if the system does not report it."""
    kib = record.timings[name].get("extra_kib")
    return "" if kib is None else f", {max(kib, 0) * 1024 / 1e6:.0f} MB"


def caption(run: Run) -> str:
    machine, records = run.machine, [run.find(row.cell, row.dtype, row.size) for row in ROWS]
    level = LEVELS[records[0].ours()[-1].removeprefix(OURS)]
    found = {name: machine["versions"][distribution].partition("+")[0] for distribution, name in NAMES.items()}
    versions = [f"{name} {version}" for name, version in found.items()]
    versions[0] += f" ({level})"
    words = f"Measured on {machine['date'][:10]} with one thread on the processor {machine['cpu']}, with "
    words += f"{', '.join(versions)} and Python {machine['python']}."
    words += " Slower means slower than cecore"
    if _memory(records[0], records[0].ours()[-1]):
        words += ", and the memory is what a call needs at its peak in addition to its inputs and results"
    words += "."
    timings = [timing for record in records for timing in record.timings.values()]
    disturbed = sum(timing["disturbed"] > 0 for timing in timings)
    if disturbed:
        words += f" A noisy neighbour disturbed {disturbed} of the {len(timings)} timings."
    return "\n".join(textwrap.wrap(words, 120, break_on_hyphens=False))
