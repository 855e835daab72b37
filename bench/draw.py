"""The charts and the page of results of a stored run, and a copy of the run: the same file gives the same bytes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from . import ROOT
from .cells import CLASSES, DTYPES, SIZE
from .goals import beaten, losses, scaling
from .report import goals, heading, lost, ratios, table
from .results import BANDWIDTH, FORMULA, LEVELS, OURS, PLAIN_C, Record, Run

PICTURE = "![ns per element: cecore, the fastest peer, the NumPy formula and the bandwidth baseline](speed.svg)"
LEGEND = """\
A peer is another library, the NumPy formula that people usually write, or plain C. "fastest peer" is the time and the
name of the fastest peer. "x faster" is this time divided by the time of cecore with the best instruction set. If "x
faster" is below 1, cecore is slower. "x faster, 1e5" is the same ratio for 100,000 elements, which fit into the caches.
"x bandwidth" is the time of cecore divided by the bandwidth baseline, the time that plain NumPy takes to move the same
bytes. If "x bandwidth" is near 1, cecore takes as long as the memory does."""
WORDS = """\
A cell is a combination of a loss, a method and a kind of targets, and its name lists these three. "bce" is the binary
cross-entropy, and "ce" is the cross-entropy of several classes. The predictions are logits if the name says "logits",
and probabilities otherwise. "none" is the forward pass with `reduction="none"`. "hard" targets are all 0 or 1, "int8"
targets are hard too but stored as int8, and "soft" targets are probabilities. With "out=", the results are written to
reused arrays. [Speed](speed.md#what-each-contestant-calls) explains the other words."""
VERDICTS = """\
Each line is a goal. PASS means that cecore reached the goal, and MISS means that it did not. For example:

- "by more than 10% in 2, by more than 5% in 5 of 270 cells": the fastest peer takes less than 1 / 1.1 of the time of
  cecore in 2 of 270 cells, and less than 1 / 1.05 of it in 5 of them. The goal is 0 for 10%; less than 5% is noise.
- "1.37x the bandwidth baseline; wanted at most 1.6x": cecore takes 1.37 times the baseline.
- "sigma 20 1.12x, wanted 1.5x": a call on unusual rows, or with an option, takes 1.12 times as long as the plain call.
  The line names the calls that miss their goals. If there are none, it names the call that is nearest to its goal.
- "1.92x one thread; wanted 1.9x": two threads make cecore 1.92 times as fast as one thread."""
AVX2, AVX512 = OURS + "x86_v3", OURS + "x86_v4"
COLORS = {
    AVX512: "#0b3d91",
    AVX2: "#5b9bd5",
    "fastest peer": "#d1495b",
    FORMULA: "#8d8d8d",
    BANDWIDTH: "#222222",
    "PyTorch": "#d1495b",
    "JAX": "#e08e1b",
    "numba": "#3a9d5d",
    "scikit-learn": "#8e5ea2",
    "SciPy": "#b08968",
    "numexpr": "#17a2b8",
    "torch.compile": "#f4a6b0",
    f"{PLAIN_C}x86_v4": "#555555",
    f"{PLAIN_C}x86_v3": "#999999",
    f"{PLAIN_C}baseline": "#bbbbbb",
}
IN_CACHE = 100_000  # elements
MARKS = {AVX512: "o", AVX2: "o", "fastest peer": "D", FORMULA: "s", BANDWIDTH: "|"}
RIVAL = "PyTorch"  # has a column of its own in the table of threads
SHOWN = (  # the cells of the first table and of the first chart
    "bce forward, hard",
    "bce forward, int8",
    "bce forward, soft",
    "bce none, hard, out=",
    "bce backward, hard, out=",
    "bce forward_backward, hard, out=",
    "bce logits forward_backward, hard, out=",
    "bce logits gradient_hessian, hard, out=",
    "ce forward, soft, 10 classes",
    "ce backward, soft, 10 classes, out=",
    *(f"ce logits forward_backward, {classes:,} classes, out=" for classes in CLASSES),
    "softmax, 10 classes, out=",
    "softmax_backward, 10 classes, out=",
)
SIZED = (
    "bce forward, hard",
    "bce forward_backward, hard, out=",
    "bce logits forward_backward, hard, out=",
    "ce logits forward_backward, 10 classes, out=",
)
STYLE = {
    "svg.hashsalt": "cecore",
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(run: Run, folder: Path = ROOT / "docs") -> None:
    """Write the run, the page of results, and every chart that the run has figures for."""
    import matplotlib

    run.save(folder / "speed.json")
    (folder / "results.md").write_text(results_page(run))
    matplotlib.use("svg")
    with matplotlib.rc_context(STYLE):
        for name, chart in (("speed", speed), ("sizes", sizes), ("classes", classes)):
            figure = chart(run)
            if figure is None:
                print(f"{name}.svg: the run has no figures for it")
                continue
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None}, facecolor="white")
            print(f"{name}.svg")


def label(name: str) -> str:
    for prefix in (OURS, PLAIN_C):
        if name.startswith(prefix):
            return f"{prefix.removesuffix('/')}, {LEVELS[name.removeprefix(prefix)]}"
    return name


def title(cell: str) -> str:
    return cell.removesuffix(", out=").replace("_backward", " + backward")


def shown_records(run: Run) -> Iterator[Record]:
    """Return the records of the cells in SHOWN on one thread, at ten million elements or the largest size measured."""
    found = run.values("size")
    size = SIZE if SIZE in found else max(found)
    for dtype in DTYPES:
        for cell in SHOWN:
            record = run.find(cell, dtype, size)
            if record and record.ours() and record.peers():
                yield record


# ---------------------------------------------------------------- the page of results: the first table


def about(run: Run) -> str:
    records = list(shown_records(run))
    machine = run.machine
    versions = ", ".join(f"{name} {found}" for name, found in machine["versions"].items() if name != "jaxlib")
    caches = ", ".join(
        f"{name.split()[0]} {size}" for name, size in machine["caches"].items() if name.endswith("Unified")
    )
    size = f"{records[0].size:,} elements"
    where = f"{machine['cpu']}, {caches}, {machine['date'][:10]}: one thread, {size}, ns per element"
    shown = [
        timing
        for record in records
        for name, timing in record.timings.items()
        if name in (*record.ours(), record.peers()[0], BANDWIDTH, FORMULA)
    ]
    spreads = [timing["spread"] for timing in shown]
    disturbed = sum(timing["disturbed"] > 0 for timing in shown)
    spread = f"The median spread of these timings is {median(spreads):.0%}, and the largest is {max(spreads):.0%}. The"
    spread += (
        " spread is the interquartile range divided by the median. A noisy neighbour, which is another virtual machine"
    )
    spread += f" on the same CPU core, disturbed {disturbed} of the {len(shown)} timings."
    build = f"commit {machine['build']['commit']} of cecore, Python {machine['python']}"
    return "\n".join(textwrap.wrap(f"{where}. {spread} Versions: {versions}, {build}.", 120))


def where_beaten(run: Run) -> str:
    """Say in how many of all measured cells a peer is faster."""
    link = " ([the list](#where-a-peer-is-faster))" if losses(run) else ""
    words = (
        f"In the whole run, a peer is faster {beaten(run.cells)}{link}. Here, each cell is counted once for each dtype,"
    )
    words += " layout, size and number of threads."
    return "\n".join(textwrap.wrap(words, 120, break_on_hyphens=False))


def first_table(run: Run) -> str:
    rows = []
    for record in shown_records(run):
        best, ours = record.peers()[0], record.ours()[-1]
        peer = f"{record.nanoseconds(best):.2f} {best}"
        levels = [_figure(record.nanoseconds(name)) for name in (AVX2, AVX512)]
        smaller = run.find(record.cell, record.dtype, IN_CACHE)
        ratios = _faster(record), _figure(record.to_bandwidth(ours)), _faster(smaller)
        rows.append((title(record.cell), record.dtype, *levels, peer, *ratios))
    header = (
        "cell",
        "dtype",
        "cecore, AVX2",
        "cecore, AVX-512",
        "fastest peer",
        "x faster",
        "x bandwidth",
        "x faster, 1e5",
    )
    return table(header, rows, left=2) if rows else ""


def _faster(record: Record | None) -> str:
    """Return how many times faster cecore's highest level is than the fastest peer."""
    return _figure(record.speedup(record.ours()[-1]) if record and record.ours() else None)


# ---------------------------------------------------------------- the page of results: every cell


def results_page(run: Run) -> str:
    """Return the page: times for the first table, and for every cell the ratios; its times are in the JSON."""
    parts = [
        "# Results of the whole run",
        "`python -m bench --draw` wrote this page. [Speed](speed.md) explains how we measure.",
        WORDS,
        _plain(heading(run)),
        *_first_cells(run),
        *_headed("Ratios", _ratios(run)),
        *(part for title, text in ratios(run) for part in _headed(title, text)),
        *_headed("Speed-up from threads", _gains(run)),
        *_headed("Where a peer is faster", _lost(run)),
        *_headed("Goals", f"{VERDICTS}\n\n{_plain(goals(run))}"),
    ]
    return "\n\n".join(parts) + "\n"


def _headed(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []


def _first_cells(run: Run) -> list[str]:
    rows = first_table(run)
    return ["## The most used calls", about(run), LEGEND, rows, where_beaten(run), PICTURE] if rows else []


def _plain(text: str) -> str:
    return f"```text\n{text}\n```"


def _ratios(run: Run) -> str:
    kinds = sorted({(record.threads, record.layout, record.size) for record in run.cells})
    header = ["cell", "dtype"]
    for count, layout, size in kinds:
        more = "" if count == 1 else f", {count} threads"
        header.append(f"{size:,}{more}" + ("" if layout == "contiguous" else f", {layout}"))
    rows = []
    for cell, dtype in dict.fromkeys((record.cell, record.dtype) for record in run.cells):
        found = [run.find(cell, dtype, size, count, layout) for count, layout, size in kinds]
        rows.append((cell, dtype, *map(_faster, found)))
    words = "Each ratio is the time of the fastest peer divided by the time of cecore with the best instruction set.\n"
    words += "Each column is for one number of elements. Columns without a number of threads are for one thread."
    return f"{words}\n\n{table(header, rows, left=2)}"


def _gains(run: Run) -> str:
    rows = []
    for several in run.cells:
        one = run.find(several.cell, several.dtype, several.size, 1, several.layout)
        if several.threads == 1 or several.size != SIZE or one is None or not several.ours():
            continue
        names = several.ours()[-1], several.peers()[0] if several.peers() else "", RIVAL
        gains = [_figure(scaling(one, several, name)) for name in names]
        rows.append((several.cell, several.dtype, str(several.threads), gains[0], f"{gains[1]} {names[1]}", gains[2]))
    header = ("cell", "dtype", "threads", "cecore", "fastest peer", RIVAL)
    words = (
        f"Each speed-up is the time with one thread divided by the time with several threads, for {SIZE:,} elements:"
    )
    return f"{words}\n\n{table(header, rows, left=2)}" if rows else ""


def _lost(run: Run) -> str:
    rows = lost(run)
    words = "The ratio is the time of cecore divided by the time of the peer. x86_v3 is AVX2 and x86_v4 is AVX-512:"
    return f"{words}\n\n{rows}" if rows else ""


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


# ---------------------------------------------------------------- the charts


def speed(run: Run) -> Any:
    """Draw a row for each cell in SHOWN, with a dot for each contestant."""
    import matplotlib.pyplot as plt

    halves = [[r for r in shown_records(run) if r.dtype == dtype] for dtype in DTYPES]
    halves = [half for half in halves if half]
    if not halves:
        return None
    heights = [len(half) for half in halves]
    figure, panels = plt.subplots(
        len(halves), 1, sharex=True, squeeze=False, height_ratios=heights, figsize=(8, 1.5 + 0.36 * sum(heights))
    )
    for axes, half in zip(panels[:, 0], halves, strict=True):
        _rows(axes, half)
        axes.set_title(f"{half[0].dtype}, one thread, {half[0].size:,} elements", loc="left", fontsize=10)
    panels[-1, 0].set_xlabel("ns per element (log scale; further left is faster)")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=5, frameon=False, fontsize=9, columnspacing=1.2)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.4 / figure.get_figheight()))
    return figure


def _rows(axes: Any, records: Sequence[Record]) -> None:
    places = range(len(records))
    series: dict[str, Callable[[Record], float | None]] = {
        BANDWIDTH: lambda r: r.nanoseconds(BANDWIDTH),
        AVX512: lambda r: r.nanoseconds(AVX512),
        AVX2: lambda r: r.nanoseconds(AVX2),
        "fastest peer": lambda r: r.nanoseconds(r.peers()[0]),
        FORMULA: lambda r: r.nanoseconds(FORMULA),
    }
    for place, record in zip(places, records, strict=True):
        best = record.peers()[0]
        axes.plot(
            [record.nanoseconds(record.ours()[-1]), record.nanoseconds(best)], [place] * 2, color="#dddddd", zorder=0
        )
        axes.text(1.01, place, best, transform=axes.get_yaxis_transform(), va="center", color=COLORS["fastest peer"])
    for name, time in series.items():
        points = [(time(record), place) for place, record in zip(places, records, strict=True)]
        points = [point for point in points if point[0] is not None]
        style = {"markersize": 11, "markeredgewidth": 2} if name == BANDWIDTH else {"markersize": 6}
        if points:
            axes.plot(*zip(*points, strict=True), MARKS[name], color=COLORS[name], label=label(name), **style)
    _log(axes.xaxis)
    axes.set_yticks(places, [title(record.cell) for record in records])
    axes.set_ylim(len(records) - 0.4, -0.6)
    axes.margins(x=0.05)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _log(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
    low, high = axis.get_data_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 2000 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def sizes(run: Run) -> Any:
    """Draw the time per element over the size, for the cells that were measured at several sizes."""
    chosen = [(cell, _series(run, cell, lambda record: record.elements)) for cell in SIZED]
    chosen = [(cell, series) for cell, series in chosen if any(len(points) > 1 for points in series.values())]
    return _panels(chosen, "elements") if chosen else None


def classes(run: Run) -> Any:
    """Draw the cross-entropy of logits over the number of classes, in both dtypes."""
    found = run.values("size")
    size = SIZE if SIZE in found else max(found, default=SIZE)
    panels = []
    for dtype in DTYPES:
        records = [
            record
            for record in run.cells
            if re.fullmatch(r"ce logits forward_backward, [\d,]+ classes, out=", record.cell)
            and record.key[1:] == (dtype, size, 1, "contiguous")
        ]
        series = _by_contestant(records, class_count)
        if any(len(points) > 1 for points in series.values()):
            panels.append((f"ce logits forward + backward, {dtype}", series))
    return _panels(panels, "classes") if panels else None


def class_count(record: Record) -> int:
    return int(re.search(r"([\d,]+) classes", record.cell).group(1).replace(",", ""))


Series = dict[str, list[tuple[float, float]]]


def _series(run: Run, cell: str, by: Callable[[Record], int]) -> Series:
    key = (cell, "float64", 1, "contiguous")
    return _by_contestant([r for r in run.cells if (r.cell, r.dtype, r.threads, r.layout) == key], by)


def _by_contestant(records: Sequence[Record], by: Callable[[Record], int]) -> Series:
    series: Series = {}
    for record in records:
        for name in record.timings:
            if name != f"{OURS}baseline":
                series.setdefault(name, []).append((by(record), record.nanoseconds(name)))
    return {name: sorted(points) for name, points in series.items()}


def _panels(chosen: Sequence[tuple[str, Series]], along: str) -> Any:
    import matplotlib.pyplot as plt

    height = (len(chosen) + 1) // 2
    figure, grid = plt.subplots(height, 2, squeeze=False, figsize=(8, 0.7 + 3 * height))
    handles: dict[str, Any] = {}
    for axes, (name, series) in zip(grid.flat, chosen, strict=False):
        for contestant, points in series.items():
            ours = contestant.startswith(OURS)
            style = {"linewidth": 2.2 if ours else 1.2, "linestyle": ":" if contestant == BANDWIDTH else "-"}
            [line] = axes.plot(*zip(*points, strict=True), "o", color=COLORS[contestant], markersize=3, **style)
            handles[label(contestant)] = line
        _log(axes.yaxis)
        axes.set_xscale("log")
        axes.set_title(title(name), loc="left", fontsize=9)
        axes.grid(color="#eeeeee")
    for axes in grid.flat[len(chosen) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(along)
    for axes in grid[:, 0]:
        axes.set_ylabel("ns per element")
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=5, frameon=False, fontsize=8.5)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.55 / figure.get_figheight()))
    return figure
