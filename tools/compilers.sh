#!/usr/bin/env bash
# Build cecore with each compiler, in separate folders, and check that the results are bit for bit the golden ones.
#
#     tools/compilers.sh                   use gcc and clang
#     tools/compilers.sh COMPILER ...      use these compilers
#
# `python` must have the requirements of the build and of the tests. The script needs no network.
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
