"""Threads: the same bits from any number of them, settings, failures, and what the system grants."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from registry import BLOCK, LOSSES
from ulp import bits

import cecore
from cecore import _dispatch, _threads

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
N = 40 * BLOCK + 3


@pytest.fixture
def eager():
    """Threads for the smallest arrays, a block each."""
    former = _dispatch.kernels.set_threading(1, 1)
    yield
    _dispatch.kernels.set_threading(*former)


def batch(loss, classes, seed=0):
    rng = np.random.default_rng(seed)
    n = N if classes < 50 else 200
    return loss.predictions(rng, n, classes=classes), loss.hard(rng, n, classes), rng.random(n)


@each_loss
@pytest.mark.parametrize("classes", [3, 100, 40_000])
def test_any_number_of_threads_gives_the_same_bits(loss, classes, eager):
    if loss.binary and classes > 3:
        pytest.skip("has no classes")
    x, t, w = batch(loss, classes)
    repeats = 100 if classes == 3 else 2
    made = loss.kind(label_smoothing=0.1) if classes == 100 else loss.kind()
    with cecore.num_threads(1):
        want = bits(*made.forward_backward(x, t, sample_weight=w))
    for threads in range(1, 17):
        with cecore.num_threads(threads):
            for _ in range(repeats // 16 + 1):
                assert bits(*made.forward_backward(x, t, sample_weight=w)) == want


@each_loss
@pytest.mark.parametrize("found", [math.nan, math.inf])
def test_a_sum_that_is_not_finite(loss, found, eager):
    """Whichever thread computes the block."""
    x, t, _ = batch(loss, 3)
    t[:] = 0
    wrong = (math.inf, 1.0) if loss.binary else ([-math.inf, 0, 0], [0, 0.5, 0.5])
    made = loss.kind(**loss.unclipped)
    for i in (0, 20 * BLOCK, N - 1):
        spoiled = x.copy()
        spoiled[i] = math.nan if math.isnan(found) else wrong[0 if loss.logits else 1]
        with cecore.num_threads(4):
            for _ in range(10):
                np.testing.assert_equal(made.forward(spoiled, t), found)


@pytest.mark.parametrize("classes", [3, 100])
def test_activations(classes, eager):
    x = np.random.default_rng(0).normal(size=(5000 // classes * BLOCK // 8, classes))
    for function in (cecore.sigmoid, cecore.softmax, cecore.log_softmax, lambda s: cecore.softmax_backward(x, s)):
        with cecore.num_threads(1):
            want = bits(function(x))
        with cecore.num_threads(5):
            assert bits(function(x)) == want


@each_loss
def test_the_first_error_is_the_one_that_is_raised(loss, eager):
    x, t, _ = batch(loss, 3)
    t = t.astype(np.int64)
    for first in (0, 5 * BLOCK + 1, N - 1):
        bad = t.copy()
        bad[first:] = 7
        for threads in (1, 2, 5, 16):
            place = x.copy()
            with cecore.num_threads(threads):
                for _ in range(10):
                    with pytest.raises(ValueError, match=rf"targets\[{first}\] = 7"):
                        loss.kind().backward(place, bad, out=place)
            assert bits(place) == bits(x)


@each_loss
def test_weights_that_vanish_in_one_thread(loss, eager):
    """A weight that float32 rounds to 0 hides no bad element, in whichever thread's block it lies."""
    n = 40 * BLOCK
    x, t, w = batch(loss, 5)
    x, t, w = (np.resize(array, (n, *array.shape[1:])) for array in (x.astype(np.float32), t, w))
    made = loss.kind()
    for place in range(7, n, 13 * BLOCK):
        wrong, tiny = t.copy(), w.astype(np.float64)
        wrong[place], tiny[place] = 99, 1e-300
        with cecore.num_threads(4), pytest.raises(ValueError, match=rf"^targets\[{place}\] = 99"):
            made.forward(x, wrong, sample_weight=tiny)


@each_loss
def test_many_callers_at_once(loss, eager):
    calls = [batch(loss, 3, seed) for seed in range(16)]
    made = loss.kind()
    want = [bits(*made.forward_backward(x, t, sample_weight=w)) for x, t, w in calls]
    wrong = []

    def call(i):
        cecore.set_num_threads(1 + i % 4)
        x, t, w = calls[i]
        for _ in range(30):
            if bits(*made.forward_backward(x, t, sample_weight=w)) != want[i]:
                wrong.append(i)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@each_loss
def test_helpers_end_while_others_compute(loss, eager):
    """Idle helpers end, as before a fork, while the calls of other threads use helpers and start new ones."""
    x, t, _ = batch(loss, 3)
    made = loss.kind()
    want = bits(*made.forward_backward(x, t))
    wrong = []

    def call(i):
        cecore.set_num_threads(2 + i)
        for repeat in range(24):
            if bits(*made.forward_backward(x, t)) != want:
                wrong.append(i)
            if repeat % 8 == i:
                _dispatch.kernels.retire()

    callers = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
NO_ROOM = """
    import os, resource
    size = os.sysconf("SC_PAGE_SIZE") * int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (size, size))  # a thread's stack does not fit
"""
COUNT = """
    import re, numpy as np, cecore
    from cecore import _dispatch
    _dispatch.kernels.set_threading(1, 1)
    def threads():
        return int(re.search(r"Threads:\\s+(\\d+)", open("/proc/self/status").read())[1])
    p = np.random.default_rng(0).random(100_000)
    cecore.set_num_threads(1)
    want, before = cecore.binary_cross_entropy(p, p > 0.5), threads()
    cecore.set_num_threads(8)
    {}
    for _ in range(3):
        assert cecore.binary_cross_entropy(p, p > 0.5) == want
    print(threads() - before)
"""


@LINUX
@pytest.mark.parametrize(
    ("preparation", "helpers"),
    [
        ("", 7),
        (NO_ROOM, 0),
        ("import threading; threading.stack_size(65536)", 0),
    ],
    ids=["granted", "without_memory", "small_stack"],
)
def test_where_threads_cannot_be_started(preparation, helpers):
    assert int(run(COUNT.format(preparation.strip()))) == helpers


# ---------------------------------------------------------------- settings


def run(script, **environment):
    """What a script prints in a process of its own."""
    environment = {**os.environ, **environment}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.thread_unsafe(reason="the default is the main thread's")
def test_settings():
    assert cecore.get_num_threads() == _threads.usable()
    cecore.set_num_threads(3)
    try:
        assert cecore.get_num_threads() == 3
        with cecore.num_threads(5):
            assert cecore.get_num_threads() == 5
            with cecore.num_threads("auto"):
                assert cecore.get_num_threads() == _threads.usable()
        with pytest.raises(ZeroDivisionError), cecore.num_threads(7):
            raise ZeroDivisionError
        assert cecore.get_num_threads() == 3
    finally:
        cecore.set_num_threads("auto")


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "n = 0: expected 1..256"),
        (257, ValueError, "n = 257: expected 1..256"),
        (-1, ValueError, "n = -1"),
        ("all", ValueError, """n = 'all': expected "auto" or an integer from 1 to 256"""),
        (True, TypeError, "n = True: expected an integer"),
        (2.0, TypeError, "n = 2.0: expected an integer"),
        (None, TypeError, "n = None: expected an integer"),
    ],
)
def test_bad_settings(n, error, message):
    for call in (cecore.set_num_threads, lambda n: cecore.num_threads(n).__enter__()):
        with pytest.raises(error, match=re.escape(message)):
            call(n)


def test_other_threads_have_one_unless_set():
    found = []

    def ask():
        found.append(cecore.get_num_threads())
        cecore.set_num_threads(4)
        found.append(cecore.get_num_threads())
        cecore.set_num_threads("auto")
        found.append(cecore.get_num_threads())

    with cecore.num_threads(2):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert cecore.get_num_threads() == 2
    assert found == [1, 4, 1]


ASK = "import cecore; print(cecore.get_num_threads())"


def test_the_environment():
    usable = _threads.usable()
    assert int(run(ASK, CECORE_NUM_THREADS="7")) == 7
    assert int(run(ASK, CECORE_NUM_THREADS="auto")) == usable
    assert int(run(ASK, CECORE_NUM_THREADS="")) == usable
    assert int(run(ASK, OMP_NUM_THREADS="1")) == 1
    assert int(run(ASK, OMP_NUM_THREADS="1,4")) == 1
    for ignored in ("0", "many", "999"):
        assert int(run(ASK, OMP_NUM_THREADS=ignored)) == usable
    assert int(run(ASK, OMP_NUM_THREADS="1", CECORE_NUM_THREADS="3")) == 3
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run(ASK, CECORE_NUM_THREADS="9" * 5000)
    assert 'expected "auto" or an integer from 1 to 256' in caught.value.stderr
    for wrong in ("0", "-2", "many", "1.5", "257"):
        with pytest.raises(subprocess.CalledProcessError) as caught:
            run(ASK, CECORE_NUM_THREADS=wrong)
        assert f"CECORE_NUM_THREADS = {wrong}" in caught.value.stderr.replace("'", "")
        assert "ImportError" in caught.value.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity")
def test_affinity():
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + ASK
    assert int(run(script)) == 1


V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "31 25 0:27 {} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"


def test_quota_of_control_groups(tmp_path):
    def quota(number, cgroup, mounts, files):
        root = tmp_path / str(number)
        for name, text in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mounts, **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return _threads.cpu_quota(root)

    base = "sys/fs/cgroup"
    assert quota(0, "", "", {}) is None
    assert quota(1, "0::/\n", V2, {f"{base}/cpu.max": "max 100000\n"}) is None
    assert quota(2, "0::/\n", V2, {f"{base}/cpu.max": "150000 100000\n"}) == 1.5
    # the group itself has no limit, the one above it has; another below is not ours
    files = {f"{base}/a/b/cpu.max": "max 100000", f"{base}/a/cpu.max": "250000 100000", f"{base}/x/cpu.max": "1 100000"}
    assert quota(3, "0::/a/b\n", V2, files) == 2.5
    assert quota(4, "0::/a/b\n", V2, {**files, f"{base}/a/b/cpu.max": "50000 100000"}) == 0.5
    # version 1, in a container that sees its own group as the root
    v1 = f"{base}/cpu,cpuacct"
    files = {f"{v1}/cpu.cfs_quota_us": "300000\n", f"{v1}/cpu.cfs_period_us": "100000\n"}
    assert quota(5, "4:cpu,cpuacct:/docker/1\n3:memory:/docker/1\n", V1.format("/docker/1"), files) == 3
    assert quota(6, "4:cpu,cpuacct:/\n", V1.format("/"), {**files, f"{v1}/cpu.cfs_quota_us": "-1\n"}) is None
    assert quota(7, "4:cpu,cpuacct:/docker/1\n", V1.format("/other"), files) == 3
    # both, and what is broken
    assert quota(8, "4:cpu,cpuacct:/\n0::/\n", V1.format("/") + V2, {**files, f"{base}/cpu.max": "200000 100000"}) == 2
    assert quota(9, "0::/\nnonsense\n", "nonsense\n" + V2, {f"{base}/cpu.max": "nonsense"}) is None
    assert quota(10, "0::/\n", V2, {f"{base}/cpu.max": "100000 0"}) is None


def test_a_part_of_a_cpu_counts_as_a_whole_one(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for quota, limit in ((0.1, 1), (1.0, 1), (1.5, 2), (2.0, 2), (2.01, 3), (None, _threads.MOST)):
        monkeypatch.setattr(_threads, "cpu_quota", lambda quota=quota: quota)
        assert _threads._limit.__wrapped__() == limit
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    for quota, limit in ((1.0, 1), (7.5, 2), (None, 2)):
        monkeypatch.setattr(_threads, "cpu_quota", lambda quota=quota: quota)
        assert _threads._limit.__wrapped__() == limit


def test_no_more_threads_than_the_kernels_have_room_for(monkeypatch):
    for name in ("process_cpu_count", "cpu_count"):
        monkeypatch.setattr(_threads.os, name, lambda: 1000, raising=False)
    monkeypatch.setattr(_threads, "_limit", lambda: 999)
    assert _threads.usable() == _threads.MOST
    monkeypatch.setattr(_threads, "_limit", lambda: 5)
    assert _threads.usable() == 5


# ---------------------------------------------------------------- the process


def test_the_interpreter_exits_at_once():
    script = """
    import numpy as np, cecore, threading, time
    cecore.set_num_threads(8)
    p = np.random.default_rng(0).random(1 << 20)
    cecore.binary_cross_entropy(p, p > 0.5)
    assert threading.active_count() == 1
    print(time.time())
    """
    before = float(run(script))
    assert time.time() - before < 5  # seconds, on a busy machine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_children_compute():
    script = """
    import os, threading, warnings, numpy as np, cecore
    from cecore import _dispatch
    warnings.simplefilter("ignore")
    _dispatch.kernels.set_threading(1, 1)
    cecore.set_num_threads(4)
    p = np.random.default_rng(0).random(100_000)
    want = cecore.binary_cross_entropy(p, p > 0.5)
    def compute():
        cecore.set_num_threads(4)
        while True:
            cecore.binary_cross_entropy(p, p > 0.5)
    for busy in (False, True):
        if busy:
            threading.Thread(target=compute, daemon=True).start()
        for _ in range(30):
            child = os.fork()
            if child == 0:
                right = all(cecore.binary_cross_entropy(p, p > 0.5) == want for _ in range(3))
                os._exit(0 if right else 1)
            assert cecore.binary_cross_entropy(p, p > 0.5) == want
            assert os.waitpid(child, 0)[1] == 0
    print("fine")
    """
    assert run(script) == "fine\n"


@pytest.mark.skipif(sys.version_info < (3, 12) or not hasattr(os, "fork"), reason="older Pythons do not warn")
def test_forks_are_not_warned_of():
    script = """
    import os, warnings, numpy as np, cecore
    warnings.simplefilter("error")
    cecore.set_num_threads(4)
    p = np.random.default_rng(0).random(1 << 20)
    for _ in range(5):
        cecore.binary_cross_entropy(p, p > 0.5)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    print("fine")
    """
    assert run(script, OPENBLAS_NUM_THREADS="1") == "fine\n"


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="writes glibc's x86-64 fenv_t",
)
def test_workers_have_their_own_control_word():
    """A thread inherits the control word of the thread that starts it."""
    script = """
    import ctypes, numpy as np, cecore
    from cecore import _dispatch
    _dispatch.kernels.set_threading(1, 1 << 12)
    p = np.random.default_rng(0).random(1 << 21)  # enough for all threads to compute, on a busy machine
    def compute(threads):
        with cecore.num_threads(threads):
            return cecore.BinaryCrossEntropy(reduction="none").backward(p, p > 0.5, sample_weight=p).tobytes()
    want = compute(1)
    libm, environment = ctypes.CDLL("libm.so.6"), (ctypes.c_uint32 * 8)()
    libm.fegetenv(environment)
    usual = environment[7]
    environment[7] = usual | 0xE040  # round towards zero; flush subnormal numbers to zero
    libm.fesetenv(environment)
    right = all(compute(4) == want for _ in range(20))
    environment[7] = usual
    libm.fesetenv(environment)
    print(right)
    """
    assert run(script) == "True\n"


def test_small_stacks():
    script = """
    import threading, numpy as np, cecore
    from cecore import _dispatch
    _dispatch.kernels.set_threading(1, 1)
    rng = np.random.default_rng(0)
    z, t, w = rng.normal(size=(600, 48)), rng.integers(0, 3, 600), rng.random(600)
    wide, soft, few = rng.normal(size=(20, 300)), rng.dirichlet(np.ones(300), 20), rng.dirichlet(np.ones(48), 600)
    z[::7, 0] = 1e5  # beyond the range of the quick way
    def compute():
        cecore.set_num_threads(4)
        for axis, swap in ((-1, lambda a: a), (0, np.transpose)):
            for options in ({}, {"label_smoothing": 0.1, "focal_gamma": 2}):
                loss = cecore.CrossEntropyWithLogits(axis=axis, **options)
                loss.gradient_hessian(swap(z), t, sample_weight=w)
                loss.gradient_hessian(swap(z), swap(few))
                loss.gradient_hessian(swap(z[:, :24]), swap(few[:, :24]))
                loss.gradient_hessian(swap(wide), swap(soft))
            loss = cecore.CrossEntropy(axis=axis)
            loss.gradient_hessian(swap(soft), swap(soft))
            loss.gradient_hessian(swap(few), t)
            for x in z, z[:, :32]:
                cecore.softmax_backward(x, cecore.softmax(x, axis=axis), axis=axis)
        loss = cecore.BinaryCrossEntropyWithLogits(focal_gamma=2, pos_weight=2)
        loss.gradient_hessian(z, few)
        print("fine")
    threading.stack_size(SIZE * 1024)
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    """
    for size in (112, 128):
        assert run(script.replace("SIZE", str(size))) == "fine\n"
