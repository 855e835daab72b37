"""What a build does where a level cannot be compiled. Each test compiles the package: `pytest -m build`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.build,
    pytest.mark.skipif(os.name != "posix" or "x86_64" not in sysconfig.get_platform(), reason="levels of x86-64, cc"),
]


def build(folder, **environment):
    """Build a copy of the checkout in place by a compiler that does not know AVX-512."""
    compiler = folder / "old-cc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-mavx512f*) echo "unknown argument" >&2; exit 1;; esac\nexec cc "$@"\n'
    )
    compiler.chmod(0o755)
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "build", "*.so", "*.egg-info", "__pycache__"))
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    settings = {**os.environ, "CC": str(compiler), **environment}
    return copy, subprocess.run(command, cwd=copy, env=settings, capture_output=True, text=True, check=False)


def test_a_level_that_cannot_be_compiled_is_left_out(tmp_path):
    copy, done = build(tmp_path, CECORE_REQUIRE_SIMD="0")
    assert done.returncode == 0, done.stderr
    assert 'building extension "cecore.kernels.x86_v4" failed' in done.stderr
    settings = {**os.environ, "PYTHONPATH": str(copy / "src")}
    show = [sys.executable, "-c", "import cecore; cecore.show_config(); print(cecore.binary_cross_entropy(0.5, 1))"]
    printed = subprocess.run(show, env=settings, capture_output=True, text=True, check=True).stdout
    assert "x86_v4    not" in printed
    assert printed.endswith("0.6931471805599453\n")


def test_unless_every_level_is_required(tmp_path):
    _, done = build(tmp_path, CECORE_REQUIRE_SIMD="1")
    assert done.returncode != 0
    assert "unknown argument" in done.stderr
