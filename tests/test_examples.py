"""The examples run, print their table and write their figures; each has its page."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the examples use scikit-learn's data")
pytest.importorskip("matplotlib", reason="the examples draw")
pytest.importorskip("tensorboard", reason="an example writes logs for TensorBoard")

ROOT = Path(__file__).resolve().parents[1]
#: Example -> files it writes (patterns), words it prints.
EXAMPLES = {
    "01_numpy_to_fastnn": (
        ["01_numpy_to_fastnn.png"],
        ["hidden_weights: relative error", "iteration   loss", "NumPy", "fastnn.ops", "extrapolated"],
    ),
    "02_keras_style": (
        ["02_keras_style.png", "02_keras_style.fastnn", "logs/*/train/*", "logs/*/validation/*"],
        ["Total params: 17", "training", "held out", "val_accuracy", "tensorboard --logdir"],
    ),
}  # fmt: skip
each_example = pytest.mark.parametrize("name", EXAMPLES)


@each_example
def test_the_example_runs(name, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"]
    main(["--quick", "--out", str(tmp_path / "made")])
    printed = capsys.readouterr().out
    files, words = EXAMPLES[name]
    assert [word for word in words if word not in printed] == []
    for pattern in files:
        found = list((tmp_path / "made").glob(pattern))
        assert found and all(path.stat().st_size for path in found), pattern


def test_the_four_gradients_are_right():
    variables = runpy.run_path(str(ROOT / "examples" / "01_numpy_to_fastnn.py"))
    X, _, Y = (array.astype("float64") for array in variables["circles"](200, seed=1))
    losses = [variables[f"train_with_{way}"](X, Y, 30) for way in ("numpy", "ops")]
    assert variables["difference"](*losses) < 1e-12
    p = variables["initial_parameters"]()
    gradients, _ = variables["four_gradients"](X, Y, p)

    def loss(**parameters):
        return variables["loss"](Y, variables["forward_prop"](X, **parameters))

    assert set(gradients) == set(p) and variables["gradient_check"](loss, p, gradients)


@each_example
def test_the_example_has_a_page(name):
    folder = ROOT / "docs" / "examples"
    page = (folder / f"{name}.md").read_text(encoding="utf-8")
    figure = folder / f"{name}.png"
    assert f"]({figure.name})" in page and f"examples/{name}.py" in page
    assert figure.stat().st_size < 150_000
