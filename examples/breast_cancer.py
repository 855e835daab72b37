"""Train a logistic regression on the breast-cancer data with NumPy and cecore.BinaryCrossEntropyWithLogits.

Run it with `python examples/breast_cancer.py`, after `pip install 'cecore[examples]'`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

try:
    import common
    import numpy as np
    from sklearn.datasets import load_breast_cancer

    import cecore
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing.name} is not installed. Run: pip install 'cecore[examples]'") from None

LOSS = cecore.BinaryCrossEntropyWithLogits()
PROBS_LOSS = cecore.BinaryCrossEntropy(eps=0)  # no clipping: the same loss, unless p rounds to 0 or 1
RATE = 0.1
BATCH = 32


class Model(NamedTuple):
    """The weights and the bias, or the gradient with respect to them."""

    weights: np.ndarray
    bias: float


def predict(model: Model, x: np.ndarray) -> np.ndarray:
    """Return the logit z = x w + b of each row. A tumour is benign with probability p = sigmoid(z)."""
    return x @ model.weights + model.bias


def backward(x: np.ndarray, logits_gradient: np.ndarray) -> Model:
    """Return the gradients dL/dw = x^T dL/dz and dL/db = sum(dL/dz)."""
    return Model(x.T @ logits_gradient, logits_gradient.sum())


def loss_and_gradient(model: Model, x: np.ndarray, y: np.ndarray) -> tuple[float, Model]:
    """Return the mean loss L and its gradient. The loss on logits gives dL/dz directly."""
    value, logits_gradient = LOSS.forward_backward(predict(model, x), y)
    return value, backward(x, logits_gradient)


def loss_and_gradient_from_probs(model: Model, x: np.ndarray, y: np.ndarray) -> tuple[float, Model]:
    """Return the same from the loss on probabilities: dL/dz = dL/dp dp/dz, with dp/dz = p (1 - p)."""
    probs = cecore.sigmoid(predict(model, x))
    value, probs_gradient = PROBS_LOSS.forward_backward(probs, y)
    return value, backward(x, probs_gradient * probs * (1 - probs))


def descend(model: Model, gradient: Model) -> Model:
    """Take one step of gradient descent."""
    return Model(model.weights - RATE * gradient.weights, model.bias - RATE * gradient.bias)


def evaluate(model: Model, data: common.Split) -> common.Epoch:
    """Return both losses and the held-out accuracy. The model predicts "benign" if z > 0, that is p > 1/2."""
    logits = predict(model, data.held_out_x)
    accuracy = float(np.mean((logits > 0) == data.held_out_y))
    train_loss = LOSS(predict(model, data.train_x), data.train_y)
    return common.Epoch(train_loss, LOSS(logits, data.held_out_y), accuracy)


def train(model: Model, data: common.Split, epochs: int, rng: np.random.Generator) -> Iterator[common.Epoch]:
    """Train on shuffled mini-batches, and evaluate the model after each epoch."""
    for _ in range(epochs):
        for rows in common.batches(len(data.train_y), BATCH, rng):
            _, gradient = loss_and_gradient(model, data.train_x[rows], data.train_y[rows])
            model = descend(model, gradient)
        yield evaluate(model, data)


def load(rng: np.random.Generator) -> common.Split:
    """Load 569 tumours with 30 features each, standardised with the mean and deviation of the training rows."""
    features, labels = load_breast_cancer(return_X_y=True)
    data = common.split_rows(features, labels, rng)
    mean, deviation = data.train_x.mean(axis=0), data.train_x.std(axis=0)
    return data._replace(
        train_x=(data.train_x - mean) / deviation,
        held_out_x=(data.held_out_x - mean) / deviation,
    )


def main() -> None:
    """Check the gradient in two ways, train the model, and report."""
    options = common.arguments(__doc__, epochs=60, picture="breast_cancer.png")
    rng = np.random.default_rng(options.seed)
    data = load(rng)
    model = Model(rng.normal(0, 0.1, data.train_x.shape[1:]), 0.0)

    def loss_of(weights: np.ndarray) -> float:
        return LOSS(predict(model._replace(weights=weights), data.train_x), data.train_y)

    value, gradient = loss_and_gradient(model, data.train_x, data.train_y)
    common.check_gradient("weights", loss_of, model.weights, gradient.weights)
    common.check_both_ways((value, gradient), loss_and_gradient_from_probs(model, data.train_x, data.train_y))

    start = time.perf_counter()
    history = common.follow(train(model, data, options.epochs, rng), options.epochs)
    common.print_summary(history[-1], time.perf_counter() - start)
    common.draw(history, "Breast cancer: logistic regression", options.picture)


if __name__ == "__main__":
    main()
