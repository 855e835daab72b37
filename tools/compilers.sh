#!/usr/bin/env bash
# Builds cecore by each compiler, into a folder of its own, and compares the bits with the golden ones. `python` has
# the build's and the tests' requirements. Needs no network.
#
#     tools/compilers.sh [compiler ...]        gcc and clang
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- gcc clang
for compiler; do
    echo "== $compiler"
    lib=$work/$compiler
    CC=$compiler CECORE_REQUIRE_SIMD=1 python setup.py -q build --build-base "$lib-build" --build-lib "$lib"
    export PYTHONPATH=$lib
    python - "$lib" "${compiler%%-*}" <<'END'
import sys

import cecore

cecore.show_config()
lib, compiler = sys.argv[1:]
assert cecore.__file__.startswith(lib), cecore.__file__
for kernels in cecore._dispatch.usable.values():
    assert kernels.__file__.startswith(lib), kernels.__file__
    assert kernels.compiler.lower().startswith(compiler), kernels.compiler
END
    python tests/test_golden.py
    python -m pytest -q -p no:cacheprovider tests/test_golden.py
    unset PYTHONPATH
done
