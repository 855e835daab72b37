"""What surrounds a call: the floating-point modes of its thread, signals, and small stacks."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import signal
import subprocess
import sys
import threading
from itertools import product

import numpy as np
import pytest
from registry import LOSSES
from ulp import bits

import cecore
from cecore import _dispatch

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)

# ---------------------------------------------------------------- floating-point modes

needs_fenv = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="reads glibc's x86-64 fenv_t",
)
# Bits of MXCSR, and the whole x87 control word
MODES = {
    "flush to zero": (0x8040, 0x37F),
    "down": (0x2000, 0x77F),
    "up": (0x4000, 0xB7F),
    "towards zero": (0x6000, 0xF7F),
    "towards zero, flush to zero": (0xE040, 0xF7F),
    "x87 in double precision": (0, 0x27F),
    "x87 in single precision, up": (0, 0x87F),
}


class ControlWords:
    """MXCSR and the x87 control word, through glibc's fenv_t: MXCSR lies behind the 28 bytes of the x87 state."""

    def __init__(self):
        self.libm = ctypes.CDLL("libm.so.6")
        self.environment = (ctypes.c_uint32 * 8)()

    def read(self):
        self.libm.fegetenv(self.environment)
        return self.environment[7], self.environment[0] & 0xFFFF

    def write(self, mxcsr, x87):
        self.libm.fegetenv(self.environment)
        self.environment[7] = mxcsr
        self.environment[0] = x87
        self.libm.fesetenv(self.environment)


def in_each_mode(call):
    """Yield the bits of a call's results in each mode, and check that the call leaves the mode as it was."""
    words = ControlWords()
    mxcsr, x87 = words.read()
    for name, (more, x87_mode) in MODES.items():
        words.write(mxcsr | more, x87_mode)
        try:
            got = call()
            after = words.read()
        finally:
            words.write(mxcsr, x87)
        assert (after[0] & ~0x3F, after[1]) == ((mxcsr | more) & ~0x3F, x87_mode), name  # but for flags
        yield name, bits(*got)


@needs_fenv
@each_loss
def test_modes_of_others_do_not_matter(loss):
    p = np.array([5e-324, 1e-310, 0.3, 1 - 1e-16]) * (-745 if loss.logits else 1)
    t = np.array([1, 0, 1, 0])
    if not loss.binary:
        p, t = np.stack([p, 1 - p], -1), 1 - t
    bad = t + 2
    w = np.array([1e-310, 2e-310, 3.0, 1.0]) / 3
    for options, reduction in product(loss.combinations(), ("none", "mean", "sum")):
        made = loss.kind(**options, reduction=reduction)

        def call(made=made):
            with contextlib.suppress(ValueError):
                made.forward(p, bad)
            return made.forward_backward(p, t, sample_weight=w)

        want = bits(*call())
        for name, got in in_each_mode(call):
            assert got == want, name


@needs_fenv
@each_loss
@pytest.mark.parametrize("scale", [1.0, 5e-324, 1e-310])
def test_an_accumulator_is_rounded_to_nearest(loss, scale):
    rng = np.random.default_rng(1)
    batches = [(loss.predictions(rng, 7), loss.hard(rng, 7), rng.integers(1, 9, 7) * scale) for _ in range(5)]

    def call():
        total = loss.kind().accumulator()
        for batch in batches:
            total.update(*batch)
            yield total.value
            yield total.weight

    want = bits(*call())
    for name, got in in_each_mode(lambda: list(call())):
        assert got == want, name


@needs_fenv
@each_loss
def test_long_double_is_rounded_to_nearest(loss):
    rng = np.random.default_rng(2)
    x, t = loss.predictions(rng, 40).astype(np.longdouble), loss.soft(rng, 40).astype(np.longdouble)
    w = rng.random(40).astype(np.longdouble) / 3
    x = x / 3 if loss.logits else x * (1 - np.longdouble(1e-9) / 3)  # numbers that are between those of double
    made = loss.kind()
    want = bits(*made.forward_backward(x, t, sample_weight=w))
    for name, got in in_each_mode(lambda: made.forward_backward(x, t, sample_weight=w)):
        assert got == want, name


@needs_fenv
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_options_that_are_subnormal_keep_their_size(dtype):
    p, labels = np.array([[0.0, 1.0], [0.25, 0.75]], dtype), [0, 1]

    def call():
        yield cecore.CrossEntropy(eps=1e-310).forward(p, labels)
        yield cecore.BinaryCrossEntropy(eps=1e-310).forward(p[:, 0], labels)
        yield cecore.BinaryCrossEntropy(pos_weight=1e-310).gradient_hessian(p[1], [1, 1])[0]
        yield cecore.CrossEntropyWithLogits(class_weight=[1e-310, 3e-310], reduction="sum").backward(p, labels)
        yield cecore.CrossEntropy(class_weight=[1e-310, 3e-310]).forward(p + dtype(0.125) * (0.5 - p), labels)

    def results():
        return [np.asarray(result) for result in call()]

    want = bits(*results())
    for name, got in in_each_mode(results):
        assert got == want, name


# ---------------------------------------------------------------- signals

SIGNALS = """
import signal
import time

import numpy as np
from registry import LOSSES

import cecore


class Interrupt(BaseException):
    pass


def interrupt(*_):
    raise Interrupt


def calls(loss, classes, n=1 << 50):
    shape = (n,) if loss.binary else (n // 1024, classes)
    rows = shape if loss.binary else shape[:1]
    x = np.broadcast_to(np.float32(0.25 if loss.binary else 1 / classes), shape)
    labels, soft, w = np.broadcast_to(np.int8(1), rows), np.broadcast_to(np.float64(x.flat[0]), shape), 0.5
    yield lambda: loss.kind()(x, labels)
    yield lambda: loss.kind()(x, soft, sample_weight=w)
    yield lambda: loss.kind(label_smoothing=0.1)(x, labels)
    total = loss.kind().accumulator()
    yield lambda: total.update(x, labels, w)
    assert total.count == 0


signal.signal(signal.SIGALRM, interrupt)
for threads in (1, 2):
    cecore.set_num_threads(threads)
    for loss in LOSSES:
        for classes in (1,) if loss.binary else (2, 40, 70, 1000):
            for number, call in enumerate(calls(loss, classes)):
                start = time.perf_counter()
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.02)
                    call()
                except Interrupt:
                    took = time.perf_counter() - start - 0.02
                    print(f"{took:.3f} s: {loss.name}, call {number}, {classes} classes, {threads} threads")
"""


def run(program, level, *arguments):
    """Run a program in a new process, at an instruction-set level, and return what it prints."""
    environment = {**os.environ, "CECORE_SIMD": level, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_an_exception_of_a_signal_handler_ends_a_call(level):
    """Each of these calls would take days. The promise is 0.2 s; a busy machine may take longer."""
    printed = run(SIGNALS, level)
    times = sorted(float(line.split()[0]) for line in printed.splitlines())
    print(f"{len(times)} calls ended, half of them within {times[len(times) // 2]} s, all within {times[-1]} s")
    assert len(times) == 2 * 4 * (2 * 1 + 2 * 4)
    assert times[len(times) // 2] < 1, printed
    assert times[-1] < 10, printed


LONG_ROWS = """
import signal

import numpy as np

import cecore


class Interrupt(BaseException):
    pass


def interrupt(*_):
    raise Interrupt


signal.signal(signal.SIGALRM, interrupt)
shape = 1, 1 << 40
x, label = np.broadcast_to(np.float32(2.0**-40), shape), np.array([5])
for threads in (1, 2):
    cecore.set_num_threads(threads)
    for targets in (label, np.broadcast_to(2.0**-40, shape), np.broadcast_to(np.int8(0), shape)):
        for loss in (
            cecore.CrossEntropy(label_smoothing=0.1),
            cecore.CrossEntropyWithLogits(),
            cecore.CrossEntropyWithLogits(focal_gamma=2),
            cecore.CrossEntropy(),
        ):
            if isinstance(loss, cecore.CrossEntropy) and loss.label_smoothing == 0 and targets is label:
                continue  # reads one number
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                loss.forward(x, targets)
            except Interrupt:
                print("ended")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_long_row_is_ended_too(level):
    """A row of 10^12 classes, of which no pass comes to an end."""
    assert run(LONG_ROWS, level).split() == ["ended"] * 2 * 11


class Interrupt(BaseException):
    """Not an Exception, like KeyboardInterrupt."""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize("threads", [1, 3])
@each_loss
def test_signals_at_random_points(loss, threads):
    """A call that is interrupted adds all of its losses to an accumulator, or none. The next call is right."""
    rng = np.random.default_rng(0)
    n, classes = (1_500_000, 1) if loss.binary else (30_000, 50)
    x, t, w = loss.predictions(rng, n, classes=classes), loss.hard(rng, n, classes), rng.random(n)
    made, total = loss.kind(), loss.kind().accumulator()
    total.update(x[:1000], t[:1000], w[:1000])
    former = _dispatch.kernels.set_threading(1, 1 << 12)
    handler = signal.signal(signal.SIGALRM, interrupt)
    outcomes = []
    try:
        with cecore.num_threads(threads):
            want, gradient = made.forward_backward(x, t, sample_weight=w)
            for _ in range(8):
                before = total._sums
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 0.1))
                    for _ in range(20):
                        before = total._sums
                        total.update(x, t, w)
                        got = made.forward_backward(x, t, sample_weight=w)
                        assert bits(*got) == bits(want, gradient)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    outcomes.append(False)
                except Interrupt:
                    outcomes.append(True)
                    assert total._sums == before or total.count == before[3] + n
                    total._sums = before
        assert any(outcomes)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        _dispatch.kernels.set_threading(*former)
    assert bits(*made.forward_backward(x, t, sample_weight=w)) == bits(want, gradient)


def interrupt(*_):
    raise Interrupt


FORKS = """
import os
import signal
import time

import numpy as np

import cecore

x, labels = np.broadcast_to(np.linspace(0, 1, 1000, dtype=np.float32), (300_000, 1000)), np.zeros(300_000, int)
loss = cecore.CrossEntropyWithLogits()
want = loss(x, labels)
child = None


def fork(*_):
    global child
    if child is None:
        child = os.fork()
        if child == 0:
            signal.alarm(60)  # ends a child that waits for ever
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


signal.signal(signal.SIGALRM, fork)
cecore.set_num_threads(THREADS)
signal.setitimer(signal.ITIMER_REAL, 0.02)
try:
    while child is None:
        got = loss(x, labels)
except RuntimeError as error:
    assert child == 0 and "Make the call again" in str(error), error
    got = loss(x, labels)
if child == 0:
    os._exit(0 if got == want else 1)
assert got == want
assert os.waitpid(child, 0)[1] == 0
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_handler_may_fork(threads, level):
    """The parent's call goes on; the child's, whose helpers are not there, ends with an error."""
    assert run(FORKS.replace("THREADS", str(threads)), level) == "fine\n"


NESTED = """
import signal

import numpy as np

import cecore

x, soft = np.broadcast_to(np.float32(0), (1, 1 << 40)), np.broadcast_to(2.0**-40, (1, 1 << 40))
depth = 0


def call(*_):
    global depth
    depth += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        cecore.CrossEntropyWithLogits()(x, soft)
    except RuntimeError:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise


signal.signal(signal.SIGALRM, call)
try:
    call()
except RuntimeError as error:
    print(depth > 1, "stack" in str(error))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the stack is measured on Linux and macOS")
def test_handlers_that_call_again_end_with_an_error(level):
    import resource

    limit = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, limit[1]))  # so that few calls fill it
    try:
        assert run(NESTED, level) == "True True\n"
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, limit)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_others_update(level):
    """No child inherits the lock of the accumulators from a thread that it does not have."""
    total = cecore.BinaryCrossEntropy().accumulator()
    total.update([0.5], [1])
    ended = threading.Event()

    def update():
        other = total + total
        while not ended.is_set():
            total.merge(other)

    threads = [threading.Thread(target=update) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends a child that waits for ever
                total.merge(total)
                total.update([0.5], [1])
                os._exit(0 if abs(total.value - math.log(2)) < 1e-15 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert total.value == pytest.approx(math.log(2), rel=1e-15)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_signal_handler_may_update_the_accumulator_that_it_interrupts(level):
    total = cecore.BinaryCrossEntropy(reduction="sum").accumulator()
    added = [0]

    def handler(*_):
        total.update([0.5], [1])
        added[0] += 1

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
    try:
        for _ in range(3000):
            total.update([0.5], [1])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert added[0] > 0
    assert total.count == 3000 + added[0]


# ---------------------------------------------------------------- small stacks

STACKS = """
import sys
import threading

import numpy as np
from registry import LOSSES

import cecore

done, refused = [], []


def call(kind, x, t, w):
    try:
        kind().forward_backward(x, t, sample_weight=w)
        kind(label_smoothing=0.1).gradient_hessian(x, t)
        cecore.softmax(x) if x.ndim == 2 else cecore.sigmoid(x)
        done.append(kind)
    except RuntimeError as error:
        refused.append(str(error))


rng = np.random.default_rng(0)
threading.stack_size(int(sys.argv[1]) * 1024)
for loss in LOSSES:
    for classes in (1,) if loss.binary else (2, 24, 48, 70, 3000):
        for dtype in np.float64, np.float16:
            x = loss.predictions(rng, 70, classes=classes).astype(dtype)
            x[::7] *= 300 if loss.logits else 1
            for t in loss.hard(rng, 70, classes), loss.soft(rng, 70, classes=classes):
                thread = threading.Thread(target=call, args=(loss.kind, np.asfortranarray(x), t, rng.random(70)))
                thread.start()
                thread.join()
assert all("KiB of stack left, but cecore needs 92 KiB: call threading.stack_size" in text for text in refused)
print(len(done), len(refused))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the stack is measured on Linux and macOS")
@pytest.mark.parametrize("kib", [64, 96, 112, 128, 160, 1024])
def test_a_thread_with_a_small_stack(kib, level):
    done, refused = map(int, run(STACKS, level, kib).split())
    assert done + refused == 4 * (2 * 1 + 2 * 5)
    assert kib > 64 or done == 0
    assert kib < 1024 or refused == 0
