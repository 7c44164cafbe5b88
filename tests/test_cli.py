"""The command line: what users type, what they read, and what happens to what they mistype."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import numpy as np
import pytest

import fastnn
from fastnn import cli
from fastnn.callbacks import Callback
from fastnn.cli import tabular
from fastnn.cli.terminal import error_text, seconds, table
from fastnn.cli.training import fit_until_interrupt

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
ROWS = 400


def customers(rows=ROWS, seed=0):
    """Give a table in which a network can find more than a linear model: age counts by membership."""
    rng = np.random.default_rng(seed)
    data = pandas.DataFrame(
        {
            "customer_id": rng.permutation(rows) + 1000,
            "age": rng.normal(50, 15, rows).round(1),
            "member": rng.random(rows) < 0.5,
            "town": rng.choice(["Rome", "Oslo", "Bonn"], rows),
            "since": pandas.to_datetime("2020-01-01")
            + pandas.to_timedelta(rng.integers(0, 900, rows), unit="D"),
            "country": "X",
        }
    )
    score = 0.2 * (data["age"] - 50) * np.where(data["member"], 1, -1)
    data["bought"] = np.where(rng.random(rows) < 1 / (1 + np.exp(-score)), "yes", "no")
    data["spend"] = (10 * score + rng.normal(size=rows)).round(3)
    data.loc[3:20, "age"] = np.nan
    data.loc[30:33, "bought"] = None
    return data


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "customers.csv"
    customers().to_csv(path, index=False)
    return path


def results(out):
    """Read the table of results: name -> numbers."""
    lines = out[out.index("held-out row") :].splitlines()[1:4]
    return {
        re.split(r"\s{2,}", line.strip())[0]: [
            float(v) for v in re.findall(r"(?<!\S)-?\d+\.?\d*(?:e-?\d+)?(?=\s{3}|$)", line)
        ]
        for line in lines
    }


# --------------------------------------------------------------------------- the program
def test_version_help_and_no_command(run):
    assert run("--version")[:2] == (0, f"fastnn {fastnn.__version__}\n")
    status, out, _ = run("--help")
    assert status == 0 and all(command in out for command in cli.COMMANDS)
    assert run()[0] == 2
    status, _, err = run("frobnicate")
    assert status == 2 and "invalid choice: 'frobnicate'" in err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0 and "--traceback" in out


def test_help_is_quick_and_python_m_fastnn_works():
    code = (
        "import sys; sys.argv = ['fastnn', '--help']\n"
        "from fastnn.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'numba', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules), 'imported too much'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "fastnn", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"fastnn {fastnn.__version__}"


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m fastnn fit --quiet --epochs 1 | true",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


# --------------------------------------------------------------------------- circles
def test_circles_learns_and_writes_a_figure(run, tmp_path):
    out_file = tmp_path / "rings.png"
    status, out, err = run("circles", "--points", 4000, "--epochs", 60, "--batch-size", 32, "--out", out_file)
    assert (status, err) == (0, "")
    assert float(re.search(r"held out\s+\S+\s+(\S+)%", out).group(1)) > 99
    assert "17 parameters" in out and "epoch  1/60" in out and "epoch 60/60" in out
    assert out_file.read_bytes().startswith(b"\x89PNG") and out_file.stat().st_size > 20_000


def test_circles_is_reproducible(run, tmp_path):
    def lines(seed):
        words = ["circles", "--points", 1000, "--epochs", 3, "--out", tmp_path / "c.svg", "--seed", seed]
        return [line for line in run(*words)[1].splitlines() if "loss" in line and "/" in line]

    first = lines(1)
    assert len(first) == 3 and first == lines(1) and first != lines(2)


def test_circles_refuses_a_file_it_could_not_write_before_training(run, tmp_path):
    status, out, err = run("circles", "--out", tmp_path / "no" / "c.png")
    assert (status, out) == (2, "") and "No such folder" in err
    status, out, err = run("circles", "--out", "c.pngg")
    assert (status, out) == (2, "") and "Did you mean 'png'?" in err


# --------------------------------------------------------------------------- fit
@pytest.mark.parametrize(
    ("task", "loader", "heads"),
    [
        ("auto", "load_breast_cancer", "AUC   accuracy   log loss   training time"),
        ("multiclass", "load_wine", "accuracy   log loss   training time"),
        ("regression", "load_diabetes", "RMSE"),
    ],
)
def test_fit_without_a_table_uses_a_real_one(run, task, loader, heads):
    status, out, err = run("fit", "--task", task, "--quiet")
    assert (status, err) == (0, "")
    assert loader in out and heads in out
    found = results(out)
    network, constant = found["network"], found["constant prediction"]
    linear = found["ridge regression" if task == "regression" else "logistic regression"]
    if task == "regression":
        assert network[0] < 0.8 * constant[0] and network[0] < 1.2 * linear[0]
        assert constant[2] == pytest.approx(0, abs=0.1)
    else:
        assert network[-2] > 0.9 and linear[-2] > 0.9 and constant[-2] < 0.7
        # the entropy of the classes' shares: no constant does better
        assert constant[-1] == pytest.approx(0.6600 if task == "auto" else 1.0860, abs=0.01)


def test_fit_finds_what_a_linear_model_cannot(run, csv):
    status, out, err = run("fit", csv, "--target", "bought", "--drop", "spend", "--epochs", 100, "--quiet")
    assert (status, err) == (0, "")
    found = results(out)
    assert found["network"][0] > 0.8 > 0.7 > found["logistic regression"][0]
    assert found["constant prediction"][0] == 0.5


def test_fit_says_what_became_of_every_column(run, csv):
    _, out, _ = run("fit", csv, "--target", "bought", "--drop", "spend", "--epochs", 1)
    for line in (
        "400 rows, 8 columns",
        "'bought': binary (it holds 2 different texts)",
        "probability of 'yes'",
        "4 rows without a target left out",
        "317 to train on, 79 held out (0.2 in every class, seed 0)",
        "2 numbers, 2 categorical, 3 left out",
        "customer_id  left out: a number of its own in each row",
        "age          missing in",
        "since        dates in text, read as days since 1970",
        "country      left out: constant: 'X'",
        "spend        left out: as asked",
    ):
        assert line in out
    assert "epoch 1/1" in out and "val_loss" in out


def test_fit_gives_the_same_numbers_for_parquet_seed_and_threads(run, csv, tmp_path):
    pytest.importorskip("pyarrow")
    parquet = tmp_path / "customers.parquet"
    customers().to_parquet(parquet)

    def numbers(path, *more):
        out = run("fit", path, "--target", "spend", "--drop", "bought", "--epochs", 3, *more)[1]
        return [line.split("epoch", 1)[1] for line in out.splitlines() if "val_loss" in line]

    expected = numbers(csv)
    assert len(expected) == 3
    assert numbers(parquet) == expected == numbers(csv, "--threads", 2)
    for change in (["--seed", 1], ["--batch-size", 16], ["--optimizer", "rmsprop"], ["--hidden", "8"]):
        assert numbers(csv, *change) != expected


def test_fit_learns_nothing_from_held_out_rows():
    data = customers()
    args = cli._parser("fit").parse_args(["fit", "--target", "spend", "--drop", "bought"])
    rows = tabular.prepare(data, "spend", args)
    held = rows.test
    _, test = fastnn.data.holdout_split(ROWS, args.test_size, args.seed)
    changed = data.copy()
    changed.loc[test, "age"] = 1e6
    changed.loc[test, "town"] = "Lima"
    changed.loc[test, "spend"] = -1e6
    other = tabular.prepare(changed, "spend", args)
    assert other.schema.to_dict() == rows.schema.to_dict()
    assert other.target == rows.target
    assert other.unknown == {"town": held}
    for one, two in zip(rows.x_train, other.x_train, strict=True):
        assert one.tobytes() == two.tobytes()
    weights = [tabular.build(r, args).get_weights() for r in (rows, other)]
    for one, two in zip(*weights, strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--hidden", "0"],
        ["--hidden", "7,5,3", "--dropout", "0.2"],
        ["--optimizer", "SGD", "--learning-rate", "0.05"],
        ["--batch-size", "100000"],
        ["--task", "multiclass"],
        ["--categorical", "age", "--numeric", "customer_id"],
    ],
    ids=lambda options: " ".join(options),
)
def test_fit_takes_options(run, csv, options):
    status, out, err = run("fit", csv, "--target", "bought", "--epochs", 2, "--quiet", *options)
    assert (status, err) == (0, "")
    assert np.isfinite(results(out)["network"]).all()


def test_fit_reads_decimal_commas_and_semicolons(run, tmp_path):
    path = tmp_path / "t.csv"
    data = customers()[["age", "member", "spend"]]
    data.to_csv(path, index=False, sep=";", decimal=",")
    status, out, _ = run("fit", path, "--target", "spend", "--epochs", 2, "--quiet")
    assert status == 0 and "regression (it holds" in out and "read with a decimal comma" in out


# --------------------------------------------------------------------------- bad input
def write(path, **columns):
    pandas.DataFrame(columns).to_csv(path, index=False)
    return path


X = np.arange(40) / 7


@pytest.mark.parametrize(
    ("columns", "argv", "message"),
    [
        (
            {"x": X, "price": X},
            ["--target", "prize"],
            "Unknown column in .*Received: 'prize'. Did you mean 'price'?",
        ),
        ({"x": X, "y": X}, [], "Say which column to predict: --target with one of x, y"),
        ({"x": [], "y": []}, ["--target", "y"], "expected at least one row"),
        ({"x": X, "y": ["a"] * 40}, ["--target", "y"], "Target 'y' has one class, 'a', in all 40 rows"),
        ({"x": X, "y": [None] * 40}, ["--target", "y"], "Target 'y' has no value in any of 40 rows"),
        (
            {"x": [None] * 40, "y": X},
            ["--target", "y"],
            "no column to learn from .'x': no value in any training",
        ),
        (
            {"x": [np.inf, *X[1:]], "y": X},
            ["--target", "y"],
            "Column 'x' must be finite. Received: inf .* row 0 ",
        ),
        ({"x": X, "y": [*X[1:], -np.inf]}, ["--target", "y"], "Target 'y' must be finite. Received: -inf"),
        ({"x": ["n/k", *X[1:]], "y": X}, ["--target", "y"], "Column 'x': expected numbers.*'n/k'"),
        ({"x": X, "y": [f"n{v}" for v in X]}, ["--target", "y"], "40 classes in 40 rows"),
        (
            {"x": X, "y": X},
            ["--target", "y", "--optimizer", "adamm"],
            "Unknown optimizer.*Did you mean 'adam'?",
        ),
        ({"x": X, "y": X}, ["--target", "y", "--drop", "z"], "Unknown column in the table"),
        ({"x": X, "y": ["a", "b"] * 20}, ["--target", "y", "--task", "regression"], "needs numbers"),
        (
            {"x": X, "y": X},
            ["--target", "y", "--optimizer", "sgd", "--learning-rate", "1e9"],
            "NaN or infinite",
        ),
    ],
)
def test_bad_tables_and_options_give_one_clear_line(run, tmp_path, columns, argv, message):
    status, _, err = run("fit", write(tmp_path / "t.csv", **columns), "--quiet", *argv)
    assert status == 2
    assert re.search(message, err) and err.startswith("fastnn: error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fit", "--hidden", "64,x"], "--hidden: expected the widths of the hidden layers"),
        (["fit", "--hidden", "64,-1"], "--hidden: expected the widths"),
        (["fit", "--epochs", "0"], "--epochs: expected a whole number >= 1"),
        (["fit", "--batch-size", "many"], "--batch-size: expected a whole number"),
        (["fit", "--dropout", "1"], "--dropout: expected a number between 0 and 1"),
        (["fit", "--test-size", "0"], "--test-size: expected a number between 0 and 1"),
        (["fit", "--learning-rate", "nan"], "--learning-rate: expected a number"),
        (["fit", "--task", "guess"], "--task: invalid choice: 'guess'"),
        (["circles", "--points", "3"], "--points: expected a whole number >= 10"),
    ],
)
def test_arguments_out_of_range_are_refused(run, argv, message):
    status, out, err = run(*argv)
    assert (status, out) == (2, "") and message in err


def test_a_missing_file_and_where_an_error_came_from(run, tmp_path):
    status, out, err = run("fit", tmp_path / "no.csv", "--target", "y")
    assert (status, out) == (
        2,
        "",
    ) and err == f"fastnn: error: No such file or directory: {tmp_path / 'no.csv'}\n"
    _, _, err = run("fit", tmp_path / "no.csv", "--target", "y", "--traceback")
    assert "Traceback" in err and err.endswith("no.csv\n")


# --------------------------------------------------------------------------- Ctrl-C
class Interrupt(Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_what_was_learned(capsys):
    x = np.linspace(0, 1, 64, dtype=np.float32)[:, None]

    def fit(epoch):
        model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))], seed=1)
        model.compile(optimizer="sgd", loss="mse")
        return fit_until_interrupt(model, x, x, epochs=5, callbacks=[Interrupt(epoch)])

    history, preparation = fit(3)
    assert len(history.epoch) == 3 and preparation > 0
    assert "stopped after epoch 3" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        fit(0)


def test_ctrl_c_before_anything_was_learned_ends_quietly(run, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastnn.cli.fit.load", interrupted)
    assert run("fit") == (130, "", "fastnn: interrupted\n")


# --------------------------------------------------------------------------- text
def test_text():
    assert table(["a", "b"], [["x", "1"], ["yy", "22"]], indent="") == "a     b\nx     1\nyy   22"
    assert [seconds(value) for value in (0.0123, 4.2, 125)] == ["12.3 ms", "4.20 s", "2 min 5 s"]
    assert error_text(ValueError("two\n lines")) == "two lines"
    assert error_text(OSError()) == "OSError"


def test_training_prints_a_line_at_least_every_second_and_at_most_about_50(capsys, monkeypatch):
    from fastnn.cli.training import Lines

    lines = Lines()
    lines.set_params({"epochs": 1000})
    clock = iter(np.arange(1000) * 1e-6)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    for epoch in range(1000):
        lines.on_epoch_end(epoch, {"loss": 1.0})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 51 and printed[0] == "  epoch    1/1000   loss 1.00000"
