"""Data that are on the device already, and data that do not fit there."""

import numpy as np
import pytest
from gpu_fake import Capsule, Tensor, fake_gpu

import fastnn
from fastnn.backends.gpu import feed
from fastnn.callbacks import Callback
from fastnn.errors import DataError, DeviceError, DtypeError, ShapeError
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 5)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.float32)


@pytest.fixture
def cp():
    with fake_gpu() as module:
        yield module


def model(device="gpu", loss="binary_crossentropy", metrics=("accuracy",), units=1):
    end = Dense(units, activation="softmax" if units > 1 else "sigmoid")
    net = Sequential([Dense(4, activation="tanh", input_shape=(5,)), Dropout(0.3), end], seed=1)
    net.compile("adam", loss, metrics=list(metrics), device=device)
    return net


def fit(net, x=X, y=Y, **options):
    given = {"epochs": 3, "batch_size": 16, "verbose": 0} | options
    history = net.fit(x, y, **given)
    return net.storage.array.copy(), history.history


def same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1] == other[1]


# --------------------------------------------------------------------------- on the device already
@pytest.mark.parametrize("wrap", [lambda x: x, Tensor, Capsule], ids=["cupy", "another library", "DLPack"])
def test_arrays_on_the_device_give_the_same_bits_without_a_copy(cp, wrap):
    options = {"validation_split": 0.2, "sample_weight": None}
    expected = fit(model(), **options)
    x, y = cp.asarray(X), cp.asarray(Y)
    seen = []
    original = feed.Feed.__init__

    def spy(self, program, inputs, *rest):
        seen.append([array.data.ptr for array in inputs])
        original(self, program, inputs, *rest)
        assert [array.data.ptr for array in self.arrays] == seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed.Feed, "__init__", spy)
        same(fit(model(), wrap(x), wrap(y), **options), expected)
    assert seen[0] == [x.data.ptr, y.data.ptr]


def test_evaluate_and_predict_take_them_and_return_numpy(cp):
    net = model()
    fit(net)
    x, y = cp.asarray(X), cp.asarray(Y)
    predicted = net.predict(x, verbose=0)
    assert isinstance(predicted, np.ndarray)
    np.testing.assert_array_equal(predicted, net.predict(X, verbose=0))
    assert net.evaluate(x, y, verbose=0) == net.evaluate(X, Y, verbose=0)


def test_exact_metrics_labels_and_weights_on_the_device(cp):
    labels = RNG.integers(0, 3, 150)
    weight = RNG.random(150)
    found = []
    for on in (np.asarray, cp.asarray):
        net = model(loss="sparse_categorical_crossentropy", metrics=["accuracy"], units=3)
        found.append(fit(net, on(X), on(labels), sample_weight=on(weight), class_weight={1: 2.0}))
        net = model(metrics=["AUC"])
        found.append(fit(net, on(X), on(Y), epochs=2))
    same(found[0], found[2])
    same(found[1], found[3])


def test_data_on_both_sides_are_brought_together(cp):
    same(fit(model(), cp.asarray(X), Y), fit(model()))


def test_strided_half_and_boolean_arrays_are_converted_on_the_device(cp):
    wide = RNG.normal(size=(150, 10)).astype(np.float32)
    expected = fit(model(), wide[:, ::2], Y)
    same(fit(model(), cp.asarray(wide)[:, ::2], cp.asarray(Y.astype(bool))), expected)
    half = X.astype(np.float16)
    same(fit(model(), cp.asarray(half), Y), fit(model(), half, Y))
    same(fit(model(), X > 0, Y), fit(model(), cp.asarray(X > 0), Y))


def test_bad_values_on_the_device_are_found_there(cp):
    bad = X.copy()
    bad[7, 3] = np.nan
    net = model()
    before = net.storage.array.copy()
    for x, y, error, text in (
        (bad, Y, DataError, "x: every value must be finite. Received: NaN in column 3, first in row 7"),
        (X, Y + 1, DataError, "labels from 0 to 1"),
        (X[:, :4], Y, ShapeError, r"expected shape \(rows, 5\)"),
        (X, Y[:9], ShapeError, "150 rows"),
        (X.astype(complex), Y, DtypeError, "complex"),
    ):
        with pytest.raises(error, match=text):
            net.fit(cp.asarray(x), cp.asarray(y), verbose=0)
    net = model(loss="sparse_categorical_crossentropy", units=3)
    with pytest.raises(DataError, match="whole numbers from 0 to 2"):
        net.fit(cp.asarray(X), cp.asarray(np.full(150, 3)), verbose=0)
    with pytest.raises(DataError, match=r"whole numbers. Received: 0\.5"):
        net.fit(cp.asarray(X), cp.asarray(np.full(150, 0.5)), verbose=0)
    np.testing.assert_array_equal(before, model().storage.array)


def test_good_data_are_not_brought_to_the_host_to_be_checked(cp):
    net, x, y = model(), cp.asarray(X), cp.asarray(Y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(x), "get", lambda *a, **k: pytest.fail("brought over"))
        fastnn.training.table.read_table(net, x, y, cp.asarray(np.ones(150)))


def test_a_model_on_the_cpu_refuses_them(cp):
    net = model("cpu")
    with pytest.raises(DeviceError, match=r"compiled for the CPU.*device='gpu' or 'auto'.*\.get\(\)"):
        net.fit(cp.asarray(X), cp.asarray(Y), verbose=0)
    with pytest.raises(DeviceError, match="compiled for the CPU"):
        net.predict(cp.asarray(X))


def test_auto_goes_where_the_data_are(cp):
    net = model("auto")
    fit(net, cp.asarray(X), cp.asarray(Y))
    assert net.device_choice[:2] == ("gpu", "the data are on it")


def test_an_array_on_another_gpu_is_refused(cp):
    x = cp.asarray(X)
    x._device = type(cp.cuda.Device(0))(1)
    x._device.id = 1
    with pytest.raises(DeviceError, match=r"on the current GPU, 0\. Received: one on GPU 1"):
        model().fit(x, Y, verbose=0)


def test_torch_tensors_on_the_host_work_as_before(cp):
    torch = pytest.importorskip("torch")
    same(fit(model(), torch.from_numpy(X), torch.from_numpy(Y).requires_grad_()), fit(model()))


# --------------------------------------------------------------------------- larger than the device
class Watch(Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.seen = [*getattr(self, "seen", []), (batch, logs["loss"])]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shuffle": False},
        {"steps_per_epoch": 5},
        {"validation_split": 0.3},
        {"sample_weight": RNG.random(150), "batch_size": 7},
    ],
    ids=["shuffled", "in order", "part of an epoch", "validation", "weights"],
)
def test_data_that_do_not_fit_give_the_same_bits(cp, monkeypatch, options):
    expected = fit(model(metrics=["accuracy"]), **options)
    for limit in (800, 1500, 3000):
        monkeypatch.setenv(feed.LIMIT, str(limit + 1000 * ("sample_weight" in options)))
        found = fit(model(metrics=["accuracy"]), **options)
        np.testing.assert_array_equal(found[0], expected[0])
        for key, values in expected[1].items():
            np.testing.assert_allclose(found[1][key], values, rtol=1e-12)


def test_it_is_staged_and_prefetches(cp, monkeypatch):
    monkeypatch.setenv(feed.LIMIT, "1600")
    feeds = []
    original = feed.Feed._stage

    def spy(self, epoch, number):
        feeds.append((epoch, number))
        original(self, epoch, number)

    monkeypatch.setattr(feed.Feed, "_stage", spy)
    fit(model(), epochs=2)
    wanted = [(epoch, number) for epoch in range(2) for number in range(5)]
    assert list(dict.fromkeys(feeds)) == [*wanted, (2, 0)]


def test_results_are_brought_back_row_by_row(cp, monkeypatch):
    expected = fit(model(metrics=["AUC"]), epochs=2)
    net = model()
    predicted, scores = net.predict(X, verbose=0), net.evaluate(X, Y, verbose=0)
    monkeypatch.setenv(feed.LIMIT, "1600")
    same(fit(model(metrics=["AUC"]), epochs=2), expected)
    net = model()
    np.testing.assert_array_equal(net.predict(X, verbose=0), predicted)
    np.testing.assert_allclose(net.evaluate(X, Y, verbose=0), scores, rtol=1e-12)


def test_steps_one_by_one_go_through_the_same_portions(cp, monkeypatch):
    watches = [Watch(), Watch()]
    fit(model(), callbacks=[watches[0]])
    monkeypatch.setenv(feed.LIMIT, "1600")
    fit(model(), callbacks=[watches[1]])
    assert watches[0].seen == watches[1].seen and len(watches[0].seen) == 30


def test_a_batch_that_does_not_fit_says_so(cp, monkeypatch):
    monkeypatch.setenv(feed.LIMIT, "1600")
    with pytest.raises(DeviceError, match=r"a batch of 100 rows takes 2400 bytes.*smaller batch_size"):
        fit(model(), batch_size=100)


def test_a_loss_that_overflows_stops_between_portions(cp, monkeypatch):
    def stopped():
        net = model(loss="mse")
        net.optimizer.learning_rate = 1e38
        with pytest.raises(fastnn.errors.NonFiniteLossError) as caught:
            net.fit(X, Y * 1e30, batch_size=16, epochs=3, verbose=0)
        return str(caught.value), net.storage.array.copy()

    expected = stopped()
    monkeypatch.setenv(feed.LIMIT, "1600")
    staged, original = set(), feed.Feed._stage

    def spy(self, epoch, number):
        staged.add((epoch, number))
        original(self, epoch, number)

    monkeypatch.setattr(feed.Feed, "_stage", spy)
    found = stopped()
    assert found[0] == expected[0]
    assert staged == {(0, 0), (0, 1)}  # the first batch overflows: nothing is read after the next portion
    np.testing.assert_array_equal(found[1], expected[1])
