#!/usr/bin/env bash
# Run the tests on emulated x86-64 CPUs without AVX-512. `python` must have cecore installed.
#
#     tools/emulate_x86.sh [ARGUMENTS OF PYTEST]                  Nehalem (level baseline), then Haswell (level x86_v3)
#     CPUS=Nehalem tools/emulate_x86.sh [ARGUMENTS OF PYTEST]     only Nehalem
#
# The script needs qemu-user-static.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(python -c "import sys; print(sys.executable)")
for cpu in ${CPUS:-Nehalem Haswell}; do
    echo "== $cpu"
    # The deselected test starts Python processes, which would run on the real CPU.
    qemu-x86_64-static -cpu "$cpu" "$python" -m pytest -q \
        --deselect tests/test_objects.py::test_the_level_can_be_lowered "$@"
done
