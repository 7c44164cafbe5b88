"""What importing brings along, and what it does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numba", "llvmlite", "pandas", "sklearn", "matplotlib", "scipy", "tqdm", "torch", "cupy")
LAZY = ("fastnn.layers", "fastnn.models", "fastnn.ops", "fastnn.training", "fastnn.backends")


def imported_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has imported after running `code`."""
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_import_fastnn_brings_only_itself():
    modules = imported_by("import fastnn; fastnn.__version__; dir(fastnn)")
    assert not modules.intersection((*HEAVY, *LAZY, "numpy"))


@pytest.mark.parametrize(
    "code",
    [
        "from fastnn import Input, Model, Sequential",
        "import fastnn; fastnn.models, fastnn.layers, fastnn.callbacks, fastnn.optimizers, fastnn.losses",
        "from fastnn import Sequential, layers\n"
        "model = Sequential([layers.Dense(3, 'relu', input_shape=(2,)), layers.Dense(1)])\n"
        "model.compile('adam', 'mse', metrics=['mae'])\n"
        "str(model), model._repr_html_(), model.get_config(), model.get_weights()",
    ],
    ids=["names", "modules", "a model"],
)
def test_a_model_is_described_without_a_compiler(code):
    assert not imported_by(code).intersection(HEAVY)


def test_every_public_name_is_there():
    import fastnn

    for name in fastnn.__all__:
        assert getattr(fastnn, name) is not None
    assert set(fastnn.__all__) <= set(dir(fastnn))
    with pytest.raises(AttributeError, match="no attribute 'Sequentiel'"):
        _ = fastnn.Sequentiel
