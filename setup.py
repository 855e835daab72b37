"""Builds the kernels once for each instruction-set level; everything else is in pyproject.toml."""

import os
import subprocess
import sys
import sysconfig
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = "src/cecore/kernels/"
X86_64 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
V3 = ["-mavx2", "-mfma"]
V4 = [*V3, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
LEVELS = {"baseline": [], **({"x86_v3": V3, "x86_v4": V4} if X86_64 else {})}
STRICT = ["-O2", "-ftree-vectorize", "-fno-fast-math", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
# For speed and size alone, where the compiler knows them. GCC's jump threading turns some selections into branches,
# which leaves their loop scalar; kernels stay out of line, one function each (what must be inlined says so itself);
# C has no exceptions that would need unwind tables; the next two copy code that is not hot. A loop over lanes that is
# peeled early is not made vector code, and the ends of loops, most of which have none, need not be. -O3, and alignment
# of all but loops, add a tenth to the size, scheduling adds a fortieth: processors that have vectors this wide reorder
# by themselves. Registers saved around calls, rather than kept from use, add a hundredth, and no speed.
TUNING = [
    *("-fvect-cost-model=dynamic", "-fno-reorder-blocks-and-partition", "-fno-tree-tail-merge"),
    *("-fno-inline-small-functions", "-fno-inline-functions-called-once"),  # in GCC's words,
    *("-finline-hint-functions", "-fno-thread-jumps"),  # and in Clang's
    *("-fno-asynchronous-unwind-tables", "-fno-ipa-cp", "-fno-tree-pre"),
    *("--param=max-completely-peel-times=4", "--param=max-completely-peeled-insns=30"),
    *("--param=vect-epilogues-nomask=0", "-fno-schedule-insns2", "-fno-caller-saves"),
    *("-fno-align-functions", "-fno-align-jumps", "-fno-align-labels", "-falign-loops=32"),
]
# Loops over lanes of several registers keep them there.
OWN = {"x86_v3": ["-fpeel-loops", "--param=max-completely-peeled-insns=75"]}
MSVC = {"baseline": [], "x86_v3": ["/arch:AVX2"], "x86_v4": ["/arch:AVX512"]}


class BuildLevels(build_ext):
    """The flags of each level, in the words of the compiler at hand."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def knows(self, flag):
        command = [*self.compiler.compiler_so, "-Werror", flag, "-E", "-x", "c", os.devnull]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def build_extension(self, ext):
        level = ext.name.rpartition(".")[2]
        if self.compiler.compiler_type == "msvc":
            flags = ["/O2", "/fp:precise", *MSVC[level]]
            inline = "__forceinline"
        else:
            tuning = TUNING + OWN.get(level, [])
            flags = STRICT + [flag for flag in tuning if self.knows(flag)] + LEVELS[level]
            # What is marked inline is inlined: a scalar function in a loop must not be a call.
            inline = "inline __attribute__((always_inline))"
            ext.extra_compile_args += ["-fvisibility=hidden", "-g0"]
            if sys.platform == "linux":
                ext.extra_link_args += ["-Wl,-s", "-Wl,-z,relro,-z,now"]
        ext.extra_compile_args += flags
        ext.define_macros += [("CYTHON_INLINE", inline), ("CECORE_FLAGS", '"' + " ".join(flags) + '"')]
        super().build_extension(ext)


extensions = [
    Extension(
        f"cecore.kernels.{level}",
        [f"{KERNELS}{level}.pyx"],
        include_dirs=[numpy.get_include(), KERNELS],
        depends=[*glob(KERNELS + "*.pxi"), *glob(KERNELS + "*.h")],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )
    for level in LEVELS
]

ext_modules = cythonize(extensions, build_dir="build/cython")
for ext in ext_modules:  # cythonize drops the attribute
    # A machine that cannot build a level does without it; a release must have them all.
    ext.optional = ext.name != "cecore.kernels.baseline" and os.environ.get("CECORE_REQUIRE_SIMD") != "1"

setup(
    ext_modules=ext_modules,
    cmdclass={"build_ext": BuildLevels},
)
