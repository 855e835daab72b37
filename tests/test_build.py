"""What building needs, and what it does if a level cannot be compiled. Most tests compile: `pytest -m build`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.build
needs_levels = pytest.mark.skipif(
    os.name != "posix" or "x86_64" not in sysconfig.get_platform(), reason="levels of x86-64, cc"
)


def copy_checkout(folder):
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "build", "*.so", "*.egg-info", "__pycache__"))
    return copy


def build(folder, **environment):
    """Build a copy of the checkout in place by a compiler that does not know AVX-512."""
    compiler = folder / "old-cc"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-mavx512f*) echo "unknown argument" >&2; exit 1;; esac\nexec cc "$@"\n'
    )
    compiler.chmod(0o755)
    copy = copy_checkout(folder)
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    settings = {**os.environ, "CC": str(compiler), **environment}
    return copy, subprocess.run(command, cwd=copy, env=settings, capture_output=True, text=True, check=False)


@needs_levels
def test_a_level_that_cannot_be_compiled_is_left_out(tmp_path):
    copy, done = build(tmp_path, CECORE_REQUIRE_SIMD="0")
    assert done.returncode == 0, done.stderr
    assert 'building extension "cecore.kernels.x86_v4" failed' in done.stderr
    settings = {**os.environ, "PYTHONPATH": str(copy / "src")}
    show = [sys.executable, "-c", "import cecore; cecore.show_config(); print(cecore.binary_cross_entropy(0.5, 1))"]
    printed = subprocess.run(show, env=settings, capture_output=True, text=True, check=True).stdout
    assert "x86_v4    not" in printed
    assert printed.endswith("0.6931471805599453\n")


@needs_levels
def test_unless_every_level_is_required(tmp_path):
    _, done = build(tmp_path, CECORE_REQUIRE_SIMD="1")
    assert done.returncode != 0
    assert "unknown argument" in done.stderr


@pytest.mark.parametrize("missing", [(), ("Cython", "numpy")], ids=["with Cython", "without Cython and NumPy"])
def test_metadata_and_source_archive_translate_nothing(tmp_path, missing):
    copy = copy_checkout(tmp_path)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in missing:
        (hidden / f"{name}.py").write_text(f'raise ModuleNotFoundError("{name} is hidden", name="{name}")\n')
    code = (
        "import sys; from setuptools import build_meta; folder = sys.argv[1];"
        "build_meta.prepare_metadata_for_build_wheel(folder); build_meta.build_sdist(folder)"
    )
    settings = {**os.environ, "PYTHONPATH": str(hidden)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=copy, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (copy / "build").exists()
    assert not list(copy.rglob("*.c"))
    (metadata,) = tmp_path.glob("*.dist-info/METADATA")
    assert "Requires-Python: >=3.11" in metadata.read_text(encoding="utf-8")

    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = copy / "src" / "cecore"
    sources = {file.relative_to(copy).as_posix() for file in package.rglob("*") if file.is_file()}
    assert {Path(name).suffix for name in sources} == {".py", ".pyi", ".pyx", ".pxi", ".h", ".typed"}
    assert sources | {"setup.py", "pyproject.toml", "tests/test_build.py"} <= names
    assert not [name for name in names if name.startswith("build") or name.endswith((".c", ".so", ".pyd"))]
