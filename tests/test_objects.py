"""The loss objects: options, identity, and the module around them."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import pickle
import subprocess
import sys

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
    assert loss.kind(eps=0) == loss.kind(eps=-0.0) == loss.kind(eps=np.float32(0))
    assert loss.kind(reduction="sum") != loss.kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.kind().eps = 0.1
    with pytest.raises(TypeError, match="positional"):
        loss.kind("mean")


@each_loss
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reduction": "average"}, ValueError, "reduction = 'average': expected one of 'mean', 'sum', 'none'"),
        ({"reduction": None}, ValueError, "reduction = None"),
        ({"gradient_outside": "cut"}, ValueError, "gradient_outside = 'cut': expected one of 'clipped', 'zero'"),
        ({"eps": 0.5}, ValueError, "eps = 0.5: expected 0 <= eps < 0.5"),
        ({"eps": -1e-9}, ValueError, "eps = -1e-09"),
        ({"eps": float("nan")}, ValueError, "eps = nan"),
        ({"eps": "1e-7"}, TypeError, "eps = '1e-7': expected a real number"),
        ({"eps": True}, TypeError, "eps = True"),
        ({"eps": False}, TypeError, "eps = False"),
        ({"eps": np.array(0.1)}, TypeError, r"eps = array\(0.1\)"),
        ({"reduction": ["mean"]}, ValueError, r"reduction = \['mean'\]"),
        ({"epsilon": 1e-7}, TypeError, "epsilon"),
    ],
)
def test_bad_options(loss, options, error, message):
    with pytest.raises(error, match=message):
        loss.kind(**options)
    with contextlib.suppress(ValueError):
        loss.function(0.5, 1, eps=1)  # True is not this
    loss.function([0.5], [1] if loss.binary else 0, eps=0)
    with pytest.raises(error, match=message):
        loss.function(0.5, 1, **options)


@each_loss
def test_the_function_has_the_options_of_the_class(loss):
    options = set(inspect.signature(loss.kind).parameters)
    parameters = inspect.signature(loss.function).parameters
    assert options == set(parameters) - {"probs", "logits", "targets", "sample_weight"}
    for name in options:
        assert parameters[name].default == inspect.signature(loss.kind).parameters[name].default


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


def test_show_config(capsys):
    cecore.show_config()
    printed = capsys.readouterr().out
    assert printed.startswith(f"cecore {cecore.__version__}\n")
    for word in ("NumPy", "threads", "compiler", "flags", *_dispatch.LEVELS):
        assert word in printed
    assert printed.count("in use") == 1


def test_the_import_brings_numpy_alone():
    done = run("import sys, numpy; n = set(sys.modules); import cecore; print(sorted(set(sys.modules) - n))")
    extra = {name.partition(".")[0] for name in eval(done.stdout)}
    assert extra - set(sys.stdlib_module_names) <= {"cecore", "numpy", "_cython_3_3_1"} | {
        name for name in extra if name.startswith(("_cython", "cython_runtime"))
    }
