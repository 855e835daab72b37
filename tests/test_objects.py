"""The loss objects: options, identity, and the module around them."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import pickle
import subprocess
import sys
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest
from registry import LOSSES

import cecore
from cecore import _dispatch

each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


@each_loss
def test_objects_are_values(loss):
    for options in loss.combinations():
        one = loss.kind(**options)
        other = pickle.loads(pickle.dumps(one))
        assert one == other
        assert hash(one) == hash(other)
        assert eval(repr(one), vars(cecore)) == one
    name = "focal_gamma" if loss.logits else "eps"
    assert loss.kind(**{name: 0}) == loss.kind(**{name: -0.0}) == loss.kind(**{name: np.float32(0)})
    assert repr(loss.kind(**{name: -0.0})) == repr(loss.kind(**{name: 0.0}))
    assert loss.kind(reduction="sum") != loss.kind()
    changed = loss.kind(label_smoothing=0.25, **{name: 0.125}).replace(reduction="sum")
    assert changed == loss.kind(label_smoothing=0.25, reduction="sum", **{name: 0.125})
    for name in (*inspect.signature(loss.kind).parameters, "new"):
        with pytest.raises(AttributeError, match="cannot be changed"):
            setattr(loss.kind(), name, "sum")
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(loss.kind(), name)
    with pytest.raises(TypeError, match=rf"options are keyword-only: {loss.kind.__name__}\(reduction='mean'\)"):
        loss.kind("mean")
    with pytest.raises(TypeError, match="Loss has no formula"):
        cecore.Loss()


def test_losses_can_be_subclassed():
    class Registered:
        kinds: ClassVar = []

        def __init_subclass__(cls, **options):
            super().__init_subclass__(**options)
            Registered.kinds.append(cls)

    class Named(cecore.BinaryCrossEntropy, Registered):
        __slots__ = "name"

    class Sum(cecore.CrossEntropy):
        def __init__(self, **options):
            super().__init__(reduction="sum", **options)

    assert Registered.kinds == [Named]
    assert Named(eps=0.25) == Named(eps=0.25) != cecore.BinaryCrossEntropy(eps=0.25)
    assert repr(Named()).startswith("Named(reduction='mean'")
    assert Named().replace(eps=0.1) == Named(eps=0.1)
    assert Sum(axis=0)([[0.25], [0.75]], [1]) == cecore.cross_entropy([[0.25], [0.75]], [1], axis=0, reduction="sum")


def test_losses_compare_with_anything():
    assert cecore.CrossEntropy() == mock.ANY
    assert cecore.CrossEntropy() != 1
    assert cecore.CrossEntropy() != cecore.CrossEntropyWithLogits()


BAD_OPTIONS = [
    (
        {"reduction": "average"},
        ValueError,
        "reduction = 'average': expected 'mean', 'sum' or 'none'. Did you mean 'mean'",
    ),
    ({"reduction": None}, ValueError, "reduction = None"),
    ({"gradient_outside": "cut"}, ValueError, "gradient_outside = 'cut': expected 'clipped' or 'zero'"),
    ({"eps": 0.5}, ValueError, "eps = 0.5: expected 0 <= eps < 0.5"),
    ({"eps": -1e-9}, ValueError, "eps = -1e-09"),
    ({"eps": float("nan")}, ValueError, "eps = nan"),
    ({"eps": "1e-7"}, TypeError, "eps = '1e-7': expected a real number"),
    ({"eps": True}, TypeError, "eps = True"),
    ({"eps": False}, TypeError, "eps = False"),
    ({"eps": np.array(0.1)}, TypeError, r"eps = array\(0.1\)"),
    ({"reduction": ["mean"]}, ValueError, r"reduction = \['mean'\]"),
    ({"epsilon": 1e-7}, TypeError, "epsilon"),
    ({"mean_over": "rows"}, ValueError, "mean_over = 'rows': expected 'weights' or 'count'"),
    ({"label_smoothing": 1.5}, ValueError, "label_smoothing = 1.5: expected a number from 0 to 1"),
    ({"label_smoothing": -0.1}, ValueError, "label_smoothing = -0.1"),
    ({"label_smoothing": None}, TypeError, "label_smoothing = None: expected a real number"),
    ({"focal_gamma": -1}, ValueError, "focal_gamma = -1: expected a number from 0 to 1e6"),
    ({"focal_gamma": float("inf")}, ValueError, "focal_gamma = inf"),
    ({"pos_weight": -1}, ValueError, "pos_weight = -1: expected a finite number >= 0"),
    ({"pos_weight": [1, float("nan")]}, ValueError, r"pos_weight\[1\] = nan is not a weight: weights must be finite"),
    ({"pos_weight": [1, float("inf")]}, ValueError, r"pos_weight\[1\] = inf is not a weight: weights must be finite"),
    ({"class_weight": [float("inf"), 1]}, ValueError, r"class_weight\[0\] = inf is not a weight"),
    ({"pos_weight": [[1.0]]}, ValueError, r"pos_weight has shape \(1, 1\): expected one dimension"),
    ({"pos_weight": [[1, 2], [1]]}, ValueError, "pos_weight is not an array of numbers"),
    ({"pos_weight": "2"}, TypeError, "pos_weight = '2': expected a real number"),
    ({"class_weight": [1, -1]}, ValueError, r"class_weight\[1\] = -1.0 is negative: weights must be finite and >= 0$"),
    ({"class_weight": 2.0}, ValueError, r"class_weight has shape \(\): expected one dimension"),
    ({"class_weight": []}, ValueError, r"class_weight has shape \(0,\)"),
    ({"class_weight": ["a"]}, TypeError, "class_weight holds strings \\(dtype <U1\\): expected numbers"),
    ({"ignore_index": 1.0}, TypeError, "ignore_index = 1.0: expected an integer"),
    (
        {"ignore_index": 1 << 64},
        ValueError,
        "ignore_index = 18446744073709551616: expected -9223372036854775808..1",
    ),
    ({"axis": None}, TypeError, "axis = None: expected an integer"),
    ({"axis": True}, TypeError, "axis = True"),
    ({"axis": 64}, ValueError, "axis = 64: expected -64..63"),
]


def of_loss(loss, options):
    return set(options) <= set(inspect.signature(loss.kind).parameters) | {"epsilon"}


@pytest.mark.parametrize(
    ("loss", "options", "error", "message"),
    [(loss, *row) for loss in LOSSES for row in BAD_OPTIONS if of_loss(loss, row[0])],
)
def test_bad_options(loss, options, error, message):
    with pytest.raises(error, match=message):
        loss.kind(**options)
    with contextlib.suppress(ValueError, TypeError):
        loss.function(0.5, 1, **dict.fromkeys(options, 1))  # True is not this
    with pytest.raises(error, match=message):
        loss.function(0.5, 1, **options)


def test_weights_are_kept_as_immutable_numbers():
    for weights in ([1, 2.5], (1, 2.5), np.array([1, 2.5]), np.array([1, 2.5], np.float32)):
        assert LOSSES[0].kind(pos_weight=weights).pos_weight == (1.0, 2.5)
        assert LOSSES[1].kind(class_weight=weights) == LOSSES[1].kind(class_weight=[1, 2.5])
    for weight in (2, 2.0, np.float32(2), np.array(2)):
        assert LOSSES[2].kind(pos_weight=weight).pos_weight == 2.0
    loss = LOSSES[3].kind(class_weight=[1, 2], ignore_index=np.int8(-1), axis=0, label_smoothing=0.1, focal_gamma=2)
    assert pickle.loads(pickle.dumps(loss)) == loss == copy.deepcopy(loss)
    assert loss.replace(axis=1).axis == 1
    x = np.random.default_rng(0).normal(size=(2, 3))
    again = pickle.loads(pickle.dumps(loss))
    assert again(x, [0, 1, 1]) == loss(x, [0, 1, 1])
    assert loss.replace(class_weight=None)(x, [0, 1, 1]) != loss(x, [0, 1, 1])


@each_loss
def test_the_function_has_the_options_of_the_class(loss):
    options = set(inspect.signature(loss.kind).parameters) - {"positional"}
    parameters = inspect.signature(loss.function).parameters
    assert options == set(parameters) - {"probs", "logits", "targets", "sample_weight"}
    for name in options - {"unknown"}:
        assert parameters[name].default == inspect.signature(loss.kind).parameters[name].default


def test_the_functions_see_a_change_of_their_options():
    class Weights:
        """Hashable, and mutable: as a tensor."""

        def __init__(self):
            self.array = np.ones(2)

        def __array__(self, dtype=None, copy=None):
            return np.array(self.array, dtype)

    weights, p = Weights(), [[0.9, 0.1], [0.4, 0.6]]
    before = cecore.cross_entropy(p, [0, 1], class_weight=weights)
    weights.array[:] = [100, 1]
    after = cecore.cross_entropy(p, [0, 1], class_weight=weights)
    assert after == cecore.CrossEntropy(class_weight=[100, 1]).forward(p, [0, 1]) != before


def test_every_public_name_is_documented():
    for name in cecore.__all__:
        thing = getattr(cecore, name)
        if callable(thing):
            assert thing.__doc__, name
            assert name == "show_config" or "Examples" in thing.__doc__, name


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", _dispatch.LEVELS)
def test_the_level_can_be_lowered(name):
    done = run("import cecore._dispatch as d; print(d.chosen)", CECORE_SIMD=name)
    lower = [n for n in _dispatch.usable if _dispatch.LEVELS[n] <= _dispatch.LEVELS[name]]
    assert done.stdout.strip() == lower[-1], done.stderr


def test_an_unknown_level_is_an_error():
    done = run("import cecore", CECORE_SIMD="avx")
    assert "CECORE_SIMD = 'avx': expected one of baseline, x86_v3, x86_v4" in done.stderr


def test_levels_that_cannot_be_used(monkeypatch):
    def raising(error):
        def fail(name):
            raise error

        return fail

    name = list(_dispatch.LEVELS)[-1]
    monkeypatch.setattr(_dispatch, "baseline", mock.Mock(cpu_level=lambda: _dispatch.LEVELS[name] - 1))
    assert _dispatch._load(name) == "not supported by this CPU"
    monkeypatch.setattr(_dispatch, "baseline", mock.Mock(cpu_level=lambda: _dispatch.LEVELS[name]))
    monkeypatch.setattr(_dispatch.importlib, "import_module", raising(ModuleNotFoundError("gone")))
    assert _dispatch._load(name) == "not built"
    monkeypatch.setattr(_dispatch.importlib, "import_module", raising(ImportError("undefined symbol")))
    assert _dispatch._load(name) == "not importable: undefined symbol"


def test_show_config(capsys):
    cecore.show_config()
    printed = capsys.readouterr().out
    assert printed.startswith(f"cecore {cecore.__version__}\n")
    for word in ("NumPy", "threads", "compiler", "flags", *_dispatch.LEVELS):
        assert word in printed
    assert printed.count("in use") == 1


def test_masked_arrays_are_not_imported_for_a_list():
    code = "import sys, numpy; n = set(sys.modules); import cecore; cecore.binary_cross_entropy([0.5], [1]);"
    done = run(f"{code} print('numpy.ma' in set(sys.modules) - n)")
    assert done.stdout.strip() == "False", done.stderr


def test_the_import_brings_numpy_alone():
    done = run("import sys, numpy; n = set(sys.modules); import cecore; print(sorted(set(sys.modules) - n))")
    extra = {name.partition(".")[0] for name in eval(done.stdout)}
    assert extra - set(sys.stdlib_module_names) <= {"cecore", "numpy", "_cython_3_3_1"} | {
        name for name in extra if name.startswith(("_cython", "cython_runtime"))
    }
