"""Train a two-layer network on handwritten digits with NumPy and cecore.CrossEntropyWithLogits.

Run it with `python examples/digits.py`, after `pip install 'cecore[examples]'`.
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
    raise SystemExit(f"{missing.name} is not installed. Run: pip install 'cecore[examples]'") from None

LOSS = cecore.CrossEntropyWithLogits()
PROBS_LOSS = cecore.CrossEntropy(eps=0)  # no clipping: the same loss, unless p rounds to 0 or 1
RATE = 0.2
BATCH = 16
HIDDEN = 64


class Network(NamedTuple):
    """The weights of both layers, or the gradient with respect to them."""

    hidden_weights: np.ndarray
    hidden_bias: np.ndarray
    output_weights: np.ndarray
    output_bias: np.ndarray


def initial(inputs: int, classes: int, rng: np.random.Generator) -> Network:
    """Return random weights with variance 1 / inputs, which keeps the variance of the signal, and zero biases."""
    return Network(
        rng.normal(0, inputs**-0.5, (inputs, HIDDEN)),
        np.zeros(HIDDEN),
        rng.normal(0, HIDDEN**-0.5, (HIDDEN, classes)),
        np.zeros(classes),
    )


def predict(network: Network, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hidden layer h = tanh(x V + a) and the logits z = h W + b. The probabilities are softmax(z)."""
    hidden = np.tanh(x @ network.hidden_weights + network.hidden_bias)
    return hidden, hidden @ network.output_weights + network.output_bias


def backward(network: Network, x: np.ndarray, hidden: np.ndarray, logits_gradient: np.ndarray) -> Network:
    """Return the gradient, by the chain rule from dL/dz. It uses tanh' = 1 - tanh^2 and dL/dW = input^T dL/doutput."""
    hidden_gradient = (logits_gradient @ network.output_weights.T) * (1 - hidden**2)
    return Network(
        x.T @ hidden_gradient, hidden_gradient.sum(axis=0), hidden.T @ logits_gradient, logits_gradient.sum(axis=0)
    )


def loss_and_gradient(network: Network, x: np.ndarray, y: np.ndarray) -> tuple[float, Network]:
    """Return the mean loss L and its gradient. The loss on logits gives dL/dz directly."""
    hidden, logits = predict(network, x)
    value, logits_gradient = LOSS.forward_backward(logits, y)
    return value, backward(network, x, hidden, logits_gradient)


def loss_and_gradient_from_probs(network: Network, x: np.ndarray, y: np.ndarray) -> tuple[float, Network]:
    """Return the same from the loss on probabilities: in each row dL/dz = p * (g - sum(g * p)), with g = dL/dp."""
    hidden, logits = predict(network, x)
    probs = cecore.softmax(logits)
    value, probs_gradient = PROBS_LOSS.forward_backward(probs, y)
    return value, backward(network, x, hidden, cecore.softmax_backward(probs_gradient, probs))


def descend(network: Network, gradient: Network, rate: float) -> Network:
    """Take one step of gradient descent."""
    return Network(*(weights - rate * slope for weights, slope in zip(network, gradient, strict=True)))


def evaluate(network: Network, data: common.Split) -> common.Epoch:
    """Return both losses and the held-out accuracy: how often the most probable class is the label."""
    _, train_logits = predict(network, data.train_x)
    _, logits = predict(network, data.held_out_x)
    accuracy = float(np.mean(logits.argmax(axis=1) == data.held_out_y))
    return common.Epoch(LOSS(train_logits, data.train_y), LOSS(logits, data.held_out_y), accuracy)


def train(network: Network, data: common.Split, epochs: int, rng: np.random.Generator) -> Iterator[common.Epoch]:
    """Train on shuffled mini-batches, and evaluate after each epoch. The learning rate falls linearly to 0."""
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs)
        for rows in common.batches(len(data.train_y), BATCH, rng):
            _, gradient = loss_and_gradient(network, data.train_x[rows], data.train_y[rows])
            network = descend(network, gradient, rate)
        yield evaluate(network, data)


def main() -> None:
    """Check the gradient in two ways, train the network, and report."""
    options = common.arguments(__doc__, epochs=50, picture="digits.png")
    rng = np.random.default_rng(options.seed)
    pixels, labels = load_digits(return_X_y=True)  # 1797 images of 8 x 8 pixels, with values from 0 to 16
    data = common.split_rows(pixels / 16, labels, rng)
    network = initial(pixels.shape[1], 10, rng)

    def loss_of(hidden_weights: np.ndarray) -> float:
        _, logits = predict(network._replace(hidden_weights=hidden_weights), data.train_x)
        return LOSS(logits, data.train_y)

    value, gradient = loss_and_gradient(network, data.train_x, data.train_y)
    common.check_gradient("hidden_weights", loss_of, network.hidden_weights, gradient.hidden_weights)
    common.check_both_ways((value, gradient), loss_and_gradient_from_probs(network, data.train_x, data.train_y))

    start = time.perf_counter()
    history = common.follow(train(network, data, options.epochs, rng), options.epochs)
    common.print_summary(history[-1], time.perf_counter() - start)
    common.draw(history, "Handwritten digits: two-layer network", options.picture)


if __name__ == "__main__":
    main()
