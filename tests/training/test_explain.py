"""Model.explain_speed: it measures, it does not train, and what it says is so."""

import numpy as np
import pytest
from training_nets import NETS, digest, table

from fastnn import Input, Model, layers, optimizers
from fastnn.backends.cpu import cut, profile
from fastnn.errors import ArgumentError, DeviceError, NotBuiltError, ShapeError
from fastnn.models import Sequential
from fastnn.training.table import read_table
from fastnn.training.trainer import Training


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """Measure for a moment: these tests look at what is said, not at how precise it is."""
    monkeypatch.setattr(profile, "ROW_SECONDS", 5e-4)
    monkeypatch.setattr(profile, "STEP_SECONDS", 2e-3)
    monkeypatch.setattr(profile, "PASS_SECONDS", 2e-4)
    monkeypatch.setattr(profile, "PASSES", 1)
    monkeypatch.setattr(profile, "GEMM_SIDES", (64,))


def bits(model):
    """Everything of a model that training changes."""
    state = model._state
    found = [*model.get_weights(), [model.iterations, model.seed]]
    return digest(*found, *([] if state is None else [*state.slots, state.hyper, [state.step, state.epoch]]))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("fitted", [False, True], ids=["new", "fitted"])
def test_nothing_is_trained(name, fitted):
    models = []
    for explained in (False, True):
        model, x, y, options = NETS[name]()
        if fitted:
            model.fit(x, y, verbose=0, **options)
        before = bits(model)
        if explained:
            model.explain_speed(x, options["batch_size"], y, threads=2)
            model.explain_speed(x, options["batch_size"])
        assert bits(model) == before
        model.fit(x, y, verbose=0, **options)
        models.append(bits(model))
    assert models[0] == models[1]


def test_a_model_that_waits_for_its_shape_still_waits():
    x, y = table(64, 3)

    def waiting():
        model = Sequential([layers.Dense(4, "relu"), layers.Dense(1)], seed=3)
        model.compile("adam", "mse")
        return model

    explained, other = waiting(), waiting()
    assert "Dense" not in str(explained.explain_speed(x, 8)) and not explained.built
    for model in (explained, other):
        model.fit(x, y, epochs=2, verbose=0)
    assert bits(explained) == bits(other)


def test_rows_are_those_of_the_step():
    model, x, y, _ = NETS["dropout"]()
    report = model.explain_speed(x, 512, y, threads=1)
    products = [row.op for row in report.rows if row.product]
    assert products == ["dense"] * 3 + ["dense_dx", "dense_dw"] * 2 + ["dense_dw"]
    assert {row.section for row in report.rows} == {"block", "update"}
    assert report.rows[-1].op == "adam" and report.rows[-1].section == "update"
    assert all(row.microseconds > 0 and row.floor >= 0 and row.times > 0 for row in report.rows)
    assert (report.threads, report.team) == (1, None)
    assert 0 < report.products < report.total
    session_cut = cut.rows_per_block(_program(model, x, y, 512), 512)
    assert (report.block, report.lanes) == session_cut
    assert report.blocks == -(-512 // report.block)


def _program(model, x, y, batch):
    return Training(model, read_table(model, x, y), batch, rehearsal=True).plan.program


def test_floors_count_the_arithmetic_and_the_bytes(monkeypatch):
    monkeypatch.setattr(profile, "gemm_rate", lambda dtype: 1e6)
    monkeypatch.setattr(profile, "bandwidth", lambda size: 1e9)
    model = Sequential([layers.Dense(32, input_shape=(20,)), layers.Dense(40)], seed=1)
    model.compile("sgd", "mse")
    rows = model.explain_speed(np.ones((64, 20), "f4"), 16, shuffle=False).rows
    forward = next(row for row in rows if row.op == "dense")
    assert (forward.bound, forward.floor) == ("arithmetic", 2 * 16 * 20 * 32)  # microseconds at 1 MFLOP/s
    update = rows[-1]
    elements = 20 * 32 + 32 + 32 * 40 + 48  # each variable begins at a multiple of 16
    assert update.bound == "memory"
    assert update.floor == pytest.approx((2 * 4 * elements + 8 * 3) / 1e3)


def test_rows_after_an_accumulation_run_less_often():
    model = Sequential([layers.Dense(4, input_shape=(3,))], seed=1)
    model.compile(optimizers.Adam(gradient_accumulation_steps=4), "mse")
    rows = model.explain_speed(np.ones((64, 3), "f4"), 16).rows
    times = {row.op: row.times for row in rows}
    assert times["accumulate_gradients"] == 1 and times["adam"] == 0.25


@pytest.mark.parametrize(
    "name, batch, threads, reason",
    [
        ("narrow", 20_000, 2, "asked for: threads=2"),
        ("narrow", 20_000, 1, "asked for: threads=1"),
        ("small", 32, 2, "one lane is nothing to share"),
        ("normalized", 512, 2, "one lane is nothing to share"),
    ],
)
def test_why_so_many_threads(name, batch, threads, reason):
    model, x, _, _ = NETS[name]()
    report = model.explain_speed(x, batch, threads=threads)
    assert report.why["threads"] == reason
    assert (report.team is None) == (report.threads == 1)
    assert ("would be kept" in str(report)) == (report.threads > 1)


def test_why_so_many_lanes_and_rows():
    model, x, _, _ = NETS["normalized"]()
    report = model.explain_speed(x, 512)
    assert "mixes the rows of a batch" in report.why["block"] and "one thread" in report.why["lanes"]
    model, x, _, _ = NETS["small"]()
    report = model.explain_speed(x, 32)
    assert "a lane is worth 2,000,000" in report.why["lanes"] and "the batch has fewer" in report.why["block"]
    model, x, _, _ = NETS["large"]()
    assert "more than a tenth of a step" in model.explain_speed(x, 1_024).why["lanes"]
    model, x, _, _ = NETS["wide"]()
    report = model.explain_speed(x, 1_000)
    assert "share each product" in report.why["lanes"] and "layers are wide" in report.why["block"]
    assert (report.lanes, report.blocks) == (1, 1)
    assert "more than a tenth" not in model.explain_speed(x, 2_300).why["lanes"]


def test_several_outputs_need_no_targets():
    inputs = Input(shape=(5,))
    hidden = layers.Dense(8, "relu")(inputs)
    heads = [layers.Dense(3, "softmax", name="kind")(hidden), layers.Dense(1, name="size")(hidden)]
    model = Model(inputs, [*heads, layers.Dense(2, name="free")(hidden)])
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    model.compile("adam", losses, metrics={"size": ["mae"]})
    report = model.explain_speed(np.ones((50, 5)), 10)
    assert sum(row.op == "dense" for row in report.rows) == 3  # the head without a loss is not computed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_table(dtype):
    model = Sequential([layers.Dense(3, "tanh", input_shape=(2,))], dtype=dtype, name="a<b")
    model.compile("sgd", "mse")
    report = model.explain_speed(np.ones((40, 2)), 8)
    text = str(report)
    assert repr(report) == text and dtype in text
    for row in report.rows:
        assert row.op in text and row.kernel in text
    for word in ("lane", "thread", "block", "GFLOP/s", "GB/s", "outside"):
        assert word in text
    page = report._repr_html_()
    assert page.count("<tr>") == len(report.rows) + 1
    assert "a&lt;b" in page and "a<b" not in page


def test_what_cannot_be_explained(monkeypatch):
    model = Sequential([layers.Dense(1, input_shape=(2,))])
    x = np.ones((4, 2))
    with pytest.raises(NotBuiltError, match="must be compiled first"):
        model.explain_speed(x)
    model.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="one row per example"):
        model.explain_speed()
    with pytest.raises(ShapeError, match="expected shape"):
        model.explain_speed(np.ones((4, 3)))
    with pytest.raises(ShapeError, match="y must have as many"):
        model.explain_speed(x, 2, np.ones(3))
    for wrong in ({"batch_size": 0}, {"threads": 0}, {"shuffle": "yes"}, {"batch_size": 1.5}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            model.explain_speed(x, **wrong)
    monkeypatch.setattr(model, "device", "gpu")
    with pytest.raises(DeviceError, match="expected a model on 'cpu'"):
        model.explain_speed(x)
