"""The progress line."""

import sys


def progress(text: str) -> None:
    """Replace the line on stderr; an empty text removes it."""
    print(f"\r{text:<79}", end="\r", file=sys.stderr, flush=True)
