"""Build the kernels once for each instruction-set level. All other settings are in pyproject.toml."""

import os
import subprocess
import sys
import sysconfig
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = "src/cecore/kernels/"
X86_64 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
V3 = ["-mavx2", "-mfma"]
V4 = [*V3, "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"]
LEVELS = {"baseline": [], **({"x86_v3": V3, "x86_v4": V4} if X86_64 else {})}
# The meaning: IEEE 754 in the written order, so that the results are the same everywhere. Without errno and traps,
# square roots and selections can be vector code.
STRICT = ["-fno-fast-math", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
# The speed: -O2 makes vector code only of loops that have a known length, unless the cost model is dynamic, and jump
# threading turns selections into branches, which leaves a loop scalar.
SPEED = ["-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-fno-thread-jumps"]
# What is not marked inline stays a call: GCC forgets the `restrict` of parameters when it inlines a function (rows and
# strided arrays would take up to 1.7 times as long), and its buffers would add to the stack of the caller.
CALLS = ["-fno-inline-small-functions", "-fno-inline-functions-called-once"]
# Loops over the lanes of several registers keep them there.
OWN = {"x86_v3": ["-fpeel-loops", "--param=max-completely-peel-times=4", "--param=max-completely-peeled-insns=75"]}
MSVC = {"baseline": [], "x86_v3": ["/arch:AVX2"], "x86_v4": ["/arch:AVX512"]}
# CECORE_SANITIZE=address or thread compiles in checks at run time; tools/sanitize.py uses them. Divisions by 0 are not
# checked: they are meant, and IEEE 754 defines them.
SANITIZERS = {
    "": [],
    "address": ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
SANITIZE = SANITIZERS[os.environ.get("CECORE_SANITIZE", "")]
CYTHONIZE = "import sys; from Cython.Build import cythonize; cythonize(sys.argv[1], build_dir=sys.argv[2])"


class BuildLevels(build_ext):
    """Translate each level to C and compile it with the flags of the level, spelled for the compiler in use.

    Cython and NumPy are needed only here: the metadata and the source archive are made without them.
    """

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or len(self.extensions)  # one thread for each level

    def translate(self, source, folder):
        """Run Cython on `source` in a new process, so that the levels do not wait for each other. Return the C file."""
        subprocess.run([sys.executable, "-c", CYTHONIZE, source, folder], check=True)
        return os.path.join(folder, os.path.splitext(source)[0] + ".c")

    def knows(self, flag):
        command = [*self.compiler.compiler_so, "-Werror", flag, "-E", "-x", "c", os.devnull]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def build_extension(self, ext):
        import numpy

        level = ext.name.rpartition(".")[2]
        # Each level has its own folder: Cython copies the headers there, and the other levels may be reading theirs.
        folder = f"build/cython/{level}"
        ext.sources = [self.translate(file, folder) if file.endswith(".pyx") else file for file in ext.sources]
        ext.include_dirs.append(numpy.get_include())
        if self.compiler.compiler_type == "msvc":
            flags = ["/O2", "/fp:precise", *MSVC[level]]
            inline = "__forceinline"
        else:
            flags = STRICT + [flag for flag in SPEED + CALLS + OWN.get(level, []) if self.knows(flag)] + LEVELS[level]
            # What is marked inline is inlined: a scalar function in a loop must not be a call.
            inline = "inline __attribute__((always_inline))"
            ext.extra_compile_args += ["-fvisibility=hidden", "-g0"]
            if SANITIZE:
                flags += ["-O1", "-g1", "-fno-omit-frame-pointer", *SANITIZE]  # -O1 compiles in half the time of -O2
                ext.extra_link_args += SANITIZE
            elif sys.platform == "linux":
                ext.extra_link_args += ["-Wl,-s", "-Wl,-z,relro,-z,now"]
        ext.extra_compile_args += flags
        ext.define_macros += [("CYTHON_INLINE", inline), ("CECORE_FLAGS", '"' + " ".join(flags) + '"')]
        super().build_extension(ext)


setup(
    cmdclass={"build_ext": BuildLevels},
    ext_modules=[
        Extension(
            f"cecore.kernels.{level}",
            [f"{KERNELS}{level}.pyx"],
            include_dirs=[KERNELS],
            depends=[*glob(KERNELS + "*.pxi"), *glob(KERNELS + "*.h")],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
            # If a machine cannot build a level, it does without that level. A release must have all of them.
            optional=level != "baseline" and os.environ.get("CECORE_REQUIRE_SIMD") != "1",
        )
        for level in LEVELS
    ],
)
