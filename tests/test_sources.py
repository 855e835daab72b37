"""Numbers of other libraries: the bits of the plain array, no copy where there need be none, and errors that help.

python -m pip install '.[test,sources]' && python -m pytest tests/test_sources.py
"""

from __future__ import annotations

import array
import math
import sys

import numpy as np
import pytest
from registry import LOSSES
from ulp import bits

import cecore
from cecore._checks import real_array

pytestmark = pytest.mark.usefixtures("level")
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
bce, ce, bce_logits, ce_logits = LOSSES[:4]
N = 300


def need(name):
    extra = "compare" if name == "torch" else "frames"
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'cecore[{extra}]'")


def pandas_series(a):
    return need("pandas").Series(a)


def pandas_nullable(a):
    names = {"f8": "Float64", "f4": "Float32", "i8": "Int64", "i1": "Int8", "b1": "boolean"}
    return need("pandas").Series(a).astype(names.get(a.dtype.str[1:], a.dtype))


def pandas_arrow(a):
    need("pyarrow")
    names = {"f8": "double[pyarrow]", "f4": "float[pyarrow]", "i8": "int64[pyarrow]", "b1": "bool[pyarrow]"}
    return need("pandas").Series(a).astype(names.get(a.dtype.str[1:], a.dtype))


def pandas_column(a):
    return need("pandas").DataFrame({"other": np.zeros(len(a), a.dtype), "given": a})["given"]


def polars_series(a):
    return need("polars").Series(a)


def polars_chunks(a):
    pl = need("polars")
    return pl.concat([pl.Series(a[:100]), pl.Series(a[100:])], rechunk=False)


def arrow_array(a):
    return need("pyarrow").array(a)


def arrow_chunks(a):
    return need("pyarrow").chunked_array([a[:100], a[100:]])


def torch_tensor(a):
    return need("torch").from_numpy(a.copy())


def torch_strided(a):
    return need("torch").from_numpy(np.repeat(a, 2))[::2]


class OnlyDLPack:
    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


def dlpack_of_torch(a):
    return OnlyDLPack(torch_strided(a))


def python_array(a):
    return array.array(a.dtype.char, a.tolist()) if a.dtype.char in "dflbq" else a


COLUMNS = [
    pandas_series,
    pandas_nullable,
    pandas_arrow,
    pandas_column,
    polars_series,
    polars_chunks,
    arrow_array,
    arrow_chunks,
    torch_tensor,
    torch_strided,
    dlpack_of_torch,
    python_array,
]


@pytest.mark.parametrize("source", COLUMNS, ids=lambda source: source.__name__)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_columns(source, dtype):
    rng = np.random.default_rng(0)
    for loss in LOSSES:
        x, t = loss.predictions(rng, N, dtype), loss.hard(rng, N)
        w = rng.random(N).astype(dtype)
        made = loss.kind(reduction="none")
        want = bits(*made.forward_backward(x, t, sample_weight=w))
        targets = [t, t.astype(np.int8)] + ([t.astype(bool)] if loss.binary else [])
        for target in targets:
            given = source(x) if loss.binary else x
            assert bits(*made.forward_backward(given, source(target), sample_weight=source(w))) == want


def tensors(x):
    torch = need("torch")
    yield torch.from_numpy(x.copy())
    yield torch.from_numpy(np.asfortranarray(x))
    yield torch.from_numpy(x.T.copy()).t()
    yield OnlyDLPack(torch.from_numpy(x.copy()))


def frames(x):
    pandas, polars, pyarrow = map(need, ("pandas", "polars", "pyarrow"))
    columns = {f"class {k}": x[:, k] for k in range(x.shape[1])}
    yield pandas.DataFrame(x)
    yield pandas.DataFrame(columns)
    yield pandas.DataFrame(x).astype("Float64" if x.dtype == np.float64 else "Float32")
    yield polars.DataFrame(columns)
    yield pyarrow.table(columns)
    yield pyarrow.record_batch(columns)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", [ce, ce_logits], ids=lambda loss: loss.name)
@pytest.mark.parametrize("matrices", [frames, tensors])
def test_matrices(loss, dtype, matrices):
    rng = np.random.default_rng(0)
    x, t = loss.predictions(rng, N, dtype), loss.hard(rng, N)
    one_hot = np.eye(3, dtype=dtype)[t]
    want = bits(*loss.kind().forward_backward(x, t))
    for given, targets in zip(matrices(x), matrices(one_hot), strict=True):
        value, gradient = loss.kind().forward_backward(given, targets)
        assert type(gradient) is np.ndarray
        assert gradient.dtype == dtype
        assert bits(value, gradient) == want


def test_frames_of_several_types():
    pandas = need("pandas")
    frame = pandas.DataFrame(
        {
            "a": pandas.array([1, 0], dtype="Int64"),
            "b": pandas.array([0.5, 0.25], dtype="Float32"),
            "c": [0.5, 0.25],
            "d": [True, False],
        }
    )
    want = cecore.cross_entropy_with_logits(np.array([[1, 0.5, 0.5, 1], [0, 0.25, 0.25, 0]]), [1, 2])
    assert cecore.cross_entropy_with_logits(frame, [1, 2]) == want
    with pytest.raises(
        TypeError, match=r"logits holds strings \(dtype object, logits\[0, 4\] = \'x\'\): expected numbers"
    ):
        cecore.cross_entropy_with_logits(frame.assign(e=["x", "y"]), [1, 2])


def test_half_types_of_torch():
    torch, ml_dtypes = need("torch"), pytest.importorskip("ml_dtypes")
    z = np.random.default_rng(0).normal(0, 3, (N, 4)).astype(np.float32)
    t = np.arange(N) % 4
    made = cecore.CrossEntropyWithLogits()
    for tensor, dtype in (
        (torch.from_numpy(z).half(), np.float16),
        (torch.from_numpy(z).bfloat16(), ml_dtypes.bfloat16),
        (torch.from_numpy(z).bfloat16()[:, ::2].repeat_interleave(2, 1)[:, ::2], ml_dtypes.bfloat16),
    ):
        plain = tensor.float().numpy().astype(dtype)
        labels = t % plain.shape[1]
        got = made.forward_backward(tensor, torch.from_numpy(labels))
        assert got[1].dtype == dtype
        assert bits(*got) == bits(*made.forward_backward(plain, labels))


def test_bfloat16_without_its_library(monkeypatch):
    torch = need("torch")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match=r"probs is a bfloat16 tensor: .* pip install 'cecore\[bfloat16\]'"):
        cecore.binary_cross_entropy(torch.tensor([0.5], dtype=torch.bfloat16), [1])


def test_the_tensors_own_memory_as_output():
    torch = need("torch")
    z, t = torch.linspace(-3, 3, N, dtype=torch.float64), torch.arange(N) % 2
    want = bits(cecore.BinaryCrossEntropyWithLogits().backward(z.clone(), t))
    place = z.numpy()
    assert cecore.BinaryCrossEntropyWithLogits().backward(z, t, out=place) is place
    assert bits(z.numpy()) == want


def test_tensors_that_cannot_be_read():
    torch = need("torch")
    p = torch.tensor([0.5, 0.25])
    for bad, message in (
        (p.clone().requires_grad_(), r"probs is a tensor that requires grad, .* Pass probs.detach\(\)"),
        (torch.nn.Parameter(p), r"probs is a tensor that requires grad, .* Pass probs.detach\(\)"),
        (torch.empty(2, device="meta"), r"probs is on the device meta: cecore runs on the CPU. Pass probs.cpu\(\)"),
        (p.to_sparse(), "probs cannot be read as an array: .*[Ss]parse"),
        (torch.tensor([0.5 + 1j, 0]), "probs has dtype complex64: expected real numbers"),
    ):
        with pytest.raises(TypeError, match=message):
            cecore.binary_cross_entropy(bad, [0, 1])
    with pytest.raises(TypeError, match="targets is a tensor that requires grad"):
        cecore.binary_cross_entropy(p, p.clone().requires_grad_())


def test_an_array_without_end():
    class Endless:
        def __array__(self, dtype=None, copy=None):
            return self.__array__()

    with pytest.raises(TypeError, match="probs cannot be read as an array: maximum recursion depth exceeded"):
        cecore.binary_cross_entropy(Endless(), [1])


def missing():
    pandas, polars, pyarrow = map(need, ("pandas", "polars", "pyarrow"))
    yield pandas.Series([0.5, None], dtype="Float64")
    yield pandas.Series([1, None], dtype="Int64")
    yield pandas.Series([True, None], dtype="boolean")
    yield pandas.Series([0.5, None], dtype="double[pyarrow]")
    yield polars.Series([0.5, None])
    yield polars.Series([True, None])
    yield pyarrow.array([0.5, None])
    yield pyarrow.array([1, None])
    yield pyarrow.chunked_array([[0.5], [None]])


def test_missing_values():
    for column in missing():
        with pytest.raises(ValueError, match=r"probs(\[1\])? is missing: fill or drop missing values first"):
            cecore.binary_cross_entropy(column, [0, 1])
        with pytest.raises(ValueError, match=r"targets(\[1\])? is missing"):
            cecore.binary_cross_entropy([0.5, 0.5], column)
        with pytest.raises(ValueError, match=r"sample_weight(\[1\])? is missing"):
            cecore.binary_cross_entropy([0.5, 0.5], [0, 1], sample_weight=column)


def test_missing_values_of_frames():
    pandas, polars, pyarrow = map(need, ("pandas", "polars", "pyarrow"))
    columns = {"a": [0.5, None], "b": [0.5, 1.0]}
    for frame in (
        pandas.DataFrame(columns).astype("Float64"),
        polars.DataFrame(columns),
        pyarrow.table(columns),
        pyarrow.record_batch(columns),
    ):
        with pytest.raises(ValueError, match=r"probs.* is missing"):
            cecore.cross_entropy(frame, [0, 1])


def test_missing_values_within_arrays():
    polars = need("polars")
    column = polars.Series([[0.5, None], [0.25, 0.75]], dtype=polars.Array(polars.Float64, 2))
    with pytest.raises(ValueError, match=r"probs\[1\] is missing"):
        cecore.cross_entropy(column, [0, 1])
    whole = polars.Series([[0.5, 0.5], [0.25, 0.75]], dtype=polars.Array(polars.Float64, 2))
    assert cecore.cross_entropy(whole, [0, 1]) == cecore.cross_entropy([[0.5, 0.5], [0.25, 0.75]], [0, 1])
    with pytest.raises(TypeError, match=r"probs is a LazyFrame: expected real numbers. Pass probs.collect\(\)"):
        cecore.cross_entropy(polars.LazyFrame({"a": [0.5]}), [0])


def test_nan_beside_nullable_columns_is_data():
    pandas = need("pandas")
    frame = pandas.DataFrame({"a": pandas.array([1, 0], dtype="Int64"), "b": [np.nan, 0.5]})
    value = cecore.cross_entropy_with_logits(frame, [0, 1], reduction="none")
    assert np.isnan(value).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"logits\[1, 0\] is missing"):
        cecore.cross_entropy_with_logits(frame.assign(a=pandas.array([1, None], dtype="Int64")), [0, 1])


def test_nan_of_a_plain_column_is_data():
    pandas = need("pandas")
    value = cecore.binary_cross_entropy(pandas.Series([0.5, np.nan]), [0, 1], reduction="none")
    assert value[0] == math.log(2)
    assert math.isnan(value[1])


def test_masked_arrays():
    with pytest.raises(TypeError, match="probs is a masked array"):
        cecore.binary_cross_entropy(np.ma.array([0.5, 0.5], mask=[0, 1]), [0, 1])


def test_columns_are_not_copied():
    pandas, polars, pyarrow = map(need, ("pandas", "polars", "pyarrow"))
    x = np.random.default_rng(0).random(1000)
    for given in (pandas.Series(x), pandas.DataFrame({"a": x})["a"], pyarrow.array(x), polars.Series(x)):
        assert not real_array("x", given).flags.owndata


def test_tensors_are_not_copied():
    x = np.random.default_rng(0).random(1000)
    tensor = need("torch").from_numpy(x)
    assert np.shares_memory(real_array("x", tensor), x)
    assert np.shares_memory(real_array("x", OnlyDLPack(tensor)), x)
