"""Optimizer updates: each kernel against NumPy float64, the same bits for any slicing, packed loops."""

import platform
import re

import numpy as np
import pytest
from update_team import Reference, Team, close, each_dtype, each_optimizer, parameters

from fastnn import constraints, ops, optimizers, regularizers
from fastnn.backends.cpu import jit
from fastnn.errors import ArgumentError, DtypeError, ShapeError
from fastnn.graph.update import UpdateParameter, plan_update
from fastnn.ops.updates import NORM_EPSILON, UPDATES, rule_name


@each_dtype
@each_optimizer
def test_update_follows_the_reference(optimizer, dtype):
    team = Team(optimizer, dtype)
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(), start=1):
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, dtype)
    for number, slot in enumerate(optimizer.slots()):
        close(team.views(team.slots[number]), {k: s[slot] for k, s in reference.slots.items()}, dtype)
    assert not team.p[64:80].any(), "a frozen parameter was touched"


@pytest.mark.parametrize("cuts", [(16,), (48, 64, 80), (0, 4000, 4016, 9936), tuple(range(16, 512, 16))])
@each_dtype
@each_optimizer
def test_bits_do_not_depend_on_the_slices(optimizer, dtype, cuts):
    results = []
    for where in ((), cuts):
        extra = {
            "w2": {"regularizer": regularizers.L1L2(0.1, 0.1)},
            "w3": {"constraint": constraints.NonNeg()},
        }
        team = Team(optimizer, dtype, where, lanes=3, **extra)
        for _ in team.train(4):
            pass
        results.append([team.p.tobytes(), team.sums.tobytes(), *(slot.tobytes() for slot in team.slots)])
    assert results[0] == results[1]


def test_padding_stays_zero_without_an_epsilon():
    optimizer = optimizers.Adam(epsilon=0.0)
    team = Team(optimizer, np.float32)
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(3), start=1):
        reference.step(gradients, t)
    assert np.isfinite(team.p).all()
    close(team.views(team.p), reference.w, np.float32)


def test_nadam_resumes_whatever_its_state():
    optimizer = optimizers.Nadam(0.01)
    whole, resumed = Team(optimizer, np.float64), Team(optimizer, np.float64)
    for number, (_, _) in enumerate(zip(whole.train(6), resumed.train(6), strict=True)):
        if number in (2, 4):
            resumed.hyper[5:7] = (0.0, 1.0) if number == 2 else (77.0, 0.123)
    assert whole.p.tobytes() == resumed.p.tobytes()


def test_learning_rate_is_read_at_every_step():
    team = Team(optimizers.SGD(0.1), np.float64)
    expected = team.views(team.p.copy())
    for number, gradients in enumerate(team.train(2)):
        team.hyper[0] = rate = (0.25, 2.0)[number]
        expected = {name: w - rate * gradients[name] for name, w in expected.items()}
    close(team.views(team.p), expected, np.float64)


def test_plan_joins_neighbours_and_checks_last():
    found, size = parameters()
    plan = plan_update(optimizers.Adam(), found, lanes=16)
    ops_in_order = [i.op for i in plan.instructions]
    assert ops_in_order == ["reduce_gradients"] * 2 + ["check_finite"] * 2 + ["adam"] * 2
    assert [i.attrs["last"] for i in plan.instructions if i.op == "check_finite"] == [False, True]
    adam = [(i.attrs["start"], i.outputs[0].spec.size) for i in plan.instructions if i.op == "adam"]
    assert adam == [(0, 64), (80, size - 80)]
    assert plan.hyper == [0.001, 0.0, 0.9, 0.999, 1e-7]
    alone = plan_update(optimizers.Adam(), found, lanes=1)
    assert "reduce_gradients" not in [i.op for i in alone.instructions]
    assert plan_update(optimizers.Adam(use_ema=True), []).instructions == []


def test_plan_refuses_what_it_cannot_do():
    with pytest.raises(ArgumentError, match="multiple of 16"):
        plan_update(optimizers.SGD(), [UpdateParameter("w", 5, (3,))])
    with pytest.raises(ShapeError, match="axis 1"):
        wrong = UpdateParameter("w", 0, (3,), constraint=constraints.UnitNorm(axis=1))
        plan_update(optimizers.SGD(), [wrong])
    with pytest.raises(ArgumentError, match="cannot be compiled"):
        plan_update(optimizers.SGD(), [UpdateParameter("w", 0, (3,), constraint=constraints.Constraint())])


@each_optimizer
def test_records_agree_with_the_optimizers(optimizer):
    assert tuple(optimizer.hyper()) == ("weight_decay", *UPDATES[optimizer.op].numbers)
    assert constraints.EPS == NORM_EPSILON


@each_dtype
@each_optimizer
def test_array_functions_follow_the_reference(optimizer, dtype):
    rng = np.random.default_rng(3)
    w = rng.standard_normal((3, 7)).astype(dtype)
    slots = {name: np.full_like(w, optimizer.slot_init(name)) for name in optimizer.slots()}
    expected, state = w.astype(np.float64), optimizer.init_slots(w)
    takes_step = optimizer.op in ("adam", "adamax", "nadam", "radam")
    names = {"sgd": {"momentum": "velocity"}, "rmsprop": {"momentum": "momentum_buffer"},
             "adadelta": {"accumulated_delta_var": "accumulated_delta"}}.get(optimizer.op, {})  # fmt: skip
    for t in range(1, 9):
        g = rng.standard_normal(w.shape).astype(dtype)
        given = {names.get(name, name): slot for name, slot in slots.items()}
        options = {**optimizer.hyper(), **optimizer.flags(), **({"step": t} if takes_step else {})}
        function = getattr(ops, f"{optimizer.op}_inplace")
        assert function(w, g, **given, learning_rate=optimizer.learning_rate, **options) is None
        optimizer.reference_step(expected, g.astype(np.float64), state, t, optimizer.learning_rate)
    close({"w": w, **slots}, {"w": expected, **state}, dtype)


def test_array_functions_refuse_arrays_they_cannot_overwrite():
    w, g = np.ones((4, 4)), np.ones((4, 4))
    frozen = w.copy()
    frozen.setflags(write=False)
    cases = [
        (DtypeError, ([1.0], g)),
        (DtypeError, (w.astype(int), g)),
        (DtypeError, (w, g.astype("f4"))),
        (ShapeError, (w, g[:2])),
        (ArgumentError, (w.T[:, :2], g[:, :2])),
        (ArgumentError, (frozen, g)),
        (ArgumentError, (w, w)),
        (ArgumentError, (w, g, w.copy())),  # a velocity without momentum
    ]
    for error, arrays in cases:
        with pytest.raises(error, match="sgd_inplace"):
            ops.sgd_inplace(*arrays)
    with pytest.raises(ArgumentError, match="velocity"):
        ops.sgd_inplace(w, g, momentum=0.9)
    with pytest.raises(ArgumentError, match="step=0"):
        ops.adam_inplace(w, g, w.copy(), w.copy(), step=0)
    np.testing.assert_array_equal(w, 1.0)


@pytest.fixture
def assembly(monkeypatch):
    """Compile a team's kernels anew: one that comes from the disk cache has no assembly to read."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("reads x86 assembly")
    monkeypatch.setattr(jit, "cache_folder", lambda: None)

    def compiled(team, name):
        row = next(row for row in team.rows if row.key.split("(")[0] == name)
        return jit.Kernel(row.key, row.make, row.exact).assembly()

    return compiled


@each_dtype
@each_optimizer
def test_updates_are_packed(optimizer, dtype, assembly):
    suffix = "ps" if dtype == np.float32 else "pd"
    name = rule_name(optimizer.op, optimizer.flags(), len(optimizer.slots()))
    code = assembly(Team(optimizer, dtype), name)
    assert re.search(rf"mul{suffix}\s.*[xyz]mm", code)
    assert not re.search(r"fn?m(add|sub)", code), "the remainder may round unlike the packed loop"
    if optimizer.op in ("rmsprop", "adam", "adagrad", "adadelta", "nadam", "radam"):
        assert re.search(rf"sqrt{suffix}\s", code) and re.search(rf"div{suffix}\s", code)


@each_dtype
def test_sums_and_checks_of_gradients_are_packed(dtype, assembly):
    team = Team(optimizers.SGD(), dtype, lanes=4)
    suffix, letter = ("ps", "d") if dtype == np.float32 else ("pd", "q")
    assert re.search(rf"add{suffix}\s.*[xyz]mm", assembly(team, "reduce_gradients"))
    check = assembly(team, "check_finite")
    assert re.search(rf"v?p(and[{letter}]?|max[su]{letter}|cmp[a-z]*{letter})\s.*[xyz]mm", check)
