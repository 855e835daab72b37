"""Fail unless a wheel is small, and holds the compiled levels and no source of them.

python tools/check_wheel.py dist/cecore-*.whl
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

LIMIT = 2_000_000  # bytes
SOURCES = (".c", ".h", ".pxi", ".pyx", ".pxd")
NEEDED = ("cecore/py.typed", "cecore/kernels/baseline.pyi")


def problems(path: Path) -> list[str]:
    names = zipfile.ZipFile(path).namelist()
    levels = {name.split("/")[-1].partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    expected = {"baseline"} | ({"x86_v3", "x86_v4"} if path.stem.endswith(("x86_64", "amd64")) else set())
    found = [f"holds {name}" for name in names if name.endswith(SOURCES)]
    found += [f"lacks {name}" for name in NEEDED if name not in names]
    found += [f"lacks the level {level}" for level in sorted(expected - levels)]
    if path.stat().st_size > LIMIT:
        found.append(f"is {path.stat().st_size} bytes: the limit is {LIMIT}")
    return found


def main() -> int:
    failed = False
    for path in map(Path, sys.argv[1:]):
        found = problems(path)
        failed |= bool(found)
        print(f"{path.name}: {path.stat().st_size} bytes, {'; '.join(found) if found else 'as it should be'}")
    return 1 if failed or not sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
