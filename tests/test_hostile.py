"""Objects whose attributes lie or whose code changes the arrays of a call, and settings of NumPy that raise errors."""

from __future__ import annotations

import mmap
import re
import traceback
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry import LOSSES
from ulp import bits

import cecore

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
bce, ce, bce_logits, ce_logits = LOSSES[:4]
longer = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
needs_long_double = pytest.mark.skipif(not longer, reason="long double is double")
N, CLASSES, GUARD = 40, 3, 64  # GUARD: numbers on each side of an output that no call may change


# ---------------------------------------------------------------- subclasses that lie


def fail(*_, **__):
    raise AssertionError("a method of the user's array was called")


LIES = {  # an attribute, and what it says of an array
    "shape": lambda array: (N,),
    "ndim": lambda array: 1,
    "size": lambda array: N,
    "strides": lambda array: (*array.strides[:-1], array.itemsize),
    "itemsize": lambda array: 8,
    "nbytes": lambda array: 8 * N,
    "dtype": lambda array: np.dtype(np.float64),
    "flags": lambda array: np.empty(1).flags,
    "ctypes": lambda array: np.empty(N).ctypes,
    "data": lambda array: np.empty(N).data,
    "base": lambda array: None,
    "__array_interface__": lambda array: np.empty(N).__array_interface__,
    "__array_struct__": lambda array: np.empty(N).__array_struct__,
}
METHODS = {
    "view": fail,
    "astype": fail,
    "reshape": fail,
    "item": fail,
    "__array__": lambda self, dtype=None, copy=None: np.zeros(N),
    "__array_function__": lambda self, *_: fail(),
    "__array_ufunc__": lambda self, *_, **__: fail(),
    "__array_wrap__": fail,
    "__getitem__": fail,
    "__len__": lambda self: N,
    "__eq__": fail,
    "__hash__": fail,
}


def told(value):
    return property(lambda self: value)


def lying(array, *names):
    """The array as an instance of a subclass whose attributes of these names lie."""
    body = {name: METHODS[name] for name in names if name in METHODS}
    body |= {name: told(LIES[name](array)) for name in names if name in LIES}
    kind = type("Lying", (np.ndarray,), body)
    made = np.ndarray.view(array, kind)
    kind.__array_finalize__ = fail  # from now on
    return made


def guarded(shape, dtype=np.float64):
    """An output amid other numbers, and these."""
    memory = np.full(int(np.prod(shape)) + 2 * GUARD, 7.0, dtype)
    return memory[GUARD:-GUARD].reshape(shape), memory


def untouched(memory):
    return (memory[:GUARD] == 7).all() and (memory[-GUARD:] == 7).all()


def batch(loss, n=N):
    rng = np.random.default_rng(0)
    return loss.predictions(rng, n, classes=CLASSES), loss.soft(rng, n, classes=CLASSES)


def calls(loss):
    """Each method with each of its outputs: the names of the outputs, whether they hold losses, the call."""
    made = loss.kind(reduction="none")
    yield ("out",), (True,), made.forward
    yield ("out",), (False,), made.backward
    yield ("loss_out", "gradient_out"), (True, False), made.forward_backward
    yield ("gradient_out", "hessian_out"), (False, False), made.gradient_hessian


SMALL = {  # arrays that cannot hold the results, and the error that says so
    "short": (lambda shape: guarded((shape[0] // 2, *shape[1:])), "has shape"),
    "flat": (lambda shape: guarded(()), "has shape"),
    "float32": (lambda shape: guarded(shape, np.float32), "has dtype float32"),
    "int8": (lambda shape: guarded(shape, np.int8), "has dtype int8"),
}


@each_loss
@pytest.mark.parametrize("small", SMALL)
def test_no_output_that_lies_is_written_beyond_its_end(loss, small):
    x, t = batch(loss)
    make, problem = SMALL[small]
    for names, of_losses, call in calls(loss):
        for name, of_loss in zip(names, of_losses, strict=True):
            shape = x.shape[: 1 if of_loss else None]
            out, memory = make(shape)
            lies = [name for name in LIES if name not in ("shape", "strides", "dtype")]
            for said in ({}, {"shape": shape}, {"dtype": np.dtype(np.float64)}, {"shape": shape, "dtype": x.dtype}):
                kind = type("Lying", (np.ndarray,), {k: told(v) for k, v in said.items()})
                for given_out in (np.ndarray.view(out, kind), lying(out, *lies, *METHODS)):
                    with pytest.raises(ValueError, match=f"{name} {problem}"):
                        call(x, t, **{name: given_out})
                    assert (memory == 7).all()


@each_loss
def test_outputs_that_lie_are_written_where_they_are(loss):
    x, t = batch(loss)
    for names, of_losses, call in calls(loss):
        want = call(x, t)
        want = want if isinstance(want, tuple) else (want,)
        for lies in ([*LIES, *METHODS], *([name] for name in (*LIES, *METHODS))):
            made = [guarded(x.shape[: 1 if of_loss else None]) for of_loss in of_losses]
            outs = {name: lying(out, *lies) for name, (out, _) in zip(names, made, strict=True)}
            got = call(x, t, **outs)
            got = got if isinstance(got, tuple) else (got,)
            assert all(one is other for one, other in zip(got, outs.values(), strict=True)), lies
            assert bits(*(out for out, _ in made)) == bits(*want), lies
            assert all(untouched(memory) for _, memory in made), lies


@each_loss
def test_inputs_that_lie_are_read_as_they_are(loss):
    x, t = batch(loss)
    w, u = np.linspace(0.5, 2, N), np.linspace(-1, 1, N)
    made = loss.kind(reduction="none")
    want = bits(*made.forward_backward(x, t, sample_weight=w))
    upstream = bits(made.backward(x, t, upstream=u))
    total = loss.kind()(x, t, sample_weight=w)
    for lies in ([*LIES, *METHODS], *([name] for name in (*LIES, *METHODS))):
        given_x, given_t, given_w, given_u = (lying(array, *lies) for array in (x, t, w, u))
        assert bits(*made.forward_backward(given_x, given_t, sample_weight=given_w)) == want, lies
        assert bits(made.backward(given_x, given_t, upstream=given_u)) == upstream, lies
        assert loss.function(given_x, given_t, sample_weight=given_w) == total, lies
        accumulator = loss.kind().accumulator()
        accumulator.update(given_x, given_t, given_w)
        assert accumulator.value == total, lies
        place = x.copy()
        given_place = lying(place, *lies)
        assert made.backward(given_place, t, upstream=u, out=given_place) is given_place
        assert bits(place) == upstream, lies


def test_options_that_lie_are_read_as_they_are():
    w = np.array([1.0, 2.0, 0.5])
    for lies in ([*LIES, *METHODS], *([name] for name in (*LIES, *METHODS))):
        assert cecore.CrossEntropy(class_weight=lying(w, *lies)).class_weight == (1, 2, 0.5)
        assert cecore.BinaryCrossEntropy(pos_weight=lying(w, *lies)).pos_weight == (1, 2, 0.5)
        assert cecore.BinaryCrossEntropy(pos_weight=lying(np.array(2.0), *lies)).pos_weight == 2


ACTIVATIONS = {
    "sigmoid": 1,
    "log_sigmoid": 1,
    "softmax": 1,
    "log_softmax": 1,
    "sigmoid_backward": 2,
    "softmax_backward": 2,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_believe_no_attribute(name):
    function = getattr(cecore, name)
    rng = np.random.default_rng(0)
    arrays = [rng.random((N, CLASSES)) for _ in range(ACTIVATIONS[name])]
    want = bits(function(*arrays))
    for lies in ([*LIES, *METHODS], *([name] for name in (*LIES, *METHODS))):
        out, memory = guarded(arrays[0].shape)
        given_out = lying(out, *lies)
        assert function(*(lying(array, *lies) for array in arrays), out=given_out) is given_out
        assert bits(out) == want, lies
        assert untouched(memory), lies
        place = arrays[-1].copy()
        given_place = lying(place, *lies)
        assert function(*arrays[:-1], given_place, out=given_place) is given_place
        assert bits(place) == want, lies
    for make, problem in SMALL.values():
        out, memory = make(arrays[0].shape)
        said = {"shape": arrays[0].shape, "dtype": np.dtype(np.float64), "strides": arrays[0].strides}
        kind = type("Lying", (np.ndarray,), {k: told(v) for k, v in said.items()})
        with pytest.raises(ValueError, match=f"out {problem}"):
            function(*arrays, out=np.ndarray.view(out, kind))
        assert (memory == 7).all()


def test_a_read_only_output_that_says_otherwise_stays_as_it_is():
    x, t = batch(bce)
    memory = bytes(8 * N)
    out = lying(np.frombuffer(memory), "flags")
    assert out.flags.writeable
    for call in (lambda: bce.kind().backward(x, t, out=out), lambda: cecore.sigmoid(x, out=out)):
        with pytest.raises(ValueError, match="out is read-only"):
            call()
    assert not any(memory)


def test_overlaps_are_found_whatever_an_array_says():
    x, t = batch(bce)
    one = np.lib.stride_tricks.as_strided(np.zeros(N), (N,), (0,), writeable=True)
    kind = type("Lying", (np.ndarray,), {"strides": (8,), "ctypes": np.empty(N).ctypes, "shape": (N,), "size": 0})
    with pytest.raises(ValueError, match="out has elements that share their memory"):
        bce.kind().backward(x, t, out=np.ndarray.view(one, kind))
    memory = np.concatenate([x, [0.5]])
    before = memory.copy()
    for make in (lambda array: np.ndarray.view(array, kind), lambda array: lying(array, *LIES, *METHODS)):
        for given_x, out in ((make(memory[:-1]), make(memory[1:])), (memory[:-1], make(memory[1:]))):
            with pytest.raises(ValueError, match="out shares memory with probs, but is not the same array"):
                bce.kind().backward(given_x, t, out=out)
            with pytest.raises(ValueError, match="out shares memory with x, but is not the same array"):
                cecore.sigmoid(given_x, out=out)
        with pytest.raises(ValueError, match="out shares memory with targets"):
            bce.kind().backward(x, make(t), out=make(t))
        out = np.empty(N)
        with pytest.raises(ValueError, match="gradient_out shares memory with hessian_out"):
            bce.kind().gradient_hessian(x, t, gradient_out=make(out), hessian_out=make(out))
        out = make(np.empty(N))
        with pytest.raises(ValueError, match="one array is given for two results"):
            bce.kind().gradient_hessian(x, t, gradient_out=out, hessian_out=out)
    assert (memory == before).all()


def test_bfloat16_that_lies():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x, t = (array.astype(bfloat16) for array in batch(bce))
    want = bits(bce.kind().backward(x, t).view(np.uint16))
    for lies in ([*LIES, *METHODS], *([name] for name in (*LIES, *METHODS))):
        out, memory = np.zeros(N, bfloat16), np.zeros(N // 2, bfloat16)
        given_out = lying(out, *lies)
        assert bce.kind().backward(lying(x, *lies), lying(t, *lies), out=given_out) is given_out
        assert bits(out.view(np.uint16)) == want, lies
        with pytest.raises(ValueError, match=r"out has shape \(20,\)"):
            bce.kind().backward(x, t, out=lying(memory, *lies))


def test_proxies_of_arrays():
    class Proxy:
        """As the proxies of several libraries: an object that gives itself out as another."""

        def __init__(self, array):
            self.array = array

        __class__ = property(lambda self: np.ndarray)

        def __getattr__(self, name):
            return getattr(self.array, name)

        def __array__(self, dtype=None, copy=None):
            return self.array

    x, t = batch(bce)
    assert isinstance(Proxy(x), np.ndarray)
    assert bits(bce.kind().backward(Proxy(x), Proxy(t))) == bits(bce.kind().backward(x, t))
    assert bits(cecore.sigmoid(Proxy(x))) == bits(cecore.sigmoid(x))
    with pytest.raises(TypeError, match="out is a Proxy"):
        bce.kind().backward(x, t, out=Proxy(np.empty(N)))
    with pytest.raises(TypeError, match="out is a Proxy"):
        cecore.sigmoid(x, out=Proxy(np.empty(N)))


@each_loss
def test_ordinary_subclasses_work(loss):
    x, t = batch(loss)
    want = bits(loss.kind().backward(x, t))

    def mapped(array):
        return np.ndarray.__new__(np.memmap, array.shape, array.dtype, mmap.mmap(-1, max(array.nbytes, 1)))

    out = mapped(x)
    assert loss.kind().backward(x, t, out=out) is out
    assert bits(np.asarray(out)) == want
    place = mapped(x)
    place[...] = x
    assert loss.kind().backward(place, t, out=place) is place
    assert bits(np.asarray(place)) == want
    records = x.view(np.recarray)
    assert bits(loss.kind().backward(records, t, out=records)) == want
    with pytest.raises(TypeError, match="is a masked array"):
        loss.kind().backward(np.ma.array(x), t)
    with pytest.raises(TypeError, match="out is a MaskedArray"):
        loss.kind().backward(x, t, out=np.ma.array(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(np.full((2, 2), 0.5))
        matrix_out = np.matrix(np.empty((2, 2)))
    assert loss.kind().backward(matrix, np.eye(2), out=matrix_out) is matrix_out
    assert bits(np.array(matrix_out)) == bits(loss.kind().backward(np.array(matrix), np.eye(2)))


# ---------------------------------------------------------------- code of the user's during the call


class Changing:
    """An array whose conversion does something else first."""

    def __init__(self, array, action):
        self.array, self.action = array, action

    def __array__(self, dtype=None, copy=None):
        self.action()
        return self.array


def refilled(array, shape):
    """Resize an array, whatever refers to it, and take the memory that it leaves."""
    array.resize(shape, refcheck=False)
    return [np.full(N, 1e9) for _ in range(100)]


KINDS = {"plain": lambda array: array, "subclass": lambda array: array.view(type("Own", (np.ndarray,), {})).copy()}


@each_loss
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [0, 1, N // 2, 100 * N])
def test_arrays_that_are_resized_during_the_conversion_have_their_new_shapes(loss, kind, n):
    made = loss.kind(reduction="none")
    order = ("predictions", "targets", "sample_weight", "upstream", "out")
    for victim in order:
        for culprit in ("predictions", "targets", "sample_weight", "upstream"):
            if culprit == victim or (victim == "sample_weight" and n == 1):  # one weight repeats
                continue
            x, t = batch(loss)
            arrays = dict(zip(order, (x, t, np.ones(N), np.ones(N), np.zeros(x.shape)), strict=True))
            arrays = {name: KINDS[kind](array.copy()) for name, array in arrays.items()}
            resized = arrays[victim]
            action = lambda resized=resized: refilled(resized, (n, *resized.shape[1:]))  # noqa: E731
            arrays[culprit] = Changing(arrays[culprit], action)
            predictions, targets = arrays.pop("predictions"), arrays.pop("targets")
            with pytest.raises(ValueError, match=r"has shape|expected shape|shape of"):
                made.backward(predictions, targets, **arrays)


@each_loss
def test_arrays_that_all_become_longer_are_read_anew(loss):
    x, _ = batch(loss)
    more_x, more_t = batch(loss, 3 * N)
    given_x, out = x.copy(), np.zeros(x.shape)

    def grow():
        for array, values in ((given_x, more_x), (out, more_x)):
            refilled(array, more_x.shape)
            array[...] = values

    got = loss.kind().backward(given_x, Changing(more_t, grow), out=out)
    assert got is out
    assert bits(got) == bits(loss.kind().backward(more_x, more_t))


def test_an_array_whose_dtype_changes_during_the_conversion():
    for dtype, error in (("c16", TypeError), ("V16", TypeError), (np.dtype([("a", "f8"), ("b", "f8")]), TypeError)):
        x = np.full(2 * N, 0.5)

        def change(x=x, dtype=dtype):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                x.dtype = dtype

        with pytest.raises(error, match="probs has dtype"):
            bce.function(x, Changing(np.ones(N), change))
    x = np.full(N, 0.5, np.float32)

    def to_integers():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            x.dtype = np.int32

    with pytest.raises(ValueError, match=r"probs\[0\] = 1056964608 is outside"):
        bce.function(x, Changing(np.ones(N), to_integers))


@pytest.mark.parametrize("name", ["sigmoid_backward", "softmax_backward"])
@pytest.mark.parametrize("kind", KINDS)
def test_activations_look_at_shapes_when_all_is_converted(name, kind):
    function = getattr(cecore, name)
    for n in (0, 1, 100 * N):
        x, u = (KINDS[kind](np.full((N, CLASSES), 0.5)) for _ in range(2))
        with pytest.raises(ValueError, match="has shape"):
            function(Changing(u, lambda x=x, n=n: refilled(x, (n, CLASSES))), x)
        x, u = (KINDS[kind](np.full((N, CLASSES), 0.5)) for _ in range(2))
        with pytest.raises(ValueError, match="has shape"):
            function(u, Changing(x, lambda u=u, n=n: refilled(u, (n, CLASSES))))
        x, u, out = (KINDS[kind](np.full((N, CLASSES), 0.5)) for _ in range(3))
        with pytest.raises(ValueError, match="has shape"):
            function(u, Changing(x, lambda out=out, n=n: refilled(out, (n, CLASSES))), out=out)


@pytest.mark.parametrize("axis", [0, -1])
def test_code_that_answers_a_warning_can_resize_the_arrays(axis, monkeypatch):
    x, t = np.full((CLASSES, CLASSES), 0.25), np.zeros(CLASSES, int)
    monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: refilled(x, (1, 7)))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match=r"probs has shape \(1, 7\)|of probs \(1, 7\)"):
            ce.kind(axis=axis)(x, t)


def test_memory_stays_while_it_is_read():
    class Dropping:
        """An object that owns no array, but makes one for each conversion."""

        def __array__(self, dtype=None, copy=None):
            return np.full(N, 0.5)

    for _ in range(3):
        assert bce.function(Dropping(), Dropping(), sample_weight=Dropping()) == pytest.approx(np.log(2))


# ---------------------------------------------------------------- errors of the user's code


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError, OverflowError, BufferError, KeyError])
def test_the_traceback_of_the_users_own_error_is_kept(error):
    def deep():
        raise error("from deep within")

    class Raising:
        def __array__(self, dtype=None, copy=None):
            deep()

    x, t = [0.5], [1]
    for call in (
        lambda: bce.function(Raising(), t),
        lambda: bce.function(x, Raising()),
        lambda: bce.function(x, t, sample_weight=Raising()),
        lambda: bce.kind(reduction="none").backward(x, t, upstream=Raising()),
        lambda: bce.kind(pos_weight=Raising()),
        lambda: ce.kind(class_weight=Raising()),
        lambda: cecore.softmax(Raising()),
        lambda: cecore.sigmoid_backward(Raising(), [0.5]),
    ):
        with pytest.raises((error, TypeError, ValueError), match="from deep within") as found:
            call()
        own = found.value.__cause__ or found.value
        assert type(own) is error
        assert traceback.extract_tb(own.__traceback__)[-1].name == "deep"


def test_the_traceback_of_an_error_in_an_attribute_is_kept():
    class Raising:
        @property
        def device(self):
            raise ValueError("from the attribute")

        def __array__(self, dtype=None, copy=None):
            return np.array([0.5])

    for call in (lambda: bce.function(Raising(), [1]), lambda: cecore.sigmoid(Raising())):
        with pytest.raises(ValueError, match="from the attribute") as found:
            call()
        assert traceback.extract_tb(found.value.__traceback__)[-1].name == "device"


# ---------------------------------------------------------------- settings of NumPy


@contextmanager
def raising():
    with np.errstate(all="raise"):
        yield


@contextmanager
def warning():
    with np.errstate(all="warn"), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def calling():
    def answer(*_):
        raise AssertionError("NumPy called back")

    before = np.seterrcall(answer)
    try:
        with np.errstate(all="call"):
            yield
    finally:
        np.seterrcall(before)


SETTINGS = {"raise": raising, "warn": warning, "call": calling}
DTYPES = [np.float64, np.float32, np.float16, np.longdouble]
ODD = [0.0, 1.0, 0.5, 1e-310, 1e-45, 5e-324, 1e300, 7.0, -7.0, -1e-310, np.inf, -np.inf, np.nan, 1e-5, 65520.0, 1e39]


def outcome(call):
    """The result of a call or the text of its error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cecore.InputWarning)
            result = call()
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return bits(*(np.asarray(array) for array in (result if isinstance(result, tuple) else (result,))))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_of_values_come_with_any_setting(setting, dtype):
    w = np.array([1e-310, 1.0])
    x = np.array([0.5, 7.0]).astype(dtype)
    with SETTINGS[setting]():
        for weights in (w, w.astype(np.longdouble), w[::-1], w.tolist(), np.array([1e-320, 5e-324])):
            if dtype in (np.float32, np.float16) and min(weights[1], 1) < 1e-300:
                continue  # rounded to 0, and not looked at
            with pytest.raises(ValueError, match=r"probs\[1\] = 7.0 is outside"):
                bce.function(x, [1, 1], sample_weight=weights)
            with pytest.raises(ValueError, match=r"probs\[1, 0\] = 7.0 is outside"):
                ce.function(np.stack([x, x], axis=1), [0, 0], sample_weight=weights)
            with pytest.raises(ValueError, match=r"targets\[1\] = 7.0 is outside"):
                bce_logits.function(x, np.array([0.5, 7.0]), sample_weight=weights)
            with pytest.raises(ValueError, match=r"targets\[1\] = 7 is not a class"):
                ce_logits.function(np.stack([x, x], axis=1), [0, 7], sample_weight=weights)


@pytest.mark.parametrize("setting", SETTINGS)
@given(data=st.data())
def test_no_setting_changes_a_result_or_an_error(setting, data):
    draw = data.draw
    loss = draw(st.sampled_from(LOSSES))
    n = draw(st.integers(1, 3))
    dtypes = [draw(st.sampled_from(DTYPES)) for _ in range(4)]

    def numbers(count, dtype):
        with np.errstate(all="ignore"):
            return np.array([draw(st.sampled_from(ODD)) for _ in range(count)]).astype(dtype)

    x = numbers(n if loss.binary else 2 * n, dtypes[0]).reshape((n,) if loss.binary else (n, 2))
    labels = not loss.binary and draw(st.booleans())
    t = numbers(n if labels or loss.binary else 2 * n, dtypes[1]).reshape((n,) if labels else x.shape)
    w, u = numbers(n, dtypes[2]), numbers(n, dtypes[3])
    if draw(st.booleans()):
        x, t, w, u = x.tolist(), t.tolist(), w.tolist(), u.tolist()
    options = draw(st.sampled_from([{}, {"ignore_index": 7}])) if labels else {}
    made = loss.kind(reduction="none", **options)

    def each():
        return (
            outcome(lambda: made.forward_backward(x, t, sample_weight=w)),
            outcome(lambda: made.backward(x, t, upstream=u)),
            outcome(lambda: made.gradient_hessian(x, t, sample_weight=w[0])),
            outcome(lambda: loss.kind().backward(x, t, upstream=u[0])),
            outcome(lambda: loss.kind(**{"pos_weight" if loss.binary else "class_weight": [u[0], w[0]]})(x, t)),
            outcome(lambda: loss.kind(label_smoothing=w[0]).label_smoothing),
            outcome(lambda: cecore.sigmoid_backward(u, w)),
            outcome(lambda: cecore.softmax(x)),
        )

    with np.errstate(all="ignore"):
        want = each()
    with SETTINGS[setting]():
        assert each() == want


@pytest.mark.parametrize("setting", SETTINGS)
def test_bfloat16_weights_with_any_setting(setting):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    p, t = np.array([0.5, 7.0], np.float32).astype(bfloat16), np.array([1, 1])
    w = np.array([np.nan, 1e-40, -1.0], np.float32).astype(bfloat16)
    with SETTINGS[setting]():
        for place, problem in ((0, "= nan is not a weight"), (2, "= -1.0 is negative")):
            for weights in (w[place], np.array(w[place]), w[[place, place]]):
                with pytest.raises(ValueError, match=problem):
                    bce.function(p, t, sample_weight=weights)
                with pytest.raises(ValueError, match=problem):
                    bce.kind(pos_weight=w[[place, place]])
        for weights in (w[1], np.array(w[1]), w[[1, 1]]):
            with pytest.raises(ValueError, match=r"probs\[1\] = 7.0 is outside"):
                bce.function(p, t, sample_weight=weights)
        with pytest.raises(ValueError, match=r"targets\[0\] = nan is not a class"):
            ce.function(np.full((1, 2), 0.5), w[:1])


@pytest.mark.parametrize("classes", [2, 3, 40, 300, 5000])
def test_softmax_backward_takes_upstream_in_float64(classes):
    rng = np.random.default_rng(classes)
    s = (1e-5 * cecore.softmax(rng.normal(size=(70, classes)))).astype(np.float32)
    u = 1e39 * rng.normal(size=s.shape)
    want = s.astype(float) * (u - (s * u).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(cecore.softmax_backward(u, s), want, rtol=1e-6)


@needs_long_double
@pytest.mark.parametrize("setting", SETTINGS)
def test_long_doubles_beyond_float64_are_errors_with_any_setting(setting):
    big = np.longdouble("1e4000")
    p, y = np.array([0.5, 0.5]), np.array([1, 0])
    none = bce.kind(reduction="none")
    beyond = r"= -?1e\+4000 is beyond the range of float64"
    with SETTINGS[setting]():
        for call in (
            lambda: bce.kind(pos_weight=big),
            lambda: bce.kind(pos_weight=np.array(big)),
            lambda: bce.kind(pos_weight=[1, big]),
            lambda: ce.kind(class_weight=[1, big]),
            lambda: ce.kind(class_weight=np.array([1, big])),
            lambda: bce.kind(eps=big),
            lambda: bce_logits.kind(focal_gamma=big),
            lambda: bce.kind(label_smoothing=big),
            lambda: none(p, y, sample_weight=big),
            lambda: none(p, y, sample_weight=np.array(big)),
            lambda: none(p, y, sample_weight=np.array([1, big])),
            lambda: none(p, y, sample_weight=[1, big]),
            lambda: bce.kind().backward(p, y, upstream=big),
            lambda: bce.kind().backward(p, y, upstream=np.array(-big)),
            lambda: none.backward(p, y, upstream=np.array([-big, 1])),
            lambda: none.backward(p.tolist(), y, upstream=[1, big]),
            lambda: cecore.sigmoid_backward(np.array([big, 1]), p),
            lambda: cecore.softmax_backward(np.array([big, 1]), p),
            lambda: cecore.softmax_backward([1, -big], p.astype(np.float32)),
        ):
            with pytest.raises(ValueError, match=beyond):
                call()
        tiny = np.longdouble("1e-4000")  # rounds to 0
        assert bce.kind(eps=tiny).eps == 0
        assert ce.kind(class_weight=[1, tiny]).class_weight == (1, 0)
        assert none(p, y, sample_weight=np.array([1, tiny]))[1] == 0
        with pytest.raises(ValueError, match=r"pos_weight\[0\] = -inf is negative"):
            bce.kind(pos_weight=[-big, 1])
        for infinite in (np.inf, np.longdouble(np.inf)):
            with pytest.raises(ValueError, match=r"class_weight\[0\] = inf is not a weight"):
                ce.kind(class_weight=[infinite, 1])
            assert (np.abs(none.backward(p, y, upstream=np.array([infinite, infinite]))) == np.inf).all()


# ---------------------------------------------------------------- numbers beyond the computing type


@each_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float16, "bfloat16"])
def test_weights_that_float32_does_not_hold(loss, dtype):
    dtype = dtype if dtype != "bfloat16" else pytest.importorskip("ml_dtypes").bfloat16
    x, t = batch(loss)
    x = x.astype(dtype)
    most = float(np.finfo(np.float32).max)
    for weight in (1e300, 1e39, most * (1 + 1e-7), np.longdouble(1e300)):
        w = np.ones(N, type(weight) if isinstance(weight, np.longdouble) else float)
        w[5] = weight
        for weights, place in ((w, r"sample_weight\[5\] = "), (weight, "sample_weight = ")):
            with pytest.raises(ValueError, match=rf"^{place}.* is beyond the range of float32, .* has dtype"):
                loss.kind()(x, t, sample_weight=weights)
    for weight in (most, most * (1 + 1e-8)):  # rounded to the largest number
        loss.kind()(x, t, sample_weight=[weight] * N)
    for weight, problem in ((np.inf, "is not a weight"), (-np.inf, "is negative"), (-1e300, "is negative")):
        with pytest.raises(ValueError, match=problem):
            loss.kind()(x, t, sample_weight=[weight] * N)


@each_loss
def test_upstream_that_float32_does_not_hold(loss):
    x, t = batch(loss)
    x = x.astype(np.float32)
    none = loss.kind(reduction="none")
    u = np.ones(N)
    u[5] = -1e39
    for upstream in (u, u.tolist(), u.astype(">f8"), u.astype(np.longdouble), np.repeat(u, 2)[::2]):
        with pytest.raises(ValueError, match=r"upstream\[5\] = \S+e\+3. is beyond the range of float32, to which"):
            none.backward(x, t, upstream=upstream)
    assert bits(none.backward(x.astype(float), t, upstream=u))
    w = np.ones(N)
    w[5] = 0
    got = none.backward(x, t, sample_weight=w, upstream=u)  # a sample that does not count
    assert not got[5].any()
    assert np.isfinite(got).all()
    if not loss.binary:
        labels = np.zeros(N, int)
        labels[5] = -1
        assert not loss.kind(reduction="none", ignore_index=-1).backward(x, labels, upstream=u)[5].any()
    fine = np.linspace(-1, 1, N)
    want = bits(none.backward(x, t, upstream=fine.astype(np.float32)))
    assert bits(none.backward(x, t, upstream=fine.astype(np.float32).astype(float))) == want
    u[5] = -np.inf  # an infinite number is data
    none.backward(x, t, upstream=u)
    assert none.backward(x[:0], t[:0], upstream=u[:0]).shape == x[:0].shape


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 65536, 65537, 200_000])
def test_upstream_of_any_length_that_float32_does_not_hold(n):
    x, t, u = np.full(n, 0.5, np.float32), np.ones(n), np.full(n, 2.0)
    none = bce.kind(reduction="none")
    layouts = (lambda a: a, lambda a: a[::-1].copy()[::-1], lambda a: np.repeat(a, 2)[::2], lambda a: a.astype(">f8"))
    for make in layouts:
        assert (none.backward(x, t, upstream=make(u)) == -4).all()
        assert cecore.sigmoid_backward(make(u), x)[-1] == 0.5
    for place in {0, n // 2, n - 1}:
        for value in (1e39, -1e39):
            u[:], u[n // 3] = 2.0, np.nan
            u[place] = value
            for make in layouts:
                with pytest.raises(ValueError, match=rf"upstream\[{place}\] = {re.escape(str(value))} is beyond"):
                    none.backward(x, t, upstream=make(u))
                with pytest.raises(ValueError, match=rf"upstream\[{place}\] = {re.escape(str(value))} is beyond"):
                    cecore.sigmoid_backward(make(u), x)
    u[:] = np.finfo(np.float32).max
    assert np.isfinite(cecore.sigmoid_backward(u, x)).all()
    u *= 1 + 1e-8  # rounded to the largest number
    assert np.isfinite(cecore.sigmoid_backward(u, x)).all()


# ---------------------------------------------------------------- labels of long double


WIDE = [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**62 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]


@needs_long_double
@pytest.mark.parametrize("loss", [ce, ce_logits], ids=lambda loss: loss.name)
def test_long_double_labels_are_ignored_exactly_when_equal(loss):
    x = np.full((2, 2), 0.5)
    for ignore_index in [*WIDE, *(-number for number in WIDE if number <= 2**63)]:
        made = loss.kind(ignore_index=ignore_index, reduction="none")
        for number in (ignore_index, ignore_index - 1, ignore_index + 1, -ignore_index):
            targets = np.array([0, str(number)], np.longdouble)
            assert int(targets[1]) == number
            message = f"{re.escape(f'targets[1] = {targets[1]!s}')} is not a class label.* {ignore_index}$"
            for given_t in (targets, targets.astype(targets.dtype.newbyteorder()), np.repeat(targets, 2)[::2]):
                if number == ignore_index:
                    assert made(x, given_t)[1] == 0
                    continue
                with pytest.raises(ValueError, match=message):
                    made(x, given_t)


@needs_long_double
@given(number=st.integers(-(2**64), 2**65), ignore_index=st.integers(-(2**63), 2**64 - 1), near=st.booleans())
def test_any_long_double_label(number, ignore_index, near):
    number = ignore_index + number % 3 - 1 if near else number
    label = np.longdouble(str(number))
    made = ce_logits.kind(ignore_index=ignore_index, reduction="none")
    x, targets = np.zeros((1, 4)), np.array([label])
    if int(label) == ignore_index:
        assert made(x, targets) == 0
    elif 0 <= int(label) < 4:
        assert made(x, targets) == np.log(4)
    else:
        with pytest.raises(ValueError, match="is not a class label"):
            made(x, targets)


@needs_long_double
def test_long_double_labels_that_are_no_whole_numbers():
    x = np.full((1, 4), 0.25)
    for number in ("1.5", "0.1", "9007199254740992.5", "4611686018427387904.5"):
        label = np.longdouble(number)
        with pytest.raises(ValueError, match=re.escape(f"targets[0] = {label!s} is not a whole number")):
            ce.function(x, np.array([label]))
    barely = 1 + np.finfo(np.longdouble).eps
    assert float(barely) == 1
    with pytest.raises(ValueError, match="is not a whole number"):
        ce.function(x, np.array([barely]))
    for number in ("nan", "inf", "-inf", "1e4000"):
        with pytest.raises(ValueError, match="is not a class label"):
            ce.function(x, np.array([number], np.longdouble))
    with pytest.raises(ValueError, match="set ignore_index=-9007199254740993 "):
        ce.function(x, np.array(["-9007199254740993"], np.longdouble))
