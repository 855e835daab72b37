"""A two-layer network on handwritten digits in plain NumPy, trained with cecore.CrossEntropyWithLogits.

Run `python examples/digits.py`; it needs `pip install 'cecore[examples]'`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

try:
    import common
    import numpy as np
    from sklearn.datasets import load_digits

    import cecore
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing.name} is missing: pip install 'cecore[examples]'") from None

LOSS = cecore.CrossEntropyWithLogits()
PROBS_LOSS = cecore.CrossEntropy(eps=0)  # unclipped: the same function, as long as no p rounds to 0 or 1
RATE = 0.2
BATCH = 16
HIDDEN = 64


class Network(NamedTuple):
    """The weights of both layers; also the gradient by them."""

    hidden_weights: np.ndarray
    hidden_bias: np.ndarray
    output_weights: np.ndarray
    output_bias: np.ndarray


def initial(inputs: int, classes: int, rng: np.random.Generator) -> Network:
    """Weights of variance 1 / fan-in, which keep the variance of the signal, and biases of 0."""
    return Network(
        rng.normal(0, inputs**-0.5, (inputs, HIDDEN)),
        np.zeros(HIDDEN),
        rng.normal(0, HIDDEN**-0.5, (HIDDEN, classes)),
        np.zeros(classes),
    )


def predict(network: Network, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden layer h = tanh(x V + a), and the logits z = h W + b: the probabilities are p = softmax(z)."""
    hidden = np.tanh(x @ network.hidden_weights + network.hidden_bias)
    return hidden, hidden @ network.output_weights + network.output_bias


def backward(network: Network, x: np.ndarray, hidden: np.ndarray, by_logits: np.ndarray) -> Network:
    """The gradient from dL/dz by the chain rule: tanh' = 1 - tanh^2, and dL/dW = input^T dL/doutput."""
    by_hidden = (by_logits @ network.output_weights.T) * (1 - hidden**2)
    return Network(x.T @ by_hidden, by_hidden.sum(axis=0), hidden.T @ by_logits, by_logits.sum(axis=0))


def loss_and_gradient(network: Network, x: np.ndarray, y: np.ndarray) -> tuple[float, Network]:
    """The mean loss L, and its gradient from the dL/dz that the loss on logits gives."""
    hidden, logits = predict(network, x)
    value, by_logits = LOSS.forward_backward(logits, y)
    return value, backward(network, x, hidden, by_logits)


def loss_and_gradient_by_probs(network: Network, x: np.ndarray, y: np.ndarray) -> tuple[float, Network]:
    """The same from the loss on probabilities: dL/dz = p * (g - sum(g * p)) in each row, with g = dL/dp."""
    hidden, logits = predict(network, x)
    probs = cecore.softmax(logits)
    value, by_probs = PROBS_LOSS.forward_backward(probs, y)
    return value, backward(network, x, hidden, cecore.softmax_backward(by_probs, probs))


def descend(network: Network, gradient: Network, rate: float) -> Network:
    """One step of gradient descent."""
    return Network(*(weights - rate * slope for weights, slope in zip(network, gradient, strict=True)))


def evaluate(network: Network, data: common.Split) -> common.Epoch:
    """The losses, and how often the most probable class is right on the held-out rows."""
    _, train_logits = predict(network, data.train_x)
    _, logits = predict(network, data.held_out_x)
    accuracy = float(np.mean(logits.argmax(axis=1) == data.held_out_y))
    return common.Epoch(LOSS(train_logits, data.train_y), LOSS(logits, data.held_out_y), accuracy)


def train(network: Network, data: common.Split, epochs: int, rng: np.random.Generator) -> Iterator[common.Epoch]:
    """Descend over shuffled mini-batches at a rate that falls linearly to 0, and evaluate after each epoch."""
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs)
        for rows in common.batches(len(data.train_y), BATCH, rng):
            _, gradient = loss_and_gradient(network, data.train_x[rows], data.train_y[rows])
            network = descend(network, gradient, rate)
        yield evaluate(network, data)


def main() -> None:
    """Check the gradient in two ways, train, report."""
    options = common.arguments(__doc__, epochs=50, picture="digits.png")
    rng = np.random.default_rng(options.seed)
    pixels, labels = load_digits(return_X_y=True)  # 1797 images of 8 x 8 pixels from 0 to 16
    data = common.split_rows(pixels / 16, labels, rng)
    network = initial(pixels.shape[1], 10, rng)

    def loss_of(hidden_weights: np.ndarray) -> float:
        _, logits = predict(network._replace(hidden_weights=hidden_weights), data.train_x)
        return LOSS(logits, data.train_y)

    value, gradient = loss_and_gradient(network, data.train_x, data.train_y)
    common.check_gradient("hidden_weights", loss_of, network.hidden_weights, gradient.hidden_weights)
    common.check_both_ways((value, gradient), loss_and_gradient_by_probs(network, data.train_x, data.train_y))

    start = time.perf_counter()
    history = common.follow(train(network, data, options.epochs, rng), options.epochs)
    common.print_summary(history[-1], time.perf_counter() - start)
    common.draw(history, "Handwritten digits: two-layer network", options.picture)


if __name__ == "__main__":
    main()
