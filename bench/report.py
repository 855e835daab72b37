"""What the bench prints: tables that can be pasted into Markdown, and verdicts on the goals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import ge, le

from .cells import SIZE
from .contestants import FLOOR, FORMULA
from .timing import Measured


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A Markdown table, aligned as plain text too: the first columns to the left, the others to the right."""
    lines = [header, *rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if i < left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines.insert(1, rule)
    signs = ["<" if i < left else ">" for i in range(len(widths))]
    return "\n".join(
        "| " + " | ".join(f"{text:{sign}{width}}" for text, sign, width in zip(line, signs, widths, strict=True)) + " |"
        for line in lines
    )


def timings(results: Sequence[Measured]) -> str:
    """One table of the large cells, per element, and one of the small cells, per call."""
    large = [result for result in results if result.cell.size is None]
    small = [result for result in results if result.cell.size is not None]
    return "\n\n".join(_timings(unit, part) for unit, part in (("ns/element", large), ("us/call", small)) if part)


def _timings(unit: str, results: Iterable[Measured]) -> str:
    header = ("cell", "dtype", "contestant", unit, "spread", "x faster", "/ floor")
    return table(header, (_row(result, name) for result in results for name in result.timings), left=3)


def _row(result: Measured, name: str) -> tuple[str, ...]:
    timing = result.timings[name]
    time = timing.median * 1e6 if result.cell.size else timing.median / result.size * 1e9
    numbers = (
        f"{time:.3f}",
        f"{timing.spread:.0%}",
        _ratio(result.ratio(FORMULA, name)),
        _ratio(result.ratio(name, FLOOR)),
    )
    return result.cell.name, result.dtype, name, *numbers


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass(frozen=True)
class Goal:
    """A bound on a quantity of a float64 cell."""

    cell: str
    text: str
    quantity: Callable[[Measured, str], float | None]  # of a contestant
    reached: Callable[[float, float], bool]
    limit: float

    def judge(self, result: Measured, name: str) -> str:
        """One line; empty where the result does not tell."""
        large_enough = result.cell.size is not None or result.size >= SIZE
        applies = (result.cell.name, result.dtype) == (self.cell, "float64") and large_enough and name in result.timings
        value = self.quantity(result, name) if applies else None
        if value is None:
            return ""
        verdict = "PASS" if self.reached(value, self.limit) else "MISS"
        return f"{verdict}  {self.cell}, {name}: {value:.3f} {self.text} {self.limit:g}"


def _speedup(result: Measured, name: str) -> float | None:
    return result.ratio(FORMULA, name)


def _to_floor(result: Measured, name: str) -> float | None:
    return result.ratio(name, FLOOR)


def _microseconds(result: Measured, name: str) -> float:
    return result.timings[name].median * 1e6


GOALS = [
    Goal("bce forward, hard", "x faster than the NumPy formula; wanted >=", _speedup, ge, 8),
    Goal("bce forward, hard", "x the read floor; wanted <=", _to_floor, le, 1.5),
    Goal("bce backward, hard", "x the read-and-write floor; wanted <=", _to_floor, le, 1.5),
    Goal("bce forward_backward, hard", "x the read-and-write floor; wanted <=", _to_floor, le, 2),
    Goal("bce object, 16 elements", "us a call; wanted <=", _microseconds, le, 2),
]


def goals(results: Sequence[Measured], name: str) -> str:
    """The verdicts on what was measured, for one contestant."""
    return "\n".join(line for goal in GOALS for result in results if (line := goal.judge(result, name)))
