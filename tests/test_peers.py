"""The losses and activations against PyTorch, scikit-learn, SciPy and Optax, in float64, to 1e-12.

A row of a table has what cecore is given and what the peer is asked. Rows of a peer that is not installed are skipped;
the extra ``compare`` installs all. Where a peer means something else or is less exact, the row asks what both agree on:

- PyTorch's mean divides by the number of losses with probability targets and with ``weight=`` of the binary losses,
  where cecore divides by the sum of weights: ``mean_over="count"``.
- Its `binary_cross_entropy` cuts logarithms at -100, bounds the gradient's divisor by 1e-12 and adds 1e-12 to p in the
  second derivative: moderate probabilities, and autograd of `definition` for the second derivative.
- scikit-learn, and SciPy's `logsumexp` and `log_softmax`, lose a tiny loss beside a large logit: an absolute tolerance.
- Optax's focal loss takes soft targets into the probability, cecore into the loss: hard labels.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cecore
from cecore import BinaryCrossEntropy, BinaryCrossEntropyWithLogits, CrossEntropy, CrossEntropyWithLogits

pytestmark = [
    pytest.mark.usefixtures("level"),
    pytest.mark.filterwarnings("ignore::cecore.InputWarning"),  # some rows do not sum to 1, on purpose
]
BINARY = (BinaryCrossEntropy, BinaryCrossEntropyWithLogits)
LOGITS = (BinaryCrossEntropyWithLogits, CrossEntropyWithLogits)


def peer(module: str) -> Any:
    return pytest.importorskip(module, reason=f"{module} is not installed: pip install 'cecore[compare]'")


def table(columns: str, rows: dict[str, tuple[Any, ...]]) -> Any:
    return pytest.mark.parametrize(columns, [pytest.param(*row, id=name) for name, row in rows.items()])


def by_name(losses: dict[type, dict[str, tuple[Any, ...]]]) -> dict[str, tuple[Any, ...]]:
    return {f"{kind.__name__}, {name}": (kind, *row) for kind, found in losses.items() for name, row in found.items()}


def close(got: Any, want: Any, atol: float = 1e-12) -> None:
    want = np.asarray(want)
    assert np.shape(got) == want.shape
    assert want.any(), "nothing is compared"
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=atol)


# ---------------------------------------------------------------- arrays

rng = np.random.default_rng(20)
N, C, L = 16, 6, 5
z = rng.normal(0, 3, (N, C))  # logits: elements of the binary losses, rows of the categorical ones
far = np.where(rng.random((N, C)) < 0.5, 40, 1) * z  # beyond where a sigmoid rounds to 0 or 1
shifted = z + rng.normal(0, 1e6, (N, 1))  # each row with a large offset
masked = np.where(rng.random((N, C)) < 0.2, -np.inf, z)
masked[:, 0] = z[:, 0]
cube = rng.normal(0, 3, (4, C, L))
p = rng.uniform(0.02, 0.98, (N, C))
edge = np.where(rng.random((N, C)) < 0.3, rng.choice([0, 1, 1e-9, 1 - 1e-9, 4e-4], (N, C)), p)
rows = rng.dirichlet(np.full(C, 2), N)
rows_cube = np.moveaxis(rng.dirichlet(np.full(C, 2), (4, L)), -1, 1)

y = rng.integers(0, 2, (N, C)).astype(float)
soft = rng.random((N, C))
label = rng.integers(0, C, N)
label_cube = rng.integers(0, C, (4, L))
some = np.where(rng.random(N) < 0.3, -100, label)
some_cube = np.where(rng.random((4, L)) < 0.3, -100, label_cube)
first = np.zeros(N, int)
t = rng.dirichlet(np.ones(C), N)
t_cube = np.moveaxis(rng.dirichlet(np.ones(C), (4, L)), -1, 1)
loose = rng.random((N, C)) / 3  # distributions that do not sum to one

W = rng.uniform(0.2, 3, C)
w = rng.uniform(0, 2, N) * (rng.random(N) < 0.8)  # sample_weight of rows
w_each = rng.uniform(0, 2, (N, C)) * (rng.random((N, C)) < 0.8)  # and of elements
BY_COUNT = {"mean_over": "count"}
SMOOTH = {"label_smoothing": 0.1}
POS, CLASS = {"pos_weight": W}, {"class_weight": W}
IGNORE, AXIS = {"ignore_index": -100}, {"axis": 1}
CLIPPED = {"eps": 1e-3, "gradient_outside": "clipped"}
ZERO = {"eps": 1e-3, "gradient_outside": "zero"}
GAMMAS = (0.5, 1.0, 2.0, 3.5)


# ---------------------------------------------------------------- PyTorch


def native(name: str, log: bool = False, **keywords: Any) -> Callable[..., Any]:
    """The function of torch.nn.functional, of the logarithm of x if `log`; arrays become tensors."""

    def ask(torch: Any, x: Any, t: Any, reduction: str) -> Any:
        given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in keywords.items()}
        return getattr(torch.nn.functional, name)(x.log() if log else x, t, reduction=reduction, **given)

    return ask


def definition(kind: type, options: dict[str, Any], sample_weight: np.ndarray | None) -> Callable[..., Any]:
    """The definition of docs/mathematics.md, section 9, for PyTorch's autograd: for options that PyTorch lacks."""

    def ask(torch: Any, x: Any, t: Any, reduction: str) -> Any:
        if kind in BINARY:  # classes 0 and 1
            x = torch.stack([torch.zeros_like(x) if kind in LOGITS else 1 - x, x], -1)
            kept, t = torch.ones_like(t), torch.stack([1 - t, t], -1)
            pos_weight = torch.as_tensor(options.get("pos_weight", 1.0))
            weight = torch.stack([torch.ones_like(pos_weight), pos_weight], -1)
        else:
            axis = options.get("axis", -1)
            weight = torch.as_tensor(options.get("class_weight", 1.0))
            if t.ndim < x.ndim:
                kept = t != options.get("ignore_index", -1)
                t = torch.nn.functional.one_hot(t * kept, x.shape[axis]).to(x.dtype) * kept[..., None]
            else:
                kept, t = torch.ones_like(t.select(axis, 0)), t.movedim(axis, -1)
            x = x.movedim(axis, -1)
        if kind in LOGITS:
            log_p = torch.log_softmax(x, -1)
        else:
            eps = options.get("eps", 1e-7)
            clipped = x.clamp(eps, 1 - eps)
            log_p = (clipped if options.get("gradient_outside") == "zero" else x + (clipped - x).detach()).log()
        smoothing, gamma = options.get("label_smoothing", 0), options.get("focal_gamma", 0)
        tau = weight * ((1 - smoothing) * t + smoothing / x.shape[-1])
        factor = (1 - log_p.exp()) ** gamma if gamma else 1
        sample = kept * (1 if sample_weight is None else torch.tensor(sample_weight))
        losses = -sample * (tau * factor * log_p).sum(-1)
        if reduction == "none":
            return losses
        by_weight = sample * (weight * t).sum(-1) if "class_weight" in options else sample
        divisor = kept if options.get("mean_over") == "count" else by_weight
        return losses.sum() / (divisor.sum() if reduction == "mean" else 1)

    return ask


bce, bce_logits, ce = "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy"
TORCH: dict[type, dict[str, tuple[Any, ...]]] = {  # predictions, targets, options, sample_weight, what PyTorch is asked
    BinaryCrossEntropyWithLogits: {
        "hard": (z, y, {}, None, native(bce_logits)),
        "soft": (z, soft, {}, None, native(bce_logits)),
        "far": (far, y, {}, None, native(bce_logits)),
        "cube": (cube, (cube > 1) * 1.0, {}, None, native(bce_logits)),
        "pos_weight": (z, y, {"pos_weight": 2.5}, None, native(bce_logits, pos_weight=np.array(2.5))),
        "pos_weight 1-D": (z, soft, POS, None, native(bce_logits, pos_weight=W)),
        "pos_weight of a vector": (z[0], y[0], POS, None, native(bce_logits, pos_weight=W)),
        "weight": (z, soft, BY_COUNT, w_each, native(bce_logits, weight=w_each)),
        "weights": (far, y, POS | BY_COUNT, w_each, native(bce_logits, weight=w_each, pos_weight=W)),
        "weights, mean over them": (z, y, POS, w_each, definition),
        "smoothing": (z, y, SMOOTH, None, definition),
        **{f"focal {g}": (z, y, {"focal_gamma": g}, None, definition) for g in GAMMAS},
        **{f"focal {g}, all": (z, soft, SMOOTH | POS | {"focal_gamma": g}, w_each, definition) for g in GAMMAS},
    },
    BinaryCrossEntropy: {
        "hard": (p, y, {}, None, native(bce)),
        "soft": (p, soft, {}, None, native(bce)),
        "weight": (p, soft, BY_COUNT, w_each, native(bce, weight=w_each)),
        "smoothing": (p, y, SMOOTH, None, definition),
        "all": (p, soft, SMOOTH | POS, w_each, definition),
        "clipped": (edge, y, CLIPPED, None, definition),
        "clipped, soft": (edge, soft, CLIPPED, None, definition),
        "clipped, zero outside": (edge, y, ZERO, None, definition),
        "clipped, zero outside, soft": (edge, soft, ZERO, None, definition),
    },
    CrossEntropyWithLogits: {
        "labels": (z, label, {}, None, native(ce)),
        "far": (far, label, {}, None, native(ce)),
        "offsets": (shifted, label, {}, None, native(ce)),
        "masked": (masked, first, {}, None, native(ce)),
        "class_weight": (z, label, CLASS, None, native(ce, weight=W)),
        "smoothing": (z, label, SMOOTH, None, native(ce, **SMOOTH)),
        "class_weight, smoothing": (z, label, CLASS | SMOOTH, None, native(ce, weight=W, **SMOOTH)),
        "ignore_index": (z, some, IGNORE, None, native(ce)),
        "ignore_index 2": (z, label, {"ignore_index": 2}, None, native(ce, ignore_index=2)),
        "ignore_index, all": (z, some, IGNORE | CLASS | SMOOTH, None, native(ce, weight=W, **SMOOTH)),
        "ignore_index, all, by count": (z, some, IGNORE | CLASS | SMOOTH | BY_COUNT, w, definition),
        "axis": (cube, label_cube, AXIS, None, native(ce)),
        "axis, all": (cube, some_cube, AXIS | IGNORE | CLASS | SMOOTH, None, native(ce, weight=W, **SMOOTH)),
        "one row": (z[0], label[0], CLASS | SMOOTH, None, native(ce, weight=W, **SMOOTH)),
        "sample_weight": (z, label, {}, w, definition),
        "sample_weight, all": (z, some, IGNORE | CLASS | SMOOTH, w, definition),
        "distributions": (z, t, {}, None, native(ce)),
        "distributions, offsets": (shifted, t, {}, None, native(ce)),
        "distributions, loose": (z, loose, {}, None, native(ce)),
        "distributions, smoothing": (z, t, SMOOTH, None, native(ce, **SMOOTH)),
        "distributions, all, by count": (z, t, CLASS | SMOOTH | BY_COUNT, None, native(ce, weight=W, **SMOOTH)),
        "distributions, all": (z, t, CLASS | SMOOTH, w, definition),
        "distributions, axis": (cube, t_cube, AXIS, None, native(ce)),
        "distributions, axis, all": (cube, t_cube, AXIS | CLASS | BY_COUNT, None, native(ce, weight=W)),
        "distribution, one row": (z[0], t[0], SMOOTH, None, native(ce, **SMOOTH)),
        **{f"focal {g}": (z, label, {"focal_gamma": g}, None, definition) for g in GAMMAS},
        **{f"focal {g}, distributions": (z, t, {"focal_gamma": g}, None, definition) for g in GAMMAS},
        **{f"focal {g}, all": (z, some, IGNORE | CLASS | SMOOTH | {"focal_gamma": g}, w, definition) for g in GAMMAS},
    },
    CrossEntropy: {
        "labels": (rows, label, {}, None, native("nll_loss", log=True)),
        "class_weight": (rows, label, CLASS, None, native("nll_loss", log=True, weight=W)),
        "ignore_index": (rows, some, CLASS | IGNORE, None, native("nll_loss", log=True, weight=W)),
        "ignore_index, by count": (rows, some, CLASS | IGNORE | BY_COUNT, None, definition),
        "axis": (rows_cube, some_cube, AXIS | IGNORE, None, native("nll_loss", log=True)),
        "all": (rows, some, IGNORE | CLASS | SMOOTH, w, definition),
        "one row": (rows[0], label[0], {}, None, native("nll_loss", log=True)),
        "distributions": (rows, t, {}, None, definition),
        "distributions, loose": (p, loose, {}, None, definition),
        "distributions, all": (rows, t, CLASS | SMOOTH, w, definition),
        "distributions, axis": (rows_cube, t_cube, AXIS | CLASS, None, definition),
        "clipped": (edge, label, CLIPPED, None, definition),
        "clipped, distributions": (edge, t, CLIPPED, None, definition),
        "clipped, zero outside": (edge, label, ZERO, None, definition),
        "clipped, zero outside, distributions": (edge, t, ZERO, None, definition),
    },
}


@table("kind, x, targets, options, sample_weight, ask", by_name(TORCH))
def test_torch(kind, x, targets, options, sample_weight, ask):
    torch = peer("torch")
    defined = definition(kind, options, sample_weight)
    ask = defined if ask is definition else ask
    given = torch.tensor(x, requires_grad=True), torch.tensor(targets)
    call = {"targets": targets, "sample_weight": sample_weight}
    for reduction in ("none", "mean", "sum"):
        loss = kind(reduction=reduction, **options)
        want = ask(torch, *given, reduction)
        upstream = np.random.default_rng(0).normal(size=want.shape) if reduction == "none" else -1.7
        close(loss.forward(x, **call), want.detach())
        (gradient,) = torch.autograd.grad(want, given[0], torch.as_tensor(np.asarray(upstream)), retain_graph=True)
        close(loss.backward(x, upstream=upstream, **call), gradient)
        value, got = loss.forward_backward(x, **call)
        close(value, want.detach())
        close(got, torch.autograd.grad(want.sum(), given[0])[0])
    total = (defined if kind is BinaryCrossEntropy else ask)(torch, *given, "sum")
    (gradient,) = torch.autograd.grad(total, given[0], create_graph=True)
    axis, second = options.get("axis", -1), []
    for k, part in enumerate(gradient.unbind(axis)):  # only a row's classes share a loss: one pass for each
        second.append(torch.autograd.grad(part.sum(), given[0], retain_graph=True)[0].select(axis, k))
    got = loss.gradient_hessian(x, **call)
    close(got[0], gradient.detach())
    close(got[1], torch.stack(second, axis))


@pytest.mark.parametrize("kind", TORCH, ids=lambda kind: kind.__name__)
def test_torch_hessian(kind):
    """The second derivative as PyTorch means it: the diagonal of the whole matrix."""
    torch = peer("torch")
    x, targets = (z if kind in LOGITS else p)[:3], (y if kind in BINARY else label)[:3]
    options = SMOOTH | ({"focal_gamma": 2.0} if kind in LOGITS else {}) | (POS if kind in BINARY else CLASS)
    ask = definition(kind, options, None)
    whole = torch.autograd.functional.hessian(lambda x: ask(torch, x, torch.tensor(targets), "sum"), torch.tensor(x))
    close(kind(**options).gradient_hessian(x, targets)[1].ravel(), whole.reshape(x.size, x.size).diagonal())


ARRAYS = {"rows": (z, -1), "columns": (z, 0), "offsets": (shifted, -1), "far": (far, 1), "masked": (masked, -1)}


@pytest.mark.parametrize("function", ["softmax", "log_softmax"])
@table("x, axis", ARRAYS | {"axis": (cube, 1), "one row": (z[0], 0)})
def test_torch_activation(function, x, axis):
    torch = peer("torch")
    given = torch.tensor(x, requires_grad=True)
    want = getattr(torch, function)(given, axis)
    close(getattr(cecore, function)(x, axis=axis), want.detach())
    if function == "softmax":
        upstream = np.random.default_rng(0).normal(size=x.shape)
        (gradient,) = torch.autograd.grad(want, given, torch.tensor(upstream))
        close(cecore.softmax_backward(upstream, cecore.softmax(x, axis=axis), axis=axis), gradient)


@pytest.mark.parametrize("x", [z, far], ids=["near", "far"])
def test_torch_sigmoid(x):
    torch = peer("torch")
    close(cecore.sigmoid(x), torch.sigmoid(torch.tensor(x)), atol=0)


# ---------------------------------------------------------------- scikit-learn


@table(
    "x, targets, sample_weight, options",
    {
        "binary": (z, y, None, {}),
        "binary, soft": (z, soft, None, {}),
        "binary, far": (far, y, None, {}),
        "binary, sample_weight": (z, y, w_each, {}),
        "labels": (z, label, None, {}),
        "labels, far": (far, label, None, {}),
        "labels, offsets": (z + 100 * np.arange(N)[:, None], label, None, {}),
        "labels, sample_weight": (z, label, w, {}),
        "labels, class_weight": (z, label, W[label], CLASS),
    },
)
def test_sklearn(x, targets, sample_weight, options):
    losses = peer("sklearn._loss")
    if binary := targets is not label:
        x, targets, sample_weight = (None if array is None else array.ravel() for array in (x, targets, sample_weight))
    theirs = losses.HalfBinomialLoss() if binary else losses.HalfMultinomialLoss(n_classes=C)
    kind = BinaryCrossEntropyWithLogits if binary else CrossEntropyWithLogits
    ours, call = kind(reduction="none", **options), {"sample_weight": None if options else sample_weight}
    given = targets.astype(float), x, sample_weight
    close(ours.forward(x, targets, **call), theirs.loss(*given))
    close(kind(**options).forward(x, targets, **call), theirs(*given))
    for mine, other in (("forward_backward", "loss_gradient"), ("gradient_hessian", "gradient_hessian")):
        for got, want in zip(getattr(ours, mine)(x, targets, **call), getattr(theirs, other)(*given), strict=True):
            close(got, want)


@pytest.mark.parametrize("sample_weight", [None, w], ids=["plain", "sample_weight"])
@pytest.mark.parametrize("normalize", [True, False])
def test_sklearn_log_loss(normalize, sample_weight):
    log_loss = peer("sklearn.metrics").log_loss
    ours = {"reduction": "mean" if normalize else "sum", "sample_weight": sample_weight}
    theirs = {"normalize": normalize, "sample_weight": sample_weight}
    close(cecore.binary_cross_entropy(p[:, 0], y[:, 0], **ours), log_loss(y[:, 0], p[:, 0], **theirs))
    close(cecore.cross_entropy(rows, label, **ours), log_loss(label, rows, labels=np.arange(C), **theirs))


# ---------------------------------------------------------------- SciPy


def each(kind: type, x: np.ndarray, targets: np.ndarray, **options: Any) -> Callable[[], Any]:
    return lambda: kind(reduction="none", **options).forward(x, targets)


one, zero, place = np.ones_like(far), np.zeros_like(far), (np.arange(N), label)
SCIPY = {  # cecore's result, SciPy's, the absolute tolerance
    "expit": (lambda: cecore.sigmoid(far), lambda s: s.expit(far), 0),
    "softmax": (lambda: cecore.softmax(far), lambda s: s.softmax(far, -1), 0),
    "softmax, axis": (lambda: cecore.softmax(cube, axis=1), lambda s: s.softmax(cube, 1), 0),
    "softmax, offsets": (lambda: cecore.softmax(shifted), lambda s: s.softmax(shifted, -1), 0),
    "log_softmax": (lambda: cecore.log_softmax(far), lambda s: s.log_softmax(far, -1), 1e-12),
    "log_softmax, offsets": (lambda: cecore.log_softmax(shifted), lambda s: s.log_softmax(shifted, -1), 1e-12),
    "log_expit": (each(BinaryCrossEntropyWithLogits, far, one), lambda s: -s.log_expit(far), 0),
    "log_expit of -x": (each(BinaryCrossEntropyWithLogits, far, zero), lambda s: -s.log_expit(-far), 0),
    "logsumexp": (each(CrossEntropyWithLogits, far, label), lambda s: s.logsumexp(far, -1) - far[place], 1e-12),
    "xlogy": (each(BinaryCrossEntropy, edge, one, eps=0), lambda s: -s.xlogy(one, edge), 0),
    "xlog1py": (each(BinaryCrossEntropy, edge, edge, eps=0), lambda s: s.entr(edge) - s.xlog1py(1 - edge, -edge), 0),
    "xlogy of rows": (each(CrossEntropy, edge, edge, eps=0), lambda s: -s.xlogy(edge, edge).sum(-1), 0),
    "rel_entr": (each(CrossEntropy, rows, t), lambda s: (s.rel_entr(t, rows) + s.entr(t)).sum(-1), 0),
    "kl_div": (each(CrossEntropyWithLogits, z, t), lambda s: (s.kl_div(t, s.softmax(z, -1)) + s.entr(t)).sum(-1), 0),
}


@table("ask, want, atol", SCIPY)
def test_scipy(ask, want, atol):
    close(ask(), want(peer("scipy.special")), atol)


# ---------------------------------------------------------------- Optax, and its formulas


def softmax_formula(z: Any, t: Any, axis: int = -1) -> Any:
    log_p = z - np.logaddexp.reduce(z, axis, keepdims=True)
    return -np.where(t == 0, 0, t * np.maximum(log_p, -1e300)).sum(axis)


FORMULAS = SimpleNamespace(
    sigmoid_binary_cross_entropy=lambda z, y: y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z),
    sigmoid_focal_loss=lambda z, y, gamma: (
        np.logaddexp(0, z - 2 * y * z) * np.exp(-gamma * np.logaddexp(0, 2 * y * z - z))
    ),
    softmax_cross_entropy=softmax_formula,
    safe_softmax_cross_entropy=softmax_formula,
    softmax_cross_entropy_with_integer_labels=lambda z, labels, axis=-1: softmax_formula(
        z, np.moveaxis(np.eye(C)[labels], -1, axis), axis
    ),
)


def optax(name: str, *arguments: Any, **keywords: Any) -> Callable[..., Any]:
    return lambda module, z: getattr(module, name)(z, *arguments, **keywords)


sigmoid_ce, softmax_ce = "sigmoid_binary_cross_entropy", "softmax_cross_entropy"
label_ce, smooth = "softmax_cross_entropy_with_integer_labels", lambda t: (1 - 0.1) * t + 0.1 / t.shape[-1]
OPTAX: dict[type, dict[str, tuple[Any, ...]]] = {
    BinaryCrossEntropyWithLogits: {
        "hard": (z, y, {}, optax(sigmoid_ce, y)),
        "far": (far, y, {}, optax(sigmoid_ce, y)),
        "soft": (z, soft, {}, optax(sigmoid_ce, soft)),
        "smoothing": (z, y, SMOOTH, optax(sigmoid_ce, (1 - 0.1) * y + 0.1 / 2)),
        **{f"focal {g}": (z, y, {"focal_gamma": g}, optax("sigmoid_focal_loss", y, gamma=g)) for g in GAMMAS},
    },
    CrossEntropyWithLogits: {
        "labels": (z, label, {}, optax(label_ce, label)),
        "axis": (cube, label_cube, AXIS, optax(label_ce, label_cube, axis=1)),
        "smoothing": (z, label, SMOOTH, optax(softmax_ce, smooth(np.eye(C)[label]))),
        "masked": (masked, first, {}, optax("safe_softmax_cross_entropy", np.eye(C)[first])),
        "distributions": (far, t, {}, optax(softmax_ce, t)),
        "distributions, smoothing": (z, t, SMOOTH, optax(softmax_ce, smooth(t))),
        "distributions, axis": (cube, t_cube, AXIS, optax(softmax_ce, t_cube, axis=1)),
    },
}


@table("kind, x, targets, options, ask", by_name(OPTAX))
def test_optax_formula(kind, x, targets, options, ask):
    close(kind(reduction="none", **options).forward(x, targets), ask(FORMULAS, x))


@table("kind, x, targets, options, ask", by_name(OPTAX))
def test_optax(kind, x, targets, options, ask):
    module, jax = peer("optax"), peer("jax")
    jax.config.update("jax_enable_x64", True)
    value, pull = jax.vjp(lambda x: ask(module, x), jax.numpy.asarray(x))
    upstream = np.random.default_rng(0).normal(size=value.shape)
    loss = kind(reduction="none", **options)
    close(loss.forward(x, targets), value)
    close(loss.backward(x, targets, upstream=upstream), pull(jax.numpy.asarray(upstream))[0])
