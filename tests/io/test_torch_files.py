"""PyTorch's state_dict: the same outputs in both, both ways, through safetensors files."""

import numpy as np
import pytest

from fastnn import Input, Model, Sequential, layers
from fastnn.errors import ArgumentError, DtypeError, FileFormatError, NotBuiltError, UnknownNameError
from fastnn.io import container
from fastnn.models import load_state_dict, state_dict

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
nn = torch.nn
#: Of float32; relative to the largest output above 1.
TOLERANCE = 1e-6


def stack():
    return Sequential(
        [
            layers.Dense(8, "relu", input_shape=(5,)),
            layers.BatchNormalization(epsilon=1e-5, momentum=0.9),
            layers.Dropout(0.2),
            layers.Dense(6, use_bias=False),
            layers.PReLU(),
            layers.LayerNormalization(epsilon=1e-5),
            layers.Dense(4),
            layers.Activation("tanh"),
            layers.BatchNormalization(center=False, scale=False, epsilon=1e-5),
            layers.Dense(3, "softmax", name="last"),
        ],
        seed=1,
    )


def torch_stack():
    torch.manual_seed(3)
    module = nn.Sequential(
        *(nn.Linear(5, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 6, bias=False)),
        *(nn.PReLU(6), nn.LayerNorm(6), nn.Linear(6, 4), nn.Tanh(), nn.BatchNorm1d(4, affine=False)),
        *(nn.Linear(4, 3), nn.Softmax(-1)),
    )
    for _ in range(3):  # running statistics
        module(torch.randn(64, 5))
    return module.eval()


X = np.random.default_rng(0).normal(size=(17, 5)).astype("f4")


def close(ours, theirs):
    with torch.no_grad():
        expected = theirs(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(
        ours.predict(X, verbose=0), expected, rtol=0, atol=TOLERANCE * max(1, abs(expected).max())
    )


def test_names_are_pytorchs():
    assert state_dict(stack()).keys() == torch_stack().state_dict().keys()
    shapes = {key: tuple(value.shape) for key, value in torch_stack().state_dict().items()}
    assert {key: value.shape for key, value in state_dict(stack()).items()} == shapes


def test_weights_of_pytorch_give_its_outputs(tmp_path):
    ours, theirs = stack(), torch_stack()
    safetensors_torch.save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours.load_weights(tmp_path / "w.safetensors")
    close(ours, theirs)
    other = stack()
    load_state_dict(other, theirs.state_dict())
    close(other, theirs)


def test_our_weights_give_our_outputs_in_pytorch(tmp_path):
    ours, theirs = stack(), torch_stack()
    rng = np.random.default_rng(4)
    for variable in ours.variables:
        variable.assign(rng.uniform(0.5 if "variance" in variable.name else -1, 1.5, variable.shape))
    ours.save_weights(tmp_path / "w.safetensors")
    theirs.load_state_dict(safetensors_torch.load_file(tmp_path / "w.safetensors"), strict=True)
    close(ours, theirs)
    again = stack()
    again.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(again.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cities, self.hidden, self.out = nn.Embedding(7, 3), nn.Linear(11, 4), nn.Linear(4, 1)

    def forward(self, x, city):
        joined = torch.cat([x, self.cities(city).flatten(1)], 1)
        return self.out(torch.relu(self.hidden(joined)))


def functional():
    x, city = Input((5,), name="x"), Input((2,), name="city")
    looked_up = layers.Flatten()(layers.Embedding(7, 3, name="cities")(city))
    hidden = layers.Dense(4, "relu", name="hidden")(layers.Concatenate()([x, looked_up]))
    return Model([x, city], layers.Dense(1, name="out")(hidden))


def test_functional_models_go_by_layer_names():
    ours, theirs = functional(), Net()
    load_state_dict(ours, theirs.state_dict())
    city = np.random.default_rng(1).integers(0, 7, (17, 2))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(X), torch.from_numpy(city)).numpy()
    np.testing.assert_allclose(ours.predict([X, city], verbose=0), expected, rtol=0, atol=TOLERANCE)
    renamed = state_dict(ours, {"cities": "tables.city"})
    assert "tables.city.weight" in renamed and "hidden.weight" in renamed
    load_state_dict(ours, renamed, {"cities": "tables.city"})


def test_double_precision_is_kept(tmp_path):
    model = Sequential([layers.Dense(2, input_shape=(3,))], dtype="float64", seed=1)
    model.save_weights(tmp_path / "w.safetensors")
    assert safetensors_torch.load_file(tmp_path / "w.safetensors")["0.weight"].dtype == torch.float64


def _without(key):
    return lambda state: state.pop(key)


def _with(key, value):
    return lambda state: state.update({key: value})


WRONG = {
    "missing": (_without("4.weight"), r"missing \['4.weight'\]"),
    "left over": (_with("99.weight", np.ones(3)), r"left over \['99.weight'\]"),
    "shape": (_with("0.weight", np.ones((5, 8))), r"'0.weight'.*\(8, 5\), for .*kernel.*\(5, 8\)"),
    "axes": (_with("0.weight", np.ones(40)), r"'0.weight'.*\(40,\)"),
    "integers": (_with("0.bias", np.ones(8, int)), r"'0.bias'.*floats.*int64"),
}


@pytest.mark.parametrize("case", WRONG)
def test_entries_that_do_not_fit_are_named(case, tmp_path):
    change, message = WRONG[case]
    model = stack()
    state, before = state_dict(model), model.get_weights()
    change(state)
    with pytest.raises(ArgumentError, match=message):
        load_state_dict(model, state)
    container.write_safetensors(tmp_path / "w.safetensors", state)
    with pytest.raises(FileFormatError, match=message) as raised:
        model.load_weights(tmp_path / "w.safetensors")
    assert "w.safetensors" in str(raised.value)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_counter_of_batches_is_not_needed():
    model = stack()
    load_state_dict(model, {k: v for k, v in state_dict(model).items() if "num_batches" not in k})


REFUSED = [
    (layers.Normalization(), "mean.*no counterpart"),
    (layers.BatchNormalization(center=False), "has gamma only"),
    (layers.LayerNormalization(scale=False), "has beta only"),
]


@pytest.mark.parametrize(("layer", "message"), REFUSED, ids=lambda v: type(v).__name__)
def test_layers_without_a_counterpart_are_refused(layer, message, tmp_path):
    model = Sequential([Input((3,)), layer])
    for act in (state_dict, lambda m: m.save_weights(tmp_path / "w.safetensors")):
        with pytest.raises(ArgumentError, match=message):
            act(model)
    assert not list(tmp_path.iterdir())


def test_bad_names_are_refused():
    model = functional()
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden'"):
        state_dict(model, {"hiden": "a"})
    with pytest.raises(ArgumentError, match=r"hidden/kernel and out/kernel would both be 'a.weight'"):
        state_dict(model, {"hidden": "a", "out": "a"})
    with pytest.raises(ArgumentError, match="non-empty"):
        state_dict(model, {"hidden": ""})
    with pytest.raises(NotBuiltError):
        state_dict(Sequential([layers.Dense(1)]))


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"not a file of arrays")
    with pytest.raises(FileFormatError):
        stack().load_weights(path)
    with pytest.raises(FileNotFoundError):
        stack().load_weights(tmp_path / "none.safetensors")
    with pytest.raises(DtypeError, match="dict of arrays"):
        load_state_dict(stack(), 3)
