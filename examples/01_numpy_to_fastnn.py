"""A network written by hand, function by function, and the same network compiled.

    python examples/01_numpy_to_fastnn.py --out figures        # needs: pip install 'fastnn[examples]'

50,000 points lie on two noisy rings. Two inputs, three sigmoid units and two softmax outputs tell the rings
apart, trained for 50,000 iterations on all points at once: gradient descent with momentum 0.5, learning rate
1e-4, on the sum of the cross-entropies. First in NumPy, then with the functions of ``fastnn.ops``, then as a
compiled ``Sequential``.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from fastnn import Input, gradient_check, ops, viz
from fastnn.datasets import circles
from fastnn.layers import Dense
from fastnn.losses import CategoricalCrossentropy
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from fastnn.viz.style import COLOURS, figure, tidy

RATE, MOMENTUM = 1e-4, 0.5
#: Of the starts 0 to 39 four are still on a plateau after 6,000 iterations; this one leaves it soon after.
START = 25
NAMES = ("hidden_weights", "hidden_bias", "output_weights", "output_bias")


def initial_parameters(seed=START):
    """Standard normal numbers for the two layers' weights and biases."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(shape) for name, shape in zip(NAMES, [(2, 3), 3, (3, 2), 2], strict=True)
    }


# ------------------------------------------------------------------ the functions, with fastnn.ops
def hidden_layer(X, hidden_weights, hidden_bias):
    """Rows of `X` as the three hidden units see them."""
    return ops.sigmoid(ops.dense(X, hidden_weights, hidden_bias))


def output_layer(H, output_weights, output_bias):
    """The probabilities of the two rings."""
    return ops.softmax(ops.dense(H, output_weights, output_bias))


def forward_prop(X, hidden_weights, hidden_bias, output_weights, output_bias):
    """From points to probabilities."""
    return output_layer(hidden_layer(X, hidden_weights, hidden_bias), output_weights, output_bias)


def loss(Y, Y_hat):
    """The sum of the cross-entropies of all rows (nats)."""
    return float(ops.categorical_crossentropy(Y, Y_hat).sum())


def loss_gradient(Y, Y_hat):
    """Of the loss with respect to what goes into the softmax."""
    return Y_hat - Y


def output_gradients(H, delta, output_weights, output_bias):
    """With respect to the hidden units' outputs, the output weights and the output bias."""
    return ops.dense.grad(delta, H, output_weights, output_bias)


def hidden_gradients(X, dH, hidden_weights, hidden_bias):
    """With respect to the hidden weights and the hidden bias."""
    d_inside = ops.sigmoid.grad(dH, ops.dense(X, hidden_weights, hidden_bias))
    return ops.dense.grad(d_inside, X, hidden_weights, hidden_bias)[1:]


def four_gradients(X, Y, p):
    """The gradient of each of the four parameters, and the loss."""
    H = hidden_layer(X, p["hidden_weights"], p["hidden_bias"])
    Y_hat = output_layer(H, p["output_weights"], p["output_bias"])
    delta = loss_gradient(Y, Y_hat)
    dH, *output = output_gradients(H, delta, p["output_weights"], p["output_bias"])
    hidden = hidden_gradients(X, dH, p["hidden_weights"], p["hidden_bias"])
    return dict(zip(NAMES, (*hidden, *output), strict=True)), loss(Y, Y_hat)


def train_with_ops(X, Y, iterations):
    """Momentum: ``velocity = 0.5 velocity - 1e-4 gradient; parameter += velocity``. Returns the losses."""
    p = initial_parameters()
    velocities = {name: np.zeros_like(value) for name, value in p.items()}
    losses = []
    for _ in range(iterations):
        gradients, value = four_gradients(X, Y, p)
        losses.append(value)
        for name in NAMES:
            ops.sgd_inplace(p[name], gradients[name], velocities[name], learning_rate=RATE, momentum=MOMENTUM)
    return losses


# ------------------------------------------------------------------ the same in NumPy
def train_with_numpy(X, Y, iterations):
    p = initial_parameters()
    velocities = {name: np.zeros_like(value) for name, value in p.items()}
    losses = []
    for _ in range(iterations):
        H = 1 / (1 + np.exp(-(X @ p["hidden_weights"] + p["hidden_bias"])))
        Z = np.exp(H @ p["output_weights"] + p["output_bias"])
        Y_hat = Z / Z.sum(axis=1, keepdims=True)
        losses.append(-np.sum(Y * np.log(Y_hat)))
        delta = Y_hat - Y
        d_inside = delta @ p["output_weights"].T * H * (1 - H)
        gradients = X.T @ d_inside, d_inside.sum(axis=0), H.T @ delta, delta.sum(axis=0)
        for name, gradient in zip(NAMES, gradients, strict=True):
            velocities[name] = MOMENTUM * velocities[name] - RATE * gradient
            p[name] += velocities[name]
    return losses


# ------------------------------------------------------------------ the same, compiled
def compiled_network(dtype):
    model = Sequential(
        [
            Input(shape=(2,), name="point"),
            Dense(3, activation="sigmoid", name="hidden"),
            Dense(2, activation="softmax", name="output"),
        ],
        name="rings",
        dtype=dtype,
    )
    model.compile(SGD(RATE, momentum=MOMENTUM), CategoricalCrossentropy(reduction="sum"))
    model.set_weights(list(initial_parameters().values()))
    return model


def fit(model, X, Y, iterations):
    """Returns the losses before each iteration, and the seconds."""
    began = time.perf_counter()
    history = model.fit(X, Y, batch_size=len(X), epochs=iterations, verbose=0)
    return history.history["loss"], time.perf_counter() - began


def timed(train, X, Y, iterations):
    began = time.perf_counter()
    return train(X, Y, iterations), time.perf_counter() - began


# ------------------------------------------------------------------ the figure
def draw_plateau(sheet, model, X, labels, iterations):
    ax = sheet.add_subplot(2, 3, 2)
    viz.decision_boundary(model, X, labels, ax=ax)
    ax.set_aspect("equal")
    ax.set_title(f"boundary after {iterations:,} iterations")


def draw_end(sheet, model, X, labels, losses, iterations):
    ax = sheet.add_subplot(2, 3, 1)
    ax.loglog(np.arange(1, len(losses) + 1), np.array(losses) / len(X), color=COLOURS[0])
    ax.set(xlabel="iteration", ylabel="loss: mean cross-entropy (nats)", title="loss of all points")
    tidy(ax)
    ax = sheet.add_subplot(2, 3, 3)
    viz.decision_boundary(model, X, labels, ax=ax)
    ax.set_aspect("equal")
    ax.set_title(f"boundary after {iterations:,} iterations")
    ax = sheet.add_subplot(2, 3, 4)
    viz.network_diagram(model, ax=ax)
    ax.set_title("network")
    ax = sheet.add_subplot(2, 3, 5, projection="3d")
    viz.hidden_space(model, X, labels, ax=ax)
    ax.set_title("points in the hidden units' space")
    ax = sheet.add_subplot(2, 3, 6, projection="3d")
    viz.output_plane(model, X, labels, ax=ax)
    ax.set_title("the output's plane between them")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", default="figures", type=Path, help="folder of the figure (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="2,000 points, 600 iterations")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    rows, iterations, plateau, short = (2_000, 600, 300, 20) if args.quick else (50_000, 50_000, 5_000, 500)

    X, labels, Y = circles(rows, factor=0.1, noise=0.1, seed=0)
    X, Y = X.astype(np.float64), Y.astype(np.float64)  # as in NumPy
    check_gradients(X[:1000], Y[:1000])

    for dtype in ("float32", "float64"):  # compile, or load what was compiled before, ahead of the clock
        compiled_network(dtype).fit(X, Y, batch_size=rows, epochs=1, verbose=0)
    by_hand, by_hand_time = timed(train_with_numpy, X, Y, short)
    with_ops, with_ops_time = timed(train_with_ops, X, Y, short)
    double, double_time = fit(compiled_network("float64"), X, Y, short)
    print(f"\nLargest relative difference from NumPy's losses in {short} iterations, in float64:")
    print(
        f"  fastnn.ops  {difference(with_ops, by_hand):.0e}\n  compiled    {difference(double, by_hand):.0e}"
    )

    model = compiled_network("float32")
    sheet = figure(15, 9.4)
    losses, seconds = fit(model, X, Y, plateau)
    draw_plateau(sheet, model, X, labels, plateau)
    more, more_seconds = fit(model, X, Y, iterations - plateau)
    losses, seconds = losses + more, seconds + more_seconds
    print_losses(losses, rows)
    result = [
        ("NumPy", "float64", short, by_hand_time),
        ("fastnn.ops", "float64", short, with_ops_time),
        ("compiled", "float64", short, double_time),
        ("compiled", "float32", iterations, seconds),
    ]
    print_times(result, iterations)
    accuracy = float((model.predict(X, verbose=0).argmax(axis=1) == labels).mean())
    print(f"\npoints on the right side of the boundary: {accuracy:.3%}")
    draw_end(sheet, model, X, labels, losses, iterations)
    sheet.savefig(args.out / "01_numpy_to_fastnn.png", dpi=70)
    print(f"figure: {args.out / '01_numpy_to_fastnn.png'}")
    return {"losses": losses, "times": result, "accuracy": accuracy}


def check_gradients(X, Y):
    """Compare the four gradients with differences of the loss."""
    p = initial_parameters()
    gradients, _ = four_gradients(X, Y, p)
    print("Gradient check, each parameter along random directions:")
    print(gradient_check(lambda **q: loss(Y, forward_prop(X, **q)), p, gradients))


def difference(found, expected):
    return np.max(np.abs(np.divide(found, expected) - 1))


def print_losses(losses, rows):
    print(f"\n{'iteration':>10}{'loss, mean (nats)':>20}")
    for number in (1, 10, 100, 1_000, 3_000, 6_000, 7_000, 10_000, 50_000):
        if number <= len(losses):
            print(f"{number:>10,}{losses[number - 1] / rows:>20.5f}")


def print_times(result, iterations):
    whole = f"for {iterations:,}"
    print(f"\n{'':<12}{'numbers':<9}{'iterations':>11}{'seconds':>10}{'a second':>10}{whole:>14}")
    for name, dtype, count, seconds in result:
        whole = seconds * iterations / count
        mark = "" if count == iterations else "  (extrapolated)"
        print(
            f"{name:<12}{dtype:<9}{count:>11,}{seconds:>10.2f}{count / seconds:>10,.0f}{whole:>12.1f} s{mark}"
        )


if __name__ == "__main__":
    main()
