"""Check that a wheel is small, holds every compiled instruction-set level, and holds no source code of the kernels.

    python tools/check_wheel.py dist/cecore-*.whl

The tool exits with 1 if a wheel fails a check.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

LIMIT = 2_000_000  # bytes
SOURCES = (".c", ".h", ".pxi", ".pyx", ".pxd")
NEEDED = ("cecore/py.typed", "cecore/_types.pyi", "cecore/kernels/baseline.pyi")


def problems(path: Path) -> list[str]:
    names = zipfile.ZipFile(path).namelist()
    levels = {name.split("/")[-1].partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    expected = {"baseline"} | ({"x86_v3", "x86_v4"} if path.stem.endswith(("x86_64", "amd64")) else set())
    found = [f"it holds {name}" for name in names if name.endswith(SOURCES)]
    found += [f"it lacks {name}" for name in NEEDED if name not in names]
    found += [f"it lacks the level {level}" for level in sorted(expected - levels)]
    if path.stat().st_size > LIMIT:
        found.append(f"it is larger than {LIMIT} bytes")
    return found


def main() -> int:
    failed = False
    for path in map(Path, sys.argv[1:]):
        found = problems(path)
        failed |= bool(found)
        print(f"{path.name}: {path.stat().st_size} bytes, {'; '.join(found) if found else 'all checks passed'}")
    return 1 if failed or not sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
