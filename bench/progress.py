"""The progress on stderr: a bar if tqdm is installed, otherwise one line."""

from __future__ import annotations

import sys


def progress(text: str) -> None:
    """Replace the line on stderr; an empty text removes it."""
    print(f"\r{text:<79}", end="\r", file=sys.stderr, flush=True)


class Line:
    """A replacement for the bar of tqdm."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total

    def set_postfix_str(self, text: str) -> None:
        progress(f"{self.done}/{self.total}  {text}")

    def update(self) -> None:
        self.done += 1

    def close(self) -> None:
        progress("")


def bar(total: int) -> Line:
    try:
        from tqdm import tqdm
    except ImportError:
        return Line(total)
    form = "{n_fmt}/{total_fmt} |{bar:20}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=total, bar_format=form, file=sys.stderr, leave=False)  # type: ignore[no-any-return]
