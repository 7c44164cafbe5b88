"""Monthly stock returns: one network, trained and tested in three ways, and why one of them flatters.

    python examples/04_returns.py --out figures                # needs: pip install 'fastnn[examples]'
    python examples/04_returns.py --prices closes.csv          # your own prices, wide or long

A row is a stock and a month: its last 24 monthly returns, year and month in one-hot form; the target is the
sign of the month's return. The network is the chapter's: two layers of 64, relu, dropout 0.5, Adam, batches
of 32 rows.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from fastnn.data import Standardizer, WalkForward, Winsorizer, holdout_split
from fastnn.datasets import load_prices, load_stocks, monthly_returns, returns_windows
from fastnn.layers import Dense, Dropout
from fastnn.metrics import AUC
from fastnn.models import Sequential
from fastnn.viz.style import COLOURS, figure, tidy


def network(features, seed=0):
    """The chapter's network."""
    model = Sequential(
        [
            Dense(64, activation="relu", input_shape=(features,)),
            Dropout(0.5),
            Dense(64, activation="relu"),
            Dropout(0.5),
            Dense(1, activation="sigmoid"),
        ],
        seed=seed,
    )
    model.compile("adam", "binary_crossentropy", metrics=["AUC"])
    return model


def scaled(windows, train, test):
    """Clip and standardise, by the training rows' quantiles, means and deviations. The rows stay lazy."""
    clip = Winsorizer().fit(windows.X[train])
    scale = Standardizer().fit(clip.transform(windows.X[train]))
    return [scale.transform(clip.transform(windows.X[rows])) for rows in (train, test)]


def aucs(windows, test, probabilities):
    """The AUC of all rows together, and the mean of the AUCs of each month by itself."""
    y, months = windows.y[test], windows.dates[test]
    monthly = []
    for month in months.unique():
        rows = months == month
        if 0 < y[rows].mean() < 1:  # a month in which all rise or fall has none
            monthly.append(AUC()(y[rows], probabilities[rows]))
    return AUC()(y, probabilities), float(np.mean(monthly))


def compare(windows, train, test, epochs, seed):
    """Train the network and the logistic regression on the same rows; return both pairs of AUCs."""
    x_train, x_test = scaled(windows, train, test)
    model = network(x_train.shape[1], seed)
    model.fit(x_train, windows.y[train], epochs=epochs, batch_size=32, verbose=0)
    linear = LogisticRegression(C=0.01, max_iter=500).fit(np.asarray(x_train), windows.y[train])
    return (
        aucs(windows, test, model.predict(x_test, verbose=0).ravel()),
        aucs(windows, test, linear.predict_proba(np.asarray(x_test))[:, 1]),
    )


def three_ways(windows, folds):
    """Name and rows of each training: random, the last year, and walking forward."""
    everything = np.arange(len(windows))
    last_year = windows.dates.year == windows.dates.year.max()
    yield "random rows", *holdout_split(len(windows), 0.2, seed=0, labels=windows.y)
    yield "last year", everything[~last_year], everything[last_year]
    months = windows.dates.nunique()
    walk = WalkForward(n_splits=folds, test_size=months // (2 * folds))
    for number, (train, test) in enumerate(walk.split(windows.X, groups=windows.dates), 1):
        yield f"walk-forward {number}", train, test


def calendar_only(windows, train, test):
    """The AUC of one number a month: the up share of the training rows of the very same month."""
    codes = np.unique(windows.dates, return_inverse=True)[1]
    ups = np.bincount(codes[train], windows.y[train], minlength=codes.max() + 1)
    counts = np.bincount(codes[train], minlength=codes.max() + 1)
    share = np.where(counts > 0, ups / np.maximum(counts, 1), windows.y[train].mean())
    return AUC()(windows.y[test], share[codes[test]])


def calm(windows, test, lags=24):
    """The AUCs of a number that nothing was trained for: how little a stock moved in the months before."""
    return aucs(windows, test, -np.asarray(windows.X[test])[:, :lags].clip(-0.3, 0.3).std(axis=1))


def draw(out, results):
    names = list(results)
    sheet = figure(9, 0.42 * len(names) + 1.9)
    left, right = sheet.subplots(1, 2, sharey=True)
    place = np.arange(len(names))[::-1]
    for ax, kind, title in ((left, 0, "all rows together"), (right, 1, "within each month, mean")):
        for shift, model, label in ((0.2, 0, "network"), (-0.2, 1, "logistic regression")):
            values = [results[name][model][kind] for name in names]
            ax.barh(place + shift, np.array(values) - 0.5, 0.36, left=0.5, color=COLOURS[model], label=label)
        ax.axvline(0.5, color="0.3", linewidth=1)
        ax.set(title=title, xlabel="AUC on rows not trained on", yticks=place, yticklabels=names)
        tidy(ax)
    low = min(pair[kind] for result in results.values() for pair in result for kind in (0, 1))
    high = max(pair[kind] for result in results.values() for pair in result for kind in (0, 1))
    for ax in (left, right):
        ax.set_xlim(min(low, 0.5) - 0.02, high + 0.02)
    sheet.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    sheet.savefig(out / "04_returns.png", dpi=110)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--prices", help="CSV, Parquet or HDF5 of closes; by default twenty stocks of skfolio"
    )
    parser.add_argument("--key", help="table within an HDF5 file")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", default=".", type=Path, help="folder of the figure")
    parser.add_argument("--quick", action="store_true", help="two epochs, two folds")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    epochs, folds = (2, 2) if args.quick else (args.epochs, args.folds)

    prices = load_prices(args.prices, key=args.key) if args.prices else load_stocks()
    windows = returns_windows(monthly_returns(prices), lags=24, year="onehot", month="onehot")
    print(windows, f"up share {windows.y.mean():.3f}", sep="\n")
    for reason, count in windows.report.items():
        print(f"  {reason}: {count}")

    print(f"\n{'AUC on rows not trained on':<28}{'all rows together':^24}{'within each month, mean':^24}")
    print(f"{'':<18}{'rows':>10}" + 2 * f"{'network':>12}{'logistic':>12}")
    results, walked = {}, []
    for name, train, test in three_ways(windows, folds):
        pairs = results[name] = compare(windows, train, test, epochs, seed=0)
        if name == "random rows":
            calendar = calendar_only(windows, train, test)
        if name.startswith("walk"):
            walked.append(test)
        values = [pair[kind] for kind in (0, 1) for pair in pairs]
        print(f"{name:<18}{len(test):>10,}" + "".join(f"{value:12.3f}" for value in values))
    walks = np.array([result for name, result in results.items() if name.startswith("walk")])
    means = results["walk-forward mean"] = walks.mean(axis=0)
    print(f"{'walk-forward mean':<28}" + "".join(f"{means[m, k]:12.3f}" for k in (0, 1) for m in (0, 1)))
    print(
        f"{'standard error':<28}"
        + "".join(f"{walks[:, m, k].std(ddof=1) / np.sqrt(len(walks)):12.3f}" for k in (0, 1) for m in (0, 1))
    )
    print(
        "\nRandom rows share every month with the training rows. The up share of the same month's training "
        f"rows,\na single number a month, has an AUC of {calendar:.3f} there; nobody knows it beforehand."
    )
    untrained = calm(windows, np.concatenate(walked))[1]
    print(
        "Calm stocks rise in more months: minus the standard deviation of the lags, for which nothing is\n"
        f"trained, has an AUC of {untrained:.3f} within the months walked through."
    )
    draw(args.out, results)
    print(f"\nfigure: {args.out / '04_returns.png'}")
    return results


if __name__ == "__main__":
    main()
