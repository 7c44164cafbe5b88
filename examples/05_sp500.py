"""The S&P 500 by its moving average: networks against a linear regression, and what there is to learn.

    python examples/05_sp500.py --out figures          # needs: pip install 'fastnn[examples]'

A row is a month: its close and its ten-month average, each normalised by its own last ten months. The target
is the next month's normalised close. 252 months to train on (to 1990), 120 to validate, 240 to test
(2001 to 2020).
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

from fastnn import viz
from fastnn.callbacks import EarlyStopping, ModelCheckpoint, WeightHistory
from fastnn.datasets import load_sp500, monthly_returns, sp500_sma
from fastnn.layers import Dense
from fastnn.metrics import R2Score, RootMeanSquaredError
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from fastnn.viz.style import COLOURS, figure, tidy


def rmse(predicted, actual):
    return RootMeanSquaredError()(actual, np.ravel(predicted))


def r2(predicted, actual):
    return R2Score()(actual, np.ravel(predicted))


def least_squares(train, target):
    return sm.OLS(target, sm.add_constant(train.X)).fit()


def ten_units(train, validation, epochs=20, seed=1):
    """The article's first network."""
    model = Sequential([Dense(10, activation="relu", input_shape=(2,)), Dense(1)], seed=seed)
    model.compile("adam", "mse", metrics=["root_mean_squared_error"])
    history = model.fit(
        train.X,
        train.y,
        epochs=epochs,
        batch_size=10,
        validation_data=(validation.X, validation.y),
        verbose=0,
    )
    return model, history


def single_layer(train, epochs, seed=1):
    """One unit without activation: what it converges to are the regression's coefficients."""
    model = Sequential([Dense(1, input_shape=(2,), name="line")], seed=seed)
    model.compile(Adam(0.01), "mse")
    record = WeightHistory()
    model.fit(train.X, train.y, epochs=epochs, batch_size=len(train), callbacks=[record], verbose=0)
    kernel, bias = np.array(record.weights["line/kernel"])[:, :, 0], np.array(record.weights["line/bias"])
    return model, np.array(record.epochs), np.column_stack([bias, kernel])


def large_network(train, validation, epochs=100, seed=1):
    """300-100 units, stopped when two epochs bring nothing, its best weights from the checkpoint."""
    model = Sequential(
        [Dense(300, activation="relu", input_shape=(2,)), Dense(100, activation="relu"), Dense(1)], seed=seed
    )
    model.compile("adam", "mse", metrics=["root_mean_squared_error"])
    with tempfile.TemporaryDirectory() as folder:
        best = str(Path(folder) / "best.weights.fastnn")
        history = model.fit(
            train.X,
            train.y,
            epochs=epochs,
            batch_size=10,
            validation_data=(validation.X, validation.y),
            callbacks=[
                EarlyStopping(patience=2),
                ModelCheckpoint(best, save_best_only=True, save_weights_only=True),
            ],
            verbose=0,
        )
        model.load_weights(best)
    return model, history


def shuffled_months(runs):
    """R2 on the test months where the index's monthly returns have been put in random order."""
    returns = monthly_returns(load_sp500())["SP500"]
    found = []
    for seed in range(runs):
        order = np.random.default_rng(seed).permutation(len(returns))
        prices = pd.Series(100 * np.cumprod(1 + returns.to_numpy()[order]), returns.index)
        train, _, test = sp500_sma(prices=prices).split()
        fitted = least_squares(train, train.y)
        found.append(r2(fitted.predict(sm.add_constant(test.X)), test.y))
    return np.array(found)


def draw(out, history, large_history, convergence, coefficients, test, predictions, scores):
    epochs, weights = convergence
    sheet = figure(12, 8)
    (curve, lines), (time, bars) = sheet.subplots(2, 2)
    viz.metric_curve(history, "root_mean_squared_error", ax=curve)
    curve.set_title("network of ten units: RMSE by epoch")
    curve.set_ylabel("RMSE (standard deviations of the window)")
    for column, name in enumerate(("intercept", "close", "average")):
        lines.plot(epochs, weights[:, column], color=COLOURS[column], label=f"{name}: single-layer network")
        lines.axhline(coefficients[column], color=COLOURS[column], linestyle=":", linewidth=2)
    lines.plot([], [], color="0.3", linestyle=":", linewidth=2, label="least squares")
    lines.set(
        xlabel="epoch", ylabel="coefficient", title="the single layer's weights converge to the regression's"
    )
    lines.legend(frameon=False, fontsize=8)
    months = slice(-60, None)
    time.plot(test.dates[months], test.y[months], color="0.2", marker=".", label="actual")
    for colour, name in zip(COLOURS, ("least squares", "300-100 network"), strict=False):
        time.plot(test.dates[months], np.ravel(predictions[name])[months], color=colour, label=name)
    time.set(
        title="the last five years of the test", ylabel="normalised close of the next month", xlabel="month"
    )
    time.legend(frameon=False, fontsize=8)
    names = list(scores)
    bars.barh(names[::-1], [scores[name] for name in names[::-1]], color=COLOURS[0])
    for place, name in enumerate(names[::-1]):
        bars.text(scores[name], place, f" {scores[name]:.3f}", va="center", fontsize=9)
    bars.set(
        title="error on the test months, 2001 to 2020", xlabel="RMSE (standard deviations of the window)"
    )
    bars.margins(x=0.12)
    for ax in (lines, time, bars):
        tidy(ax)
    sheet.savefig(out / "05_sp500.png", dpi=90)
    curve = viz.metric_curve(large_history, "root_mean_squared_error", ax=figure(7, 4.5).subplots())
    curve.set_title("300-100 network, stopped after two epochs without gain")
    curve.set_ylabel("RMSE (standard deviations of the window)")
    curve.figure.savefig(out / "05_sp500_large.png", dpi=90)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", default=".", type=Path, help="folder of the figures")
    parser.add_argument("--quick", action="store_true", help="fewer epochs and shuffles")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    train, validation, test = sp500_sma(window=10).split()
    print(f"months: {len(train)} to train, {len(validation)} to validate, {len(test)} to test")

    fitted = least_squares(train, train.y)
    ten, history = ten_units(train, validation, epochs=5 if args.quick else 20)
    line, *convergence = single_layer(train, epochs=500 if args.quick else 1000)
    large, large_history = large_network(train, validation, epochs=5 if args.quick else 100)
    predictions = {
        "least squares": fitted.predict(sm.add_constant(test.X)),
        "single-layer network": line.predict(test.X, verbose=0),
        "10-unit network": ten.predict(test.X, verbose=0),
        "300-100 network": large.predict(test.X, verbose=0),
        "the close as it is": test.X[:, 0],
        "training mean": np.full(len(test), train.y.mean()),
    }
    scores = {name: rmse(values, test.y) for name, values in predictions.items()}

    print("\ncoefficients      intercept     close   average")
    print(f"least squares    {fitted.params[0]:10.4f}{fitted.params[1]:10.4f}{fitted.params[2]:10.4f}")
    epochs, weights = convergence
    for epoch in (0, 10, 100, epochs[-1]):
        values = weights[list(epochs).index(epoch)]
        print(f"after {epoch:4d} epochs{values[0]:10.4f}{values[1]:10.4f}{values[2]:10.4f}")
    print(f"largest difference: {np.abs(weights[-1] - fitted.params).max():.1e}")

    print("\non the test months        RMSE      R2")
    for name, values in predictions.items():
        print(f"{name:<22}{scores[name]:8.3f}{r2(values, test.y):8.3f}")
    print(f"(the 300-100 network stopped after {len(large_history.epoch)} epochs)")

    returns = least_squares(train, train.returns)
    honest = r2(returns.predict(sm.add_constant(test.X)), test.returns)
    shuffled = shuffled_months(3 if args.quick else 20)
    overlap = r2(predictions["least squares"], test.y)
    print("\nwhat is learned: R2 of least squares on the test months")
    print(f"  the normalised close, as above            {overlap:.3f}")
    print(f"  the same, months in random order          {shuffled.mean():.3f} +- {shuffled.std():.3f}")
    print(f"  the next month's return, same features    {honest:.3f}")
    draw(args.out, history, large_history, convergence, fitted.params, test, predictions, scores)
    print(f"\nfigures: {args.out / '05_sp500.png'}, {args.out / '05_sp500_large.png'}")
    return scores


if __name__ == "__main__":
    main()
