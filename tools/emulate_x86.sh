#!/usr/bin/env bash
# Runs the tests on x86-64 machines without AVX-512, by qemu-user-static; `python` has cecore installed.
#
#     tools/emulate_x86.sh [pytest's arguments]              on both: Nehalem (baseline), Haswell (x86_v3)
#     CPUS=Nehalem tools/emulate_x86.sh [pytest's arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(python -c "import sys; print(sys.executable)")
for cpu in ${CPUS:-Nehalem Haswell}; do
    echo "== $cpu"
    # The deselected test starts Python processes: those run on the machine's own CPU.
    qemu-x86_64-static -cpu "$cpu" "$python" -m pytest -q \
        --deselect tests/test_objects.py::test_the_level_can_be_lowered "$@"
done
