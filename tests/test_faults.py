"""Faults: memory and threads that the system refuses, foreign pickles, and objects that misbehave when they are read.

Each fault must end in an error or in the right result, and the next call must work.
"""

from __future__ import annotations

import collections
import copyreg
import ctypes
import gc
import io
import math
import os
import pickle
import platform
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import warnings
from typing import ClassVar

import numpy as np
import pytest
from layouts import strided, swapped
from registry import LOSSES
from ulp import bits

import cecore
from cecore import _dispatch

each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)

# ---------------------------------------------------------------- memory and threads that the system refuses

# This library comes before the C library. It refuses the nth allocation below a function of the kernels, whether the
# kernels make it themselves or Python or NumPy make it for them. It can also refuse all threads.
REFUSALS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void __libc_free(void *);
static char *low, *high; /* the code of the kernels */
static long nth, seen, held;
static int counts, threads_refused;
static __thread int inside __attribute__((tls_model("initial-exec")));

static int refused(void)
{
    void *frames[40];
    int i, found = 0;
    if (!counts || inside)
        return 0;
    inside = 1;
    for (i = backtrace(frames, 40) - 1; i >= 0; i--)
        found |= low <= (char *)frames[i] && (char *)frames[i] < high;
    inside = 0;
    return found && __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == nth;
}

static void *hold(void *memory)
{
    if (memory)
        __atomic_add_fetch(&held, 1, __ATOMIC_SEQ_CST);
    return memory;
}

void *malloc(size_t size) { return refused() ? NULL : hold(__libc_malloc(size)); }
void *calloc(size_t n, size_t size) { return refused() ? NULL : hold(__libc_calloc(n, size)); }
void *realloc(void *old, size_t size)
{
    if (refused())
        return NULL;
    return old ? __libc_realloc(old, size) : hold(__libc_realloc(old, size));
}
void free(void *memory)
{
    if (memory)
        __atomic_sub_fetch(&held, 1, __ATOMIC_SEQ_CST);
    __libc_free(memory);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *given)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return threads_refused ? EAGAIN : create(thread, attributes, start, given);
}

void refuse(char *from, char *to, long n) { low = from; high = to; nth = n; seen = 0; counts = 1; }
long allow(void) { counts = 0; return seen; }
long in_use(void) { return held; }
void refuse_threads(int yes) { threads_refused = yes; }

__attribute__((constructor)) static void load_the_unwinder(void)
{
    void *frame;
    inside = 1;
    backtrace(&frame, 1);
    inside = 0;
}
"""


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """The compiled library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if platform.libc_ver()[0] != "glibc" or compiler is None:
        pytest.skip("needs the GNU C library and a C compiler")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python has its own malloc")
    if "-fsanitize" in _dispatch.kernels.flags:
        pytest.skip("the sanitizers have their own malloc")
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "refusals.c").write_text(REFUSALS)
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", "refusals.so", "refusals.c", "-ldl", "-pthread"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "refusals.so"


def run_with(library, function, *arguments):
    """Run a function of this file in a process with the library. Return what it prints, by words."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "PYTHONPATH": paths}
    command = [sys.executable, __file__, function, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.split()


LEAKS = 12  # calls that must leave fewer allocations than this


class System:
    """The library, in a process that has it."""

    def __init__(self):
        self.library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        name = re.escape(_dispatch.kernels.__file__)
        with open("/proc/self/maps") as maps:
            code = re.findall(rf"(?m)^(\w+)-(\w+) r-xp .* {name}$", maps.read())
        self.code = [ctypes.c_void_p(int(place, 16)) for place in (code[0][0], code[-1][1])]

    def call(self, nth, function, *arguments, **keywords):
        """Call the function, and refuse its nth allocation. Return the result or the error, and the allocations."""
        self.library.refuse(*self.code, ctypes.c_long(nth))
        try:
            result = function(*arguments, **keywords)
        except (MemoryError, ValueError) as error:
            result = error.with_traceback(None)
        finally:
            count = self.library.allow()
        return result, count

    def in_use(self):
        """Return how many allocations the process has not freed."""
        gc.collect()
        return self.library.in_use()


def cases():
    """Return (function, arguments, keywords) for calls that allocate in each way that the kernels know."""
    rng = np.random.default_rng(0)
    p, y = rng.random(3000), rng.integers(0, 2, 3000)
    z, labels, w = rng.normal(0, 3, (300, 40)), rng.integers(0, 40, 300), rng.random(300)
    soft = rng.dirichlet(np.ones(40), 300)
    total = cecore.CrossEntropyWithLogits().accumulator()

    def update(*arguments):
        total._sums = (0, 0.0, 0, 0)
        total.update(*arguments)
        return repr(total)

    logits, none = cecore.CrossEntropyWithLogits(), cecore.CrossEntropyWithLogits(reduction="none")
    out = {"gradient_out": strided(z), "hessian_out": strided(z)}
    return {
        "binary": (cecore.BinaryCrossEntropy().forward_backward, (p, y), {}),
        "float32": (cecore.BinaryCrossEntropyWithLogits().gradient_hessian, (p.astype(np.float32)[::-1], y), {}),
        "rows": (logits.forward_backward, (z, labels), {"sample_weight": w}),
        "losses": (none.forward_backward, (z, soft), {"sample_weight": w}),
        "swapped and strided": (logits.gradient_hessian, (swapped(z), strided(soft)), out),
        "swapped": (logits.forward, (swapped(z), labels), {}),
        "classes first": (cecore.CrossEntropyWithLogits(axis=0).forward_backward, (z.T, labels), {}),
        "in place": (logits.backward, (z, labels), {"out": z}),
        "in place, strided": (logits.backward, (strided(z), labels), {"out": None}),
        "probabilities": (cecore.CrossEntropy().forward_backward, (soft, labels), {}),
        "accumulator": (update, (z, labels, w), {}),
        "softmax": (cecore.softmax, (swapped(z),), {"axis": -1}),
        "softmax_backward": (cecore.softmax_backward, (strided(z), swapped(soft)), {}),
        "lists": (cecore.cross_entropy, (soft[:20].tolist(), labels[:20].tolist()), {}),
        "invalid": (cecore.cross_entropy_with_logits, (z, labels + 1), {}),
        "suspicious": (cecore.cross_entropy, (z * z / 1000, labels), {}),
    }


def frozen(value):
    """Return something that compares bit for bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, tuple | list):
        return [frozen(part) for part in value]
    return repr(value)


def refuse_each_allocation(name, threads):
    """Refuse the first allocation of a call, then the second, and so on. Print how the calls ended."""
    warnings.simplefilter("ignore")
    system, ends = System(), collections.Counter()
    gc.freeze()  # so that a collection is quick
    _dispatch.kernels.set_threading(1, 1)
    cecore.set_num_threads(int(threads))
    function, given, keywords = cases()[name]
    in_place = name.startswith("in place")

    def attempt(nth):
        arguments = [np.copy(a, subok=False) if in_place and i == 0 else a for i, a in enumerate(given)]
        arguments[0] = strided(given[0]) if name == "in place, strided" else arguments[0]
        options = {**keywords, "out": arguments[0]} if in_place else keywords
        before = frozen(arguments)
        result, count = system.call(nth, function, *arguments, **options)
        changed = frozen(arguments) != before
        assert not changed or (in_place and not isinstance(result, Exception)), f"refusal {nth} changed an input"
        return result, count

    want, _ = attempt(0)
    for _ in range(3):
        assert frozen(attempt(0)[0]) == frozen(want)
    nth = 0
    while True:
        nth += 1
        result, count = attempt(nth)
        if count < nth:  # there was no such allocation
            break
        if isinstance(result, MemoryError):
            ends["errors"] += 1
        else:
            assert frozen(result) == frozen(want), f"refusal {nth} changed the result"
            ends["results"] += 1
        assert frozen(attempt(0)[0]) == frozen(want), f"the call after refusal {nth} returned another result"
        for _ in range(20):  # at first, the caches of Python and NumPy grow too
            before = system.in_use()
            for _ in range(LEAKS):
                attempt(nth)
            if system.in_use() - before < LEAKS:
                break
        else:
            raise AssertionError(f"refusal {nth} leaks memory")
    print(ends["errors"], ends["results"])


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("name", cases())
def test_memory_is_refused(refusals, name, threads):
    errors, results = map(int, run_with(refusals, "refuse_each_allocation", name, str(threads)))
    assert errors > 0
    if threads > 1 and name != "lists":  # by fewer threads
        assert results > 0


def refuse_all_threads():
    system = System()
    _dispatch.kernels.set_threading(1, 1)
    for name, (function, arguments, keywords) in cases().items():
        if name in ("in place", "in place, strided", "invalid"):
            continue
        cecore.set_num_threads(1)
        want = frozen(function(*arguments, **keywords))
        cecore.set_num_threads(8)
        for refused in (True, False):
            system.library.refuse_threads(refused)
            for _ in range(3):
                assert frozen(function(*arguments, **keywords)) == want, (name, refused)
            _dispatch.kernels.retire()
    print(len(os.listdir("/proc/self/task")))


def test_threads_are_refused(refusals):
    warnings.simplefilter("ignore")
    (threads,) = run_with(refusals, "refuse_all_threads")
    assert int(threads) >= 1


# ---------------------------------------------------------------- pickles

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def summed(loss):
    """Return an accumulator of the loss that has seen some batches, an infinite loss among them."""
    rng = np.random.default_rng(0)
    total = loss.kind(label_smoothing=0.1).accumulator()
    for n in (1, 300):
        total.update(loss.predictions(rng, n), loss.hard(rng, n), 1e100 * rng.random(n))
    return total


@each_loss
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_of_any_protocol_comes_back(loss, protocol):
    for options in loss.combinations():
        made = loss.kind(**options)
        again = pickle.loads(pickle.dumps(made, protocol))
        assert (type(again), again, again._packed) == (type(made), made, made._packed)
    total = summed(loss)
    again = pickle.loads(pickle.dumps(total, protocol))
    assert (again._loss, again._sums) == (total._loss, total._sums)
    again.merge(total)
    assert again.count == 2 * total.count


GARBLED_SUMS = [
    None,
    5,
    "abcd",
    b"abcd",
    (),
    (0, 0.0, 0),
    (0, 0.0, 0, 0, 0),
    (0, 0, 0, 0),
    (0.0, 0.0, 0, 0),
    (True, 0.0, 0, 0),
    (0, 0.0, 0, np.int64(0)),
    [0, 0.0, 0, 0],  # could be changed by others
    {1: 0, 2.0: 0, 3: 0, 4: 0},
    (-1, 0.0, 1, 1),  # a sum of losses is not negative
    (1, 0.0, -1, 1),
    (1, 0.0, 1, -1),
    (1, 2.0, 1, 1),  # neither 0, infinity nor NaN
    (1, -math.inf, 1, 1),
]


@each_loss
@pytest.mark.parametrize("sums", GARBLED_SUMS, ids=repr)
def test_garbled_sums_are_refused(loss, sums):
    restore, (made, _) = summed(loss).__reduce__()
    with pytest.raises((ValueError, TypeError)):
        restore(made, sums)


@each_loss
def test_an_accumulator_of_something_else_is_refused(loss):
    restore, (_, sums) = summed(loss).__reduce__()
    for other in (None, 1, "loss", loss.kind, loss.function, summed(loss), object()):
        with pytest.raises(TypeError, match="is not a loss"):
            restore(other, sums)
    with pytest.raises(ValueError, match="has no sum to accumulate"):
        restore(loss.kind(reduction="none"), sums)


@each_loss
def test_garbled_options_are_refused(loss):
    make, (kind, options) = loss.kind().__reduce__()
    for wrong in (
        {**options, "reduction": "median"},
        {**options, "reduction": b"mean"},
        {**options, "label_smoothing": "0"},
        {**options, "label_smoothing": math.nan},
        {**options, "temperature": 2.0},  # an option of a version to come
        {1: 2},
        None,
        5,
        [("reduction", "mean")],
    ):
        with pytest.raises((ValueError, TypeError)):
            make(kind, wrong)
    assert make(kind, {}) == kind()  # a former version with fewer options
    for other in (None, 5, dict, cecore.Loss, cecore.Accumulator, kind(), cecore.binary_cross_entropy):
        with pytest.raises(TypeError):
            make(other, options)


BYTEARRAY8 = pickle.BYTEARRAY8[0]


class Inside(pickle._Unpickler):
    """Finds what is in cecore, and nothing else. Written in Python, and without the type for which a garbled length
    claims memory.
    """

    dispatch: ClassVar = {code: load for code, load in pickle._Unpickler.dispatch.items() if code != BYTEARRAY8}

    def find_class(self, module, name):
        if module.partition(".")[0] != "cecore":
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


@each_loss
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_damaged_pickles(loss, protocol):
    """One byte of a pickle is changed, or the end is lost. What can still be read must be valid."""
    total = summed(loss)
    data = pickle.dumps(total, protocol)
    rng = random.Random(protocol)
    read = 0
    for i in range(1500):
        damaged = bytearray(data)
        if i % 10 == 0:
            del damaged[rng.randrange(len(data)) :]
        else:
            damaged[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = Inside(io.BytesIO(damaged)).load()
        except Exception:  # by pickle, of any kind
            continue
        if isinstance(found, cecore.Accumulator):
            read += 1
            assert type(found._sums) is tuple
            assert [type(part) for part in found._sums] == [int, float, int, int]
            assert min(found._sums[0], found._sums[2], found._sums[3]) >= 0
            assert found.value >= 0 or math.isnan(found.value)
            assert found._loss == found._loss.replace()
            found.merge(found)
    assert read > 0


def test_a_loss_that_was_never_set_up():
    """Pickles of other programs can make objects without a call of ``__init__``."""

    class Empty(cecore.BinaryCrossEntropy):
        def __init__(self):
            pass

    for made in (Empty(), copyreg.__newobj__(cecore.CrossEntropy)):
        for call in (made.forward, made.backward, made.forward_backward, made.gradient_hessian):
            with pytest.raises(AttributeError):
                call([0.5], [1])
        with pytest.raises(AttributeError):
            repr(made)
        with pytest.raises((AttributeError, TypeError)):
            made.accumulator()
    total = copyreg.__newobj__(cecore.Accumulator)
    for use in (repr, lambda total: total.value, lambda total: total + total, lambda total: total.update([0.5], [1])):
        with pytest.raises(AttributeError):
            use(total)


# ---------------------------------------------------------------- objects that misbehave when they are read


class Raising:
    """Raises an error in each way to read it."""

    def __init__(self, error):
        self.error = error

    def fail(self, *arguments, **keywords):
        raise self.error

    __array__ = __float__ = __index__ = __len__ = __getitem__ = __iter__ = fail
    __array_interface__ = __array_struct__ = property(fail)


class Returning:
    """Has an attribute, or a method, that returns what it was given."""

    def __new__(cls, name, value, method=False):
        return object.__new__(type("Odd", (), {name: (lambda *_, **__: value) if method else value}))


class Itself:
    def __array__(self, dtype=None, copy=None):
        return self


class Changing:
    """Is another array each time it is read."""

    def __init__(self, *arrays):
        self.arrays = collections.deque(arrays)

    def __array__(self, dtype=None, copy=None):
        self.arrays.rotate()
        return self.arrays[0]


class Calling:
    """Computes losses, in place and with threads, while it is read."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        p = np.full(1000, 0.5)
        with cecore.num_threads(3):
            cecore.BinaryCrossEntropy().backward(p, np.ones(1000), out=p)
            cecore.softmax([[1.0, 2.0]])
        with pytest.raises(ValueError, match="is outside"):
            cecore.binary_cross_entropy([2.0], [1])
        return self.array


class Liar(np.ndarray):
    """An array that does not tell what it is."""

    shape = property(lambda self: (1 << 40,))
    dtype = property(lambda self: np.dtype("O"))
    ndim = property(lambda self: -1)
    size = property(lambda self: 1 << 60)
    strides = property(lambda self: (1 << 50,))
    flags = property(lambda self: None)
    flat = property(lambda self: iter([]))

    def __getitem__(self, key):
        raise ZeroDivisionError

    def __array__(self, dtype=None, copy=None):
        raise ZeroDivisionError

    __len__ = __iter__ = __float__ = astype = copy = view = reshape = __array__


def empty_interface(**changes):
    return {"version": 3, "shape": (0,), "typestr": "<f8", "data": (0, False), **changes}


def endless():
    numbers = []
    numbers.append(numbers)
    return numbers


def released():
    view = memoryview(bytearray(16)).cast("d")
    view.release()
    return view


HOSTILE = {
    "ValueError": lambda: Raising(ValueError("no")),
    "KeyError": lambda: Raising(KeyError("no")),
    "ZeroDivisionError": lambda: Raising(ZeroDivisionError()),
    "StopIteration": lambda: Raising(StopIteration()),
    "MemoryError": lambda: Raising(MemoryError()),
    "GeneratorExit": lambda: Raising(GeneratorExit()),
    "an error without a text": lambda: Raising(type("Odd", (TypeError,), {"__str__": lambda self: None})()),
    "None": lambda: Returning("__array__", None, True),
    "a list": lambda: Returning("__array__", [0.5, 0.5], True),
    "text": lambda: Returning("__array__", "0.5", True),
    "not a method": lambda: Returning("__array__", 5),
    "itself": Itself,
    "objects": lambda: Returning("__array__", np.array([0.5, None]), True),
    "a structure": lambda: Returning("__array__", np.zeros(2, "f8, f8"), True),
    "dates": lambda: Returning("__array__", np.zeros(2, "M8[s]"), True),
    "bytes": lambda: Returning("__array__", np.zeros(2, "V8"), True),
    "another shape": lambda: Returning("__array__", np.zeros((2, 0, 3)), True),
    "many dimensions": lambda: Returning("__array__", np.zeros((1,) * 32), True),
    "a huge shape": lambda: Returning("__array__", np.broadcast_to(0.5, (1 << 59,)), True),
    "an interface without a shape": lambda: Returning("__array_interface__", {"version": 3}),
    "an interface that is no dict": lambda: Returning("__array_interface__", 5),
    "an interface of objects": lambda: Returning("__array_interface__", empty_interface(typestr="|O8")),
    "an interface with a negative shape": lambda: Returning("__array_interface__", empty_interface(shape=(-1,))),
    "an interface with odd strides": lambda: Returning("__array_interface__", empty_interface(strides=(8, 8))),
    "a struct that is no capsule": lambda: Returning("__array_struct__", 5),
    "a float that is text": lambda: Returning("__float__", "0.5", True),
    "an index that is a float": lambda: Returning("__index__", 0.5, True),
    "a negative length": lambda: Returning("__len__", -1, True),
    "a huge length": lambda: Returning("__len__", sys.maxsize, True),
    "DLPack that is no capsule": lambda: Returning("__dlpack__", 5, True),
    "nested without end": endless,
    "a set": lambda: {0.5, 0.25},
    "a function": lambda: print,
    "a released buffer": released,
}


def positions(loss):
    """Return a function for each argument: it makes a call in which the argument is the given object."""
    rng = np.random.default_rng(0)
    x, t = loss.predictions(rng, 2), loss.hard(rng, 2)
    made, none = loss.kind(), loss.kind(reduction="none")
    weights = "pos_weight" if loss.binary else "class_weight"
    return {
        "predictions": lambda value: made.forward_backward(value, t),
        "targets": lambda value: made.gradient_hessian(x, value),
        "weights": lambda value: none.forward(x, t, sample_weight=value),
        "upstream": lambda value: none.backward(x, t, upstream=value),
        "out": lambda value: made.backward(x, t, out=value),
        "loss_out": lambda value: none.forward_backward(x, t, loss_out=value),
        "update": lambda value: made.accumulator().update(x, t, value),
        "an option": lambda value: loss.kind(**{weights: value}),
        "smoothing": lambda value: loss.function(x, t, label_smoothing=value),
    }, (made, x, t)


@each_loss
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore")  # of NumPy, for some of the objects
def test_hostile_objects_are_refused(loss, name):
    calls, (made, x, t) = positions(loss)
    want = bits(*made.forward_backward(x, t))
    for position, call in calls.items():
        value = HOSTILE[name]()
        # MemoryError: weights of a huge shape are copied
        expected = type(value.error) if isinstance(value, Raising) else MemoryError
        with pytest.raises((TypeError, ValueError, expected)):
            call(value)
        assert bits(*made.forward_backward(x, t)) == want, position


@each_loss
def test_interrupts_come_through(loss):
    calls, _ = positions(loss)
    for error in (KeyboardInterrupt(), SystemExit(3)):
        for position, call in calls.items():
            if position in ("out", "loss_out", "smoothing"):  # these must be arrays, or a number, and are not read
                continue
            with pytest.raises(type(error)):
                call(Raising(error))


@each_loss
def test_an_object_that_calls_cecore_while_it_is_read(loss):
    rng = np.random.default_rng(0)
    x, t, w = loss.predictions(rng, 300), loss.hard(rng, 300), rng.random(300)
    made = loss.kind()
    got = made.forward_backward(Calling(x), Calling(t), sample_weight=Calling(w))
    assert bits(*got) == bits(*made.forward_backward(x, t, sample_weight=w))
    with pytest.raises(ValueError, match=r"targets\[1\] = 7"):
        made.forward(Calling(x), Calling(np.where(np.arange(300) == 1, 7, t)))
    total, want = made.accumulator(), made.accumulator()
    total.update(Calling(x), Calling(t))
    want.update(x, t)
    assert repr(total) == repr(want)


@each_loss
def test_an_object_that_changes_each_time_it_is_read(loss):
    """The results are those of one of the arrays, or the error names a value of one of them."""
    rng = np.random.default_rng(0)
    x, t = loss.predictions(rng, 300), loss.hard(rng, 300)
    made = loss.kind()
    want = [bits(made.backward(x[:n], t[:n])) for n in (300, 299)]
    messages, results = [], []
    changing = Changing(x, x[:299]), Changing(t, t[:299], np.full_like(t, 9))
    for _ in range(24):
        try:
            results.append(bits(made.backward(*changing)))
        except ValueError as error:
            messages.append(str(error))
    assert results
    assert all(result in want for result in results)
    assert all(re.search(r"shape|targets\[0\] = 9", message) for message in messages)


@each_loss
def test_a_subclass_that_lies(loss):
    """The kernels and the checks read the memory, not the attributes that a subclass of ndarray can replace."""
    rng = np.random.default_rng(0)
    x, t, w = loss.predictions(rng, 300), loss.hard(rng, 300), rng.random(300)
    made = loss.kind()
    want = bits(*made.forward_backward(x, t, sample_weight=w))
    lies = [array.view(Liar) for array in (x, t, w)]
    for i in range(8):
        given = [lie if i >> k & 1 else array for k, (lie, array) in enumerate(zip(lies, (x, t, w), strict=True))]
        assert bits(*made.forward_backward(*given[:2], sample_weight=given[2])) == want
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        made.forward_backward(lies[0], (t + 7).view(Liar))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
