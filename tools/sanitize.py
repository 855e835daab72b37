"""Build cecore with the sanitizers of GCC in a temporary copy of the repository, and run tests on it.

    python tools/sanitize.py address              AddressSanitizer, UndefinedBehaviorSanitizer: the complete test suite
    python tools/sanitize.py thread               ThreadSanitizer: the tests of threads
    python tools/sanitize.py address TEST ...     these tests alone, or other arguments for pytest
    python tools/sanitize.py --quick              both sanitizers, each with a part of the tests (3 minutes)

The tool needs Linux, the requirements of the build and of the tests, and no network. First it runs a deliberate
defect, which the sanitizer must report. If the sanitizer cannot run here, the tool says why and exits with 0.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SUITE = ["tests", "src/cecore", "README.md", "docs/mathematics.md", "docs/mistakes.md", "docs/porting.md"]
THREADS = ["tests/test_threads.py", "tests/test_streaming.py", "tests/test_objects.py"]


class Sanitizer(NamedTuple):
    libraries: list[str]  # which must be loaded before Python
    flags: list[str]
    options: dict[str, str]
    defects: dict[str, str]  # C code, and what the sanitizer says of it
    sound: str  # C code without a defect
    tests: list[str]
    quick: list[str]
    slow: list[str]  # tests that --quick leaves out, by words in their names
    left_out: dict[str, str]  # tests that cannot run, and why


ADDRESS = Sanitizer(
    libraries=["asan", "ubsan"],
    flags=["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    options={
        # Python does not free all memory at its end. Arrays that are too large must be a MemoryError.
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",  # so that Python's own buffers are watched too
    },
    defects={
        "char *p = malloc(8); return p[zero + 8];": "heap-buffer-overflow",
        "return zero + INT_MAX + 1;": "signed integer overflow",
        "char *p = (char *)16; p += zero - 32; return p != NULL;": "pointer index expression",
    },
    sound="char *p = malloc(8); p[7] = zero; return p[7];",
    tests=SUITE,
    quick=[f"tests/test_{name}.py" for name in ("arrays", "bounds", "faults", "halves", "inputs", "streaming")],
    slow=[],
    left_out={
        "without_memory": "AddressSanitizer claims more addresses than the test allows",
        "test_sizes": "billions of numbers take an hour",
        "small_stack": "its functions take more of the stack",
    },
)
LOCKED = """
    PyThread_type_lock lock = PyThread_allocate_lock();
    pthread_t thread;
    pthread_create(&thread, NULL, count, lock);
    count(lock);
    pthread_join(thread, NULL);
    return 0;
"""
THREAD = Sanitizer(
    libraries=["tsan"],
    flags=["-fsanitize=thread"],
    options={"TSAN_OPTIONS": "halt_on_error=1:history_size=4"},
    defects={LOCKED.replace("count(lock)", "count(NULL)"): "data race"},
    sound=LOCKED,
    tests=THREADS,
    quick=THREADS,
    slow=["40000", "environment"],
    left_out={"fork": "ThreadSanitizer cannot follow a fork of several threads"},
)
SANITIZERS = {"address": ADDRESS, "thread": THREAD}
CODE = """
#include <limits.h>
#include <pthread.h>
#include <Python.h>

static int counter;

__attribute__((unused)) static void *count(void *lock)
{
    int i;
    for (i = 0; i < 1000; i++) {
        if (lock)
            PyThread_acquire_lock(lock, 1);
        counter++;
        if (lock)
            PyThread_release_lock(lock);
    }
    return NULL;
}

int run(volatile int zero)
{
    BODY
}
"""


class Build:
    """A copy of the repository, for one sanitizer."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.sanitizer = name, folder / name, SANITIZERS[name]
        self.compiler = os.environ.get("CC", "gcc")
        ignored = shutil.ignore_patterns(".git", "build", "*.so", "*.egg-info", "__pycache__", ".venv*", ".*_cache")
        shutil.copytree(ROOT, self.folder, ignore=ignored)

    def library(self, name: str) -> str:
        """Return the path of a run-time library of the compiler, or nothing."""
        try:
            command = [self.compiler, f"-print-file-name=lib{name}.so"]
            path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""
        return path if os.path.isabs(path) else ""

    def python(self, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Run Python with the run-time libraries of the sanitizer."""
        source = str(self.folder / "src")
        settings = {**self.sanitizer.options, "PYTHONPATH": source, "LD_PRELOAD": " ".join(self.loaded)}
        command = ["env", *(f"{name}={value}" for name, value in settings.items()), sys.executable, *arguments]
        # ThreadSanitizer needs certain addresses, which a random layout of memory may have taken.
        fixed = ["setarch", "-R"]
        if (
            shutil.which("setarch")
            and not subprocess.run([*fixed, "true"], capture_output=True, check=False).returncode
        ):
            command = [*fixed, *command]
        return subprocess.run(command, cwd=self.folder, capture_output=capture, text=True, check=False)

    def tried(self, body: str) -> subprocess.CompletedProcess[str]:
        """Compile C code with the sanitizer, and run it in Python."""
        (self.folder / "tried.c").write_text(CODE.replace("BODY", body))
        include = f"-I{sysconfig.get_path('include')}"
        flags = ["-shared", "-fPIC", "-g1", "-pthread", include, *self.sanitizer.flags]
        subprocess.run([self.compiler, *flags, "-o", "tried.so", "tried.c"], cwd=self.folder, check=True)
        return self.python("-c", "import ctypes; ctypes.CDLL('./tried.so').run(0)", capture=True)

    def obstacle(self) -> str:
        """Return why the sanitizer cannot run here, or nothing. Raise an error if it does not report a defect."""
        self.loaded = [self.library(name) for name in self.sanitizer.libraries]
        if not all(self.loaded):
            return f"{self.compiler} has no {' and '.join('lib' + name for name in self.sanitizer.libraries)}"
        done = self.tried(self.sanitizer.sound)
        if done.returncode:  # for example, ThreadSanitizer does not know the locks of this Python
            return f"it reports a program that has no defect:\n{done.stderr}"
        for body, report in self.sanitizer.defects.items():
            done = self.tried(body)
            if done.returncode == 0 or report not in done.stderr:
                raise SystemExit(f"a deliberate defect, {report}, was not reported:\n{body}\n{done.stderr}")
        return ""

    def test(self, quick: bool, arguments: list[str]) -> bool:
        """Compile the copy and run tests. Return whether they pass."""
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        settings = {**os.environ, "CC": self.compiler, "CECORE_SANITIZE": self.name}
        built = subprocess.run(command, cwd=self.folder, env=settings, capture_output=True, text=True, check=False)
        if built.returncode:
            raise SystemExit(built.stderr)
        show = "from cecore._dispatch import *; print(*(n for n in usable if '-fsanitize=' in usable[n].flags))"
        levels = self.python("-c", show, capture=True).stdout.split()
        if not levels:
            raise SystemExit("the kernels have no flag of a sanitizer")
        print(f"levels: {' '.join(levels)}", flush=True)
        left_out = [*self.sanitizer.left_out, *([*levels[:-1], *self.sanitizer.slow] if quick else [])]
        chosen = arguments or ["-k", f"not ({' or '.join(left_out or ['nothing'])})"]
        if not arguments:
            chosen += self.sanitizer.quick if quick else self.sanitizer.tests
        # pytest must not capture what a sanitizer prints, nor catch the signals that the sanitizer catches.
        options = ["-q", "--durations=5", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--capture=sys"]
        return self.python("-m", "pytest", *options, *chosen).returncode == 0


def main() -> int:
    names, arguments = sys.argv[1:2], sys.argv[2:]
    if names not in (["address"], ["thread"], ["--quick"]) or (names == ["--quick"] and arguments):
        print(__doc__)
        return 2
    passed = True
    quick = names == ["--quick"]
    for name in SANITIZERS if quick else names:
        start = time.monotonic()
        print(f"== {name} sanitizer", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            build = Build(name, Path(folder))
            obstacle = build.obstacle()
            if obstacle:
                print(f"not run: {obstacle}")
            else:
                passed &= build.test(quick, arguments)
        print(f"{time.monotonic() - start:.0f} s", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
