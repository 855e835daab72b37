"""Print which library gets which case of tests/torture.json right, and compute the exact results of the cases.

    python tools/torture.py              print the tables for the libraries that are installed
    python tools/torture.py --failures   also print what each library returned for the cases it fails
    python tools/torture.py --docs       write the tables into docs/torture.md
    python tools/torture.py --write      compute every "exact" again and rewrite tests/torture.json

A library passes a case if every number has a relative error of at most 1e-6 (float64), 1e-3 (float32) or 2e-2 (float16,
bfloat16). A number must be infinite or NaN exactly where the exact result is infinite or NaN. If the input is invalid,
the library passes if it raises an exception. A library may replace numbers below the smallest normal number of their
dtype by 0.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from mpmath import mpf

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import reference
from torture_cases import CLASSES, FILE, Case, case_of, dtype_of, nested_map, rows

DOCS = Path(__file__).parents[1] / "docs" / "torture.md"
MARKS = ("<!-- table -->", "<!-- /table -->")
RELATIVE = {"float64": 1e-6, "float32": 1e-3, "float16": 2e-2, "bfloat16": 2e-2}
DIGITS = 1000  # working precision: 1 - exp(-700) has to keep its tail


class Absent(Exception):
    """The library has no such function or option."""


class OtherMeaning(Exception):
    """The library documents a different definition."""


# ---------------------------------------------------------------- exact results


def exact(case: Case) -> list[Any]:
    """Return the parts of the result as nested lists of mpmath numbers."""
    if case.method == "call":
        lines = case.x.reshape(-1, 1 if case.function == "sigmoid" else case.x.shape[-1])
        found = []
        for line in lines:
            z = [reference.real(v) for v in line]
            classes = reference.softmax([mpf(0), *z])[1:] if case.function == "sigmoid" else reference.softmax(z)
            found += [log if case.function == "log_softmax" else p for p, _, log in classes]
        return [np.array(found, object).reshape(case.x.shape).tolist()]
    options = {"binary": case.binary, "logits": case.logits, "sample_weight": case.sample_weight, **case.options}
    result = reference.evaluate(case.x, case.targets, **options)
    parts = {"forward": [result.value], "backward": [result.gradient]}.get(case.method, [result.first, result.second])
    return [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]


def text(number: Any) -> str:
    if mpmath.isnan(number):
        return "nan"
    return mpmath.nstr(mpf(number), 25) if not mpmath.isinf(number) else "inf" if number > 0 else "-inf"


def renewed(row: dict[str, Any]) -> dict[str, Any]:
    found = row["exact"]
    if not (isinstance(found, dict) and "error" in found):
        with mpmath.workdps(DIGITS):
            parts = nested_map(text, exact(case_of({**row, "exact": None})))
        found = dict(zip(("gradient", "hessian"), parts, strict=True)) if len(parts) == 2 else parts[0]
    return {key: found if key == "exact" else value for key, value in row.items()}


def save(table: list[dict[str, Any]]) -> None:
    """Write one key per line, and each list on one line, so that a diff shows exactly what changed."""
    blocks = []
    for row in map(renewed, table):
        lines = [f"    {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in row.items()]
        blocks.append("  {\n" + ",\n".join(lines) + "\n  }")
    FILE.write_text("[\n" + ",\n".join(blocks) + "\n]\n")


# ---------------------------------------------------------------- what the adapters share


def need(possible: bool) -> None:
    if not possible:
        raise Absent


def same(meaning: bool) -> None:
    if not meaning:
        raise OtherMeaning


def only(case: Case, *options: str) -> None:
    """Raise Absent if the case uses other options than these. An option at its neutral value counts as unused."""
    neutral = {"mean_over": "weights", "label_smoothing": 0.0, "gradient_outside": "clipped"}
    used = {name for name, value in case.options.items() if neutral.get(name) != value}
    need(used <= {"reduction", "eps", *options})


def clips(case: Case) -> bool:
    """Return whether clipping changes the result: a probability that is read lies outside [eps, 1 - eps]."""
    eps, x = case.options.get("eps", 1e-7), case.x.astype(np.float64)
    outside = (x < eps) | (1 - x < eps) if eps else (x == 0) | (x == 1)
    if case.labels:
        return bool(np.take_along_axis(outside, case.targets[:, None], -1).any())
    return bool(outside.any())


def log_below(case: Case, least: float) -> bool:
    x = case.x.astype(np.float64)
    return bool((np.minimum(x, 1 - x) < np.exp(least)).any())


def soft(case: Case) -> bool:
    return not np.isin(np.asarray(case.targets, np.float64), [0, 1]).all()


def reduced(case: Case, losses: Any, module: Any) -> Any:
    return losses if case.reduction == "none" else getattr(module, case.reduction)(losses)


def one_hot(case: Case) -> np.ndarray:
    return np.eye(case.x.shape[-1], dtype=np.float32)[case.targets] if case.labels else case.targets


# ---------------------------------------------------------------- the libraries


def with_cecore(case: Case) -> list[Any]:
    cecore = importlib.import_module("cecore")
    name = CLASSES.get(case.function, case.function)
    need(hasattr(cecore, name))
    if case.method == "call":
        return [getattr(cecore, name)(case.x)]
    got = getattr(getattr(cecore, name)(**case.options), case.method)(
        case.x, case.targets, sample_weight=case.sample_weight
    )
    return list(got) if case.method == "gradient_hessian" else [got]


def with_torch(case: Case) -> list[Any]:
    torch = importlib.import_module("torch")
    functional = torch.nn.functional
    dtype = getattr(torch, case.dtype)

    def tensor(values: Any) -> Any:
        return torch.from_numpy(np.array(values, np.float64)).to(dtype)

    x = tensor(case.x).requires_grad_()
    if case.method == "call":
        apply = getattr(torch, case.function)
        return [(apply(x) if case.function == "sigmoid" else apply(x, -1)).detach().double().numpy()]
    reduction = "sum" if case.method == "gradient_hessian" else case.reduction
    weighted_mean = case.sample_weight is not None and reduction == "mean"
    weight = None if case.sample_weight is None else tensor(case.sample_weight)
    if case.binary:
        t = torch.from_numpy(case.targets) if case.given_dtype else tensor(case.targets)
        same(not weighted_mean)  # PyTorch divides the mean by the count
        if case.logits:
            only(case, "pos_weight")
            pos = case.options.get("pos_weight")
            apply, options = functional.binary_cross_entropy_with_logits, {}
            options = {} if pos is None else {"pos_weight": tensor(pos)}
        else:
            only(case)
            # PyTorch does not clip; it limits the logarithm to -100
            same(case.error is not None or not (clips(case) or log_below(case, -100)))
            apply, options = functional.binary_cross_entropy, {}
        loss = apply(x, t, weight=weight, reduction=reduction, **options)
    else:
        need(case.logits and weight is None)
        need(not case.given_dtype or case.targets.dtype in (np.int64, np.uint8))  # the documented label dtypes
        only(case, "class_weight", "ignore_index", "label_smoothing", "mean_over")
        w = case.options.get("class_weight")
        if w is not None and reduction == "mean":
            same(case.labels and case.options.get("mean_over") != "count")
        loss = functional.cross_entropy(
            x,
            torch.from_numpy(case.targets) if case.labels else tensor(case.targets),
            weight=None if w is None else tensor(w),
            ignore_index=case.options.get("ignore_index", -100),
            reduction=reduction,
            label_smoothing=case.options.get("label_smoothing", 0.0),
        )
    if case.method == "forward":
        return [loss.detach().double().numpy()]
    (gradient,) = torch.autograd.grad(loss.sum(), x, create_graph=case.method == "gradient_hessian")
    parts = [gradient]
    if case.method == "gradient_hessian":
        columns = [gradient] if case.binary else [gradient[:, k] for k in range(x.shape[1])]
        rows_of = [torch.autograd.grad(column.sum(), x, retain_graph=True)[0] for column in columns]
        parts.append(rows_of[0] if case.binary else torch.stack([r[:, k] for k, r in enumerate(rows_of)], 1))
    return [part.detach().double().numpy() for part in parts]


def differentiated(case: Case, losses: Any) -> list[Any]:
    """Return the results of the case's method, from a JAX function of the logits or probabilities."""
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")
    x = jnp.asarray(case.x)
    if case.method == "forward":
        return [reduced(case, losses(x), jnp)]
    total = jnp.mean if case.method == "backward" and case.reduction == "mean" else jnp.sum
    gradient = jax.grad(lambda v: total(losses(v)))
    parts = [gradient(x)]
    if case.method == "gradient_hessian":
        if case.binary:
            parts.append(jax.grad(lambda v: jnp.sum(gradient(v)))(x))
        else:
            diagonal = [jax.grad(lambda v, k=k: jnp.sum(gradient(v)[:, k]))(x)[:, k] for k in range(x.shape[1])]
            parts.append(jnp.stack(diagonal, 1))
    return parts


def with_jax(case: Case) -> list[Any]:
    need(case.method == "call")
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    same(case.function == "sigmoid" or not np.isposinf(case.x.astype(np.float64)).any())  # JAX documents NaN
    return [getattr(jax.nn, case.function)(case.x)]


def with_optax(case: Case) -> list[Any]:
    jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
    jax.config.update("jax_enable_x64", True)
    need(case.logits and case.sample_weight is None)
    only(case, "label_smoothing", "focal_gamma")
    a, gamma = case.options.get("label_smoothing", 0.0), case.options.get("focal_gamma")
    if case.binary:
        need(not a)
        t = case.targets if case.given_dtype else case.targets.astype(dtype_of(case.dtype))
        if gamma is not None:
            return differentiated(case, lambda z: optax.sigmoid_focal_loss(z, t, gamma=gamma))
        return differentiated(case, lambda z: optax.sigmoid_binary_cross_entropy(z, t))
    need(gamma is None)
    if case.labels and not a:
        return differentiated(case, lambda z: optax.softmax_cross_entropy_with_integer_labels(z, case.targets))
    t = optax.smooth_labels(one_hot(case).astype(dtype_of(case.dtype)), a)
    return differentiated(case, lambda z: optax.softmax_cross_entropy(z, t))


def with_keras(case: Case) -> list[Any]:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    importlib.import_module("jax").config.update("jax_enable_x64", True)
    keras = importlib.import_module("keras")
    keras.config.set_floatx(case.dtype)
    if case.method == "call":
        return [getattr(keras.ops, case.function)(case.x)]
    only(case, "label_smoothing", "focal_gamma")
    need(case.sample_weight is None)
    eps = case.options.get("eps", 1e-7)
    need(case.logits or eps)
    keras.config.set_epsilon(eps)
    if not case.logits and case.method != "forward" and clips(case):
        raise OtherMeaning  # Keras differentiates the clipped loss
    a, gamma = case.options.get("label_smoothing", 0.0), case.options.get("focal_gamma")
    losses = keras.losses
    if case.binary:
        t = case.targets if case.given_dtype or case.error else case.targets.astype(dtype_of(case.dtype))
        if gamma is None and not a:
            return differentiated(case, lambda z: keras.ops.binary_crossentropy(t, z, from_logits=case.logits))
        options = {"from_logits": case.logits, "label_smoothing": a, **({} if gamma is None else {"gamma": gamma})}
        apply = losses.binary_crossentropy if gamma is None else losses.binary_focal_crossentropy
        return differentiated(case, lambda z: apply(t[..., None], z[..., None], **options))  # mean over the last axis
    need(gamma is None)
    if case.labels and not a:
        apply = losses.sparse_categorical_crossentropy
        return differentiated(case, lambda z: apply(case.targets, z, from_logits=case.logits))
    t = one_hot(case).astype(dtype_of(case.dtype))
    apply = losses.categorical_crossentropy
    return differentiated(case, lambda z: apply(t, z, from_logits=case.logits, label_smoothing=a))


def with_sklearn(case: Case) -> list[Any]:
    need(case.method != "call")
    only(case)
    return sklearn_logits(case) if case.logits else sklearn_log_loss(case)


def sklearn_log_loss(case: Case) -> list[Any]:
    metrics = importlib.import_module("sklearn.metrics")
    need(case.x.ndim == (1 if case.binary else 2))  # log_loss reads a column as a vector
    losses = case.x.size if case.binary else len(case.x)
    need(case.method == "forward" and (case.reduction != "none" or losses == 1 or case.error is not None))
    need(case.error is not None or case.labels or not soft(case))
    if case.error is None and clips(case):  # documented: log_loss clips at the epsilon of the dtype
        same(case.options.get("eps", 1e-7) == np.finfo(case.dtype).eps)
    classes = [0, 1] if case.binary else range(case.x.shape[-1])
    t = case.targets if case.binary or case.labels else case.targets.argmax(-1)
    options = {"labels": classes, "normalize": case.reduction == "mean", "sample_weight": case.sample_weight}
    loss = metrics.log_loss(t, case.x, **options)
    return [np.reshape(loss, (1,)) if case.reduction == "none" else loss]


def sklearn_logits(case: Case) -> list[Any]:
    module = importlib.import_module("sklearn._loss")
    need(case.dtype in ("float64", "float32") and case.x.size > 0)
    need(case.x.ndim == (1 if case.binary else 2))
    need(case.binary or case.labels or not soft(case))
    need(case.method != "backward" or case.reduction == "none")
    need(case.error is None)  # private functions leave checks to their callers
    made = module.HalfBinomialLoss() if case.binary else module.HalfMultinomialLoss(n_classes=case.x.shape[-1])
    if case.binary:
        t = case.targets
    else:
        need(case.labels or (case.targets.sum(-1) == 1).all())
        t = case.targets if case.labels else case.targets.argmax(-1)
    inputs = {"y_true": t.astype(case.x.dtype), "raw_prediction": case.x, "sample_weight": case.sample_weight}
    if case.method == "gradient_hessian":
        return list(made.gradient_hessian(**inputs))
    if case.method == "backward":
        return [made.gradient(**inputs)]
    if case.reduction == "mean":
        return [made(**inputs)]
    return [reduced(case, made.loss(**inputs), np)]


def with_scipy(case: Case) -> list[Any]:
    special = importlib.import_module("scipy.special")
    if case.method == "call":
        need(case.dtype != "bfloat16")
        return [special.expit(case.x) if case.function == "sigmoid" else getattr(special, case.function)(case.x, -1)]
    only(case)
    need(case.method == "forward" and case.error is None and case.sample_weight is None)
    need(case.dtype != "bfloat16")
    if case.logits:
        if case.binary:
            need(not soft(case))
            return [reduced(case, -special.log_expit(np.where(case.targets == 1, case.x, -case.x)), np)]
        need(case.labels)
        logs = special.log_softmax(case.x, -1)
        return [reduced(case, -np.take_along_axis(logs, case.targets[:, None], -1)[:, 0], np)]
    need(not (case.options.get("eps", 1e-7) and clips(case)))  # SciPy does not clip
    t = one_hot(case)
    losses = -special.xlogy(t, case.x)
    losses = losses - special.xlog1py(1 - t, -case.x) if case.binary else losses.sum(-1)
    return [reduced(case, losses, np)]


def with_xgboost(case: Case) -> list[Any]:
    """Use the metrics and predictions of a model without trees, whose margins are the logits."""
    xgboost = importlib.import_module("xgboost")
    need(case.dtype == "float32" and case.x.ndim == (1 if case.function == "sigmoid" or case.binary else 2))
    binary = case.binary or case.function == "sigmoid"
    need(case.method == "call" or (case.logits and case.method == "forward" and case.sample_weight is None))
    need(case.function != "log_softmax")
    settings = {"objective": "binary:logistic", "base_score": 0.5, "eval_metric": "logloss"}
    if not binary:
        settings = {"objective": "multi:softprob", "num_class": case.x.shape[-1], "eval_metric": "mlogloss"}
    if case.method == "call":
        data = xgboost.DMatrix(np.zeros((len(case.x), 1)), base_margin=case.x)
        return [xgboost.Booster(settings, [data]).predict(data)]
    only(case)
    need(binary or case.labels)
    parts = [slice(None)] if case.reduction == "mean" else [slice(i, i + 1) for i in range(len(case.x))]
    found = []
    for part in parts:
        z, t = case.x[part], case.targets[part]
        data = xgboost.DMatrix(np.zeros((len(z), 1)), label=t, base_margin=z)
        found.append(float(xgboost.Booster(settings, [data]).eval(data).rsplit(":", 1)[1]))
    return [found[0] if case.reduction == "mean" else reduced(case, np.array(found), np)]


LIBRARIES = {
    "cecore": (with_cecore, "cecore"),
    "PyTorch": (with_torch, "torch"),
    "optax": (with_optax, "optax"),
    "JAX": (with_jax, "jax"),
    "Keras": (with_keras, "keras"),
    "scikit-learn": (with_sklearn, "sklearn"),
    "SciPy": (with_scipy, "scipy"),
    "XGBoost": (with_xgboost, "xgboost"),
}


# ---------------------------------------------------------------- the table


def right(case: Case, parts: list[Any]) -> bool:
    tiny = mpf(float(np.finfo(np.float32 if case.dtype == "bfloat16" else case.dtype).smallest_normal))
    for part, want in zip(parts, case.exact, strict=True):
        got = np.asarray(part, np.float64)
        if got.shape != want.shape:
            return False
        for g, e in zip(got.reshape(-1), want.reshape(-1), strict=True):
            if not np.isfinite(g) or not mpmath.isfinite(e):
                beyond = not mpmath.isnan(e) and abs(e) >= float(np.finfo(dtype_of(case.dtype)).max)
                if not (np.isnan(g) and mpmath.isnan(e)) and not (np.isinf(g) and beyond and (g > 0) == (e > 0)):
                    return False
            elif abs(mpf(float(g)) - e) > max(RELATIVE[case.dtype] * abs(e), tiny):
                return False
    return True


def outcome(case: Case, adapter: Any) -> tuple[str, str]:
    """Return a word for the table, and the result or exception as text."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            parts = [np.asarray(part) for part in adapter(case)]
    except Absent:
        return "-", ""
    except OtherMeaning:
        return "other definition", ""
    except Exception as error:  # any exception counts as a rejection
        if case.error:
            return "passes", ""
        strange = not np.isfinite(case.x.astype(np.float64)).all()
        return "other definition" if strange else "fails", f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if case.error:
        return "fails", f"accepted: {parts}"
    return ("passes" if right(case, parts) else "fails"), f"{[p.tolist() for p in parts]}"


def installed() -> tuple[dict[str, Any], dict[str, str], list[str]]:
    found, versions, missing = {}, {}, []
    os.environ.setdefault("KERAS_BACKEND", "jax")
    for name, (adapter, module) in LIBRARIES.items():
        try:
            versions[name] = getattr(importlib.import_module(module), "__version__", "?")
            found[name] = adapter
        except ImportError:
            missing.append(name)
    return found, versions, missing


def table(failures: bool) -> str:
    adapters, versions, missing = installed()
    every = [case_of(row) for row in rows()]
    head = ["case", *adapters, "report"]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    counts = {name: Counter() for name in adapters}
    for case in every:
        words = []
        for name, adapter in adapters.items():
            word, detail = outcome(case, adapter)
            counts[name][word] += 1
            words.append("**fails**" if word == "fails" else word)
            if failures and word == "fails":
                want = case.error or [[float(v) for v in part.reshape(-1)] for part in case.exact]
                print(f"{case.name}, {name}: {detail}\n    exact: {want}")
        repository, number = case.source.split("#")
        link = f"[{case.source}](https://github.com/{repository}/issues/{number})"
        lines.append("| " + " | ".join([f"`{case.name}`", *words, link]) + " |")
    summary = ["| library | passes | fails | other definition | - |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, count in counts.items():
        numbers = [str(count[word]) for word in ("passes", "fails", "other definition", "-")]
        summary.append("| " + " | ".join([f"{name} {versions[name]}", *numbers]) + " |")
    note = [f"Not installed: {', '.join(missing)}."] if missing else []
    python = f"{len(every)} cases, run with Python {sys.version.split()[0]} and NumPy {np.__version__}."
    return "\n\n".join([python, "\n".join(summary), "\n".join(lines), *note])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--failures", action="store_true", help="also print what each library returned for the cases it fails"
    )
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/torture.md")
    parser.add_argument("--write", action="store_true", help="compute the exact results again, into tests/torture.json")
    options = parser.parse_args()
    if options.write:
        save(rows())
        return
    text_of = table(options.failures)
    if not options.docs:
        print(text_of)
        return
    before, _, rest = DOCS.read_text().partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    DOCS.write_text(f"{before}{MARKS[0]}\n\n{text_of}\n\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
