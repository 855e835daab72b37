"""What the bench prints: tables that can be pasted into Markdown, and a verdict on each goal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .goals import limit, losses, scaling, verdicts
from .ratios import PLAIN, TABLES
from .results import LEVELS, Ratios, Record, Run

BUSY = 0.7  # from this load average on, other programs may have disturbed the run
SMALL = 10_000  # elements: up to here, times are given per call


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """Return a Markdown table, aligned as plain text too: `left` columns to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines.insert(1, rule)
    signs = ["<" if i < left else ">" for i in range(len(widths))]
    return "\n".join(
        "| " + " | ".join(f"{text:{sign}{width}}" for text, sign, width in zip(line, signs, widths, strict=True)) + " |"
        for line in lines
    )


def report(run: Run) -> str:
    """Return all tables of a run, and the verdicts."""
    titled = [
        ("Speed-up from threads, ns/element", threads(run)),
        ("Contestants that did not take part", words(run)),
        ("Where a peer is faster", lost(run)),
        ("Goals", goals(run)),
    ]
    titled[2:2] = ratios(run)
    parts = [heading(run), *timings(run), *(f"{title}\n\n{text}" for title, text in titled if text)]
    return "\n\n".join(parts)


def ratios(run: Run) -> Iterator[tuple[str, str]]:
    """Return the title and the text of each table of ratios: one Markdown table for each level and set of variants."""
    for table_name, (title, plain) in TABLES.items():
        kinds: dict[tuple[str, tuple[str, ...]], list[Ratios]] = {}
        for found in run.ratios:
            if found.table == table_name:
                kinds.setdefault((found.level, tuple(found.ratios())), []).append(found)
        if not kinds:
            continue
        size = next(iter(kinds.values()))[0].size
        words = f"Each ratio is the time of a call divided by the time of {plain}. The third column is that time in ns"
        words += f" for each number. The arrays have {size:,} numbers; one thread. A star marks a ratio above its goal."
        words = "\n".join(textwrap.wrap(words, 120))
        yield title, "\n\n".join((words, *(_ratio_table(level, records) for (level, _), records in kinds.items())))


def _ratio_table(level: str, records: Sequence[Ratios]) -> str:
    header = (f"call, {LEVELS[level]}", "dtype", f"{PLAIN}, ns", *records[0].ratios())
    rows = [
        (r.group, r.dtype, f"{r.plain:.2f}", *(_marked(r, name, ratio) for name, ratio in r.ratios().items()))
        for r in records
    ]
    return table(header, rows, left=2)


def _marked(found: Ratios, variant: str, ratio: float) -> str:
    wanted = limit(found, variant)
    return f"{ratio:.2f}" + ("*" if wanted is not None and ratio > wanted else "")


def heading(run: Run) -> str:
    about = run.machine
    lines = [f"{about['date']}, {about['cpu']}, {about['system']}, Python {about['python']}"]
    lines.append(", ".join(f"{name} {found}" for name, found in about["versions"].items()))
    if about["load"] is not None:
        remark = " (the machine was busy)" if busy(run) else ""
        lines.append(f"load average before the run: {about['load']:.2f}{remark}")
    for process in run.processes:
        where = f"pinned to CPUs {process['affinity']}" if process["affinity"] else "not pinned (no sched_setaffinity)"
        shared = "; some of these CPUs share a core" if shares_core(process) else ""
        lines.append(f"{_count(process['threads'])}: {where}{shared}")
    every = [timing for record in run.cells for timing in record.timings.values()]
    disturbed = sum(timing["disturbed"] > 0 for timing in every)
    lines.append(f"timings disturbed by a noisy neighbour: {disturbed} of {len(every)}")
    if run.imports:
        added = f"cecore {run.imports['added_ms']:.1f} ms more"
        lines.append(f"import time: NumPy {run.imports['numpy_ms']:.0f} ms, {added}")
    return "\n".join(lines)


def _count(threads: int) -> str:
    return f"{threads} thread" + ("s" if threads > 1 else "")


def shares_core(process: dict[str, Any]) -> bool:
    """Return whether two CPUs of a process are hardware threads of the same core."""
    cores = [core for core in process["siblings"] if core]
    return len(set(cores)) < len(cores)


def busy(run: Run) -> bool:
    """Return whether other programs were running in the minute before the run."""
    return (run.machine["load"] or 0) > BUSY


def timings(run: Run) -> Iterator[str]:
    """Return a table for each number of threads, layout and size."""
    for count in run.values("threads"):
        for layout in run.values("layout"):
            for size in sorted(run.values("size")):
                chosen = [r for r in run.cells if (r.threads, r.layout, r.size) == (count, layout, size)]
                if chosen:
                    yield f"{size:,} elements, {layout}, {_count(count)}\n\n{_timings(chosen, size)}"


def _timings(records: Sequence[Record], size: int) -> str:
    unit = "us/call" if size <= SMALL else "ns/element"
    header = ("cell", "dtype", "contestant", unit, "spread", "rounds", "/ fastest peer", "/ bandwidth")
    return table(header, (row for record in records for row in _rows(record, size)), left=3)


def _rows(record: Record, size: int) -> Iterator[tuple[str, ...]]:
    best = record.peers()[:1]
    for name, timing in record.timings.items():
        time = timing["median"] * 1e6 if size <= SMALL else record.nanoseconds(name)
        to_best = record.ratio(name, best[0]) if best else None
        rounds = f"{timing['rounds']}" + (f", {timing['disturbed']} disturbed" if timing["disturbed"] else "")
        numbers = f"{time:.3f}" if time >= 0.1 else f"{time:.2g}", f"{timing['spread']:.0%}", rounds
        yield record.cell, record.dtype, name, *numbers, _ratio(to_best), _ratio(record.to_bandwidth(name))


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def threads(run: Run) -> str:
    """Compare the times with one thread and with several."""
    rows = []
    for several in run.cells:
        one = run.find(several.cell, several.dtype, several.size, 1, several.layout)
        if several.threads == 1 or several.size <= SMALL or one is None:
            continue
        for name in several.timings:
            gain = scaling(one, several, name)
            if gain is not None:
                figures = f"{one.nanoseconds(name):.3f}", f"{several.nanoseconds(name):.3f}", f"{gain:.2f}"
                first = several.cell, several.dtype, name, several.layout
                rows.append((*first, f"{several.size:,}", str(several.threads), *figures))
    header = ("cell", "dtype", "contestant", "layout", "elements", "threads", "1 thread", "several", "x faster")
    return table(header, rows, left=4) if rows else ""


def words(run: Run) -> str:
    """List the contestants that did not take part, the reasons, and the cells."""
    absent = {name: word for process in run.processes for name, word in process["absent"].items()}
    lines = [f"{name}: {word}" for name, word in absent.items()]
    cells: dict[tuple[str, str], dict[str, None]] = {}
    for record in run.cells:
        for name, word in record.skipped.items():
            cells.setdefault((name, word.partition(": off by")[0]), {})[record.cell] = None
    rows = [(name, word, _listed(list(which))) for (name, word), which in sorted(cells.items())]
    shown = table(("contestant", "reason", "cells"), rows, left=3) if rows else ""
    return "\n\n".join(filter(None, ("\n".join(lines), shown)))


def _listed(names: list[str], most: int = 3) -> str:
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")


def lost(run: Run) -> str:
    """List the cells in which a peer is faster than cecore."""
    rows = [
        (r.cell, r.dtype, r.layout, ours, peer, f"{r.size:,}", str(r.threads), f"{ratio:.2f}")
        for r, ours, peer, ratio in losses(run)
    ]
    header = ("cell", "dtype", "layout", "cecore", "faster peer", "elements", "threads", "ratio")
    return table(header, rows, left=5) if rows else ""


def goals(run: Run) -> str:
    found = verdicts(run)
    counts = ", ".join(
        f"{sum(v.passed is kind for v in found)} {word}"
        for kind, word in ((True, "PASS"), (False, "MISS"), (None, "not measured"))
    )
    measured = [str(v) for v in found if v.passed is not None]
    missing = dict.fromkeys(_without_level(v.what) for v in found if v.passed is None)
    words = [f"(not measured): {'; '.join(missing)}"] if missing else []
    return "\n".join((*measured, *words, f"goals: {counts}"))


def _without_level(what: str) -> str:
    return what.partition(", AVX")[0]
