#!/usr/bin/env bash
# Build cecore for 64-bit Arm and test it with qemu-user-static. The results must be bit for bit the same as on x86-64
# with fused multiply-add.
#
#     tools/arm64.sh             download into a temporary folder
#     tools/arm64.sh FOLDER      keep the downloads in FOLDER, and do not download them again
#
# The script needs Debian bookworm, gcc-aarch64-linux-gnu and qemu-user-static. `python` must be 3.11 (the version
# of bookworm) with NumPy and Cython. apt downloads Debian's arm64 packages, and pip downloads NumPy's wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# -gt 0 ]; then
    mkdir -p "$1"
    work=$(cd "$1" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
root=$work/root site=$work/site lib=$work/lib

if [ ! -e "$work/fetched" ]; then
    # Use separate apt lists, so that the machine's own apt needs no foreign architecture.
    mkdir -p "$work"/apt/{state/lists,cache/archives}/partial "$work/debs" "$root"
    touch "$work/apt/status"
    cat > "$work/apt/conf" <<END
#clear APT::Architectures;
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$work/apt/state";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
END
    export APT_CONFIG=$work/apt/conf
    apt-get -q update
    (cd "$work/debs" && apt-get -q download python3.11-minimal libpython3.11-{minimal,stdlib,dev} libc6 libcrypt1 \
        libexpat1 zlib1g libgcc-s1 libstdc++6 libffi8 libssl3 libbz2-1.0 liblzma5 libuuid1 libsqlite3-0)
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$root"
    done
    python -m pip install -q --target "$site" --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
        --python-version 3.11 --only-binary=:all: "numpy==$(python -c 'import numpy; print(numpy.__version__)')" \
        pytest hypothesis mpmath
    touch "$work/fetched"
fi

rm -rf "$lib" "$work/build"
# These folders are part of CC, so that they come before those of the Python and NumPy that run the build.
include="-I$root/usr/include/python3.11 -I$root/usr/include -I$site/numpy/_core/include"
_PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=.cpython-311-aarch64-linux-gnu.so \
    CC="aarch64-linux-gnu-gcc $include" LDSHARED="aarch64-linux-gnu-gcc -shared" \
    python setup.py -q build --build-base "$work/build" --build-lib "$lib"

arm() {
    PYTHONPATH="$lib:$site" PYTHONDONTWRITEBYTECODE=1 \
        qemu-aarch64-static -L "$root" "$root/usr/bin/python3.11" "$@"
}
arm -c 'import cecore; cecore.show_config(); assert cecore._dispatch.kernels.has_fma'
arm tests/test_golden.py
# The deselected test would start an Arm Python without qemu.
arm -m pytest -q -p no:cacheprovider tests/test_golden.py tests/test_math.py \
    --deselect tests/test_math.py::test_the_constants_are_derived
