"""Schedules against Keras and PyTorch; the rates of the program against those of Python, to the bit."""

import inspect
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from schedule_cases import KERAS, ONE_CYCLE, STEPS

from fastnn import optimizers, schedules
from fastnn.backends.cpu import kernels, registers
from fastnn.backends.cpu.eager import ArrayRef, Call
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.errors import ArgumentError, DtypeError, UnknownNameError
from fastnn.ops.registry import Spec

RECORDED = json.loads(Path(__file__).with_name("keras_schedules.json").read_text())
each_record = pytest.mark.parametrize(
    "record", RECORDED["records"], ids=lambda record: record["class_name"]
)  # fmt: skip
OURS = [getattr(schedules, name)(**arguments) for name, arguments in KERAS]
OURS += [schedules.OneCycle(**arguments) for arguments in ONE_CYCLE]


# --------------------------------------------------------------------------- Keras, PyTorch
def test_the_record_is_of_these_cases():
    assert RECORDED["steps"] == STEPS
    assert [record["class_name"] for record in RECORDED["records"]] == [name for name, _ in KERAS]


@each_record
def test_rates_are_keras(record):
    schedule = schedules.deserialize({key: record[key] for key in ("class_name", "config")})
    rates = [schedule(step) for step in STEPS]
    # Keras computes in float32: near the end of a decay its rates are differences of nearby numbers.
    np.testing.assert_allclose(rates, record["rates"], 1e-5, 2e-7 * max(record["rates"]))


@each_record
def test_arguments_and_configuration_are_keras(record):
    cls = getattr(schedules, record["class_name"])
    empty = inspect.Parameter.empty
    ours = [
        [p.name, None if p.default is empty else p.default]
        for p in inspect.signature(cls).parameters.values()
    ]
    assert ours == record["signature"]
    schedule = cls(**record["config"])
    assert schedule.get_config() == record["config"]


@pytest.mark.parametrize("arguments", ONE_CYCLE, ids=str)
def test_one_cycle_is_pytorchs(arguments):
    torch = pytest.importorskip("torch")
    total = arguments["total_steps"]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no step of the optimizer is taken
        theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, cycle_momentum=False, **arguments)
        for _ in range(total):
            rates.append(theirs.get_last_lr()[0])
            if len(rates) < total:
                theirs.step()
    ours = schedules.OneCycle(**arguments)
    np.testing.assert_allclose([ours(step) for step in range(total)], rates, 1e-12, 1e-16)
    assert ours(total) == ours(total - 1) == ours(10 * total)
    defaults = inspect.signature(torch.optim.lr_scheduler.OneCycleLR).parameters
    for name, parameter in list(inspect.signature(schedules.OneCycle).parameters.items())[2:-1]:
        assert parameter.default == defaults[name].default, name


def test_one_cycle_with_an_empty_first_phase_begins_at_its_peak():
    assert schedules.OneCycle(0.5, 10, pct_start=0.1)(0) == 0.5  # PyTorch divides by zero here


@pytest.mark.parametrize("t_mul", [1.0, 1.5, 2.0, 3.0, 10.0])
def test_restarts_fall_on_their_steps(t_mul):
    schedule = schedules.CosineDecayRestarts(1.0, 4, t_mul, 0.5)
    start, length, height = 0.0, 4.0, 1.0
    for step in range(20_000):
        while step >= start + length:
            start, length, height = start + length, length * t_mul, height * 0.5
        expected = height * 0.5 * (1.0 + math.cos(math.pi * (step - start) / length))
        assert schedule(step) == pytest.approx(expected, abs=1e-9 * height), step


# --------------------------------------------------------------------------- the program's
def compiled_rates(schedule, steps, switch=1.0):
    """Run the instruction for each step; returns what it wrote over -1."""
    numbers = np.array([switch, *schedule.numbers()])
    rate = np.full(1, -1.0)
    call = Call(
        schedule.op,
        (ArrayRef(numbers.ctypes.data, Spec((len(numbers),), rows=False)),),
        (ArrayRef(rate.ctypes.data, Spec((1,), rows=False)),),
        {},
    )
    (row,) = kernels.lower(call, Target())
    count, source, target = row.operands
    words = np.array([0, count, source.address, 0, target.address, 0], np.int64)
    r = np.zeros(registers.COUNT, np.int64)
    kernel = compile_kernel(row.key, row.make, row.exact)
    found = []
    for step in steps:
        r[registers.STEP] = step
        kernel.call(words.ctypes.data, r.ctypes.data)
        found.append(rate[0])
    return found


@pytest.mark.parametrize("schedule", OURS, ids=repr)
def test_compiled_rates_are_pythons_to_the_bit(schedule):
    steps = [*range(200), 12_345, 2**31, 2**40]
    assert compiled_rates(schedule, steps) == [schedule(step) for step in steps]
    assert compiled_rates(schedule, [3], switch=0.0) == [-1.0]


def test_a_rate_beyond_the_range_of_float64_is_infinite_in_both():
    schedule = schedules.ExponentialDecay(0.1, 1, 10.0)
    assert compiled_rates(schedule, [400]) == [math.inf] == [schedule(400)]
    with pytest.raises(ArgumentError, match=r"step 400.*inf"):
        optimizers.SGD(schedule).learning_rate_at(400)


# --------------------------------------------------------------------------- as arguments
@pytest.mark.parametrize("schedule", OURS, ids=repr)
def test_schedules_survive_their_configuration(schedule):
    config = json.loads(json.dumps(optimizers.Adam(schedule).get_config()))
    again = optimizers.get({"class_name": "Adam", "config": config}).learning_rate
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()
    assert eval(repr(schedule), vars(schedules)).get_config() == schedule.get_config()


def test_keras_module_name_has_them_too():
    for name in (
        *{name for name, _ in KERAS},
        "OneCycle",
        "LearningRateSchedule",
        "serialize",
        "deserialize",
    ):
        assert getattr(optimizers.schedules, name) is getattr(schedules, name)


WRONG = [
    ("ExponentialDecay", {"decay_steps": 0}, r"decay_steps.*\(0"),
    ("ExponentialDecay", {"decay_rate": -0.5}, "decay_rate.*-0.5"),
    ("ExponentialDecay", {"initial_learning_rate": "fast"}, "initial_learning_rate.*'fast'"),
    ("ExponentialDecay", {"staircase": 1}, "staircase.*True or False"),
    ("ExponentialDecay", {"name": ""}, "name.*non-empty"),
    ("InverseTimeDecay", {"decay_rate": math.nan}, "decay_rate.*nan"),
    ("PiecewiseConstantDecay", {"boundaries": [1, 2]}, "2 boundaries and 4 values"),
    ("PiecewiseConstantDecay", {"boundaries": [], "values": [0.1]}, "0 boundaries"),
    ("PiecewiseConstantDecay", {"boundaries": [3, 3, 5]}, "must increase"),
    ("PiecewiseConstantDecay", {"boundaries": 3}, "boundaries.*list of numbers"),
    ("PiecewiseConstantDecay", {"values": [1, 2, -1, 0]}, r"values\[2\].*-1"),
    ("PolynomialDecay", {"power": -1}, "power.*-1"),
    ("PolynomialDecay", {"end_learning_rate": math.inf}, "end_learning_rate.*inf"),
    ("CosineDecay", {"alpha": -0.1}, "alpha.*-0.1"),
    ("CosineDecay", {"warmup_steps": 5}, "warmup_steps.*needs a `warmup_target`"),
    ("CosineDecayRestarts", {"t_mul": 0.5}, "t_mul.*0.5"),
    ("CosineDecayRestarts", {"alpha": 1.5}, "alpha.*1.5"),
    ("OneCycle", {"total_steps": 2.5}, "total_steps.*integer.*2.5"),
    ("OneCycle", {"pct_start": 1.5}, "pct_start.*1.5"),
    ("OneCycle", {"anneal_strategy": "cosine"}, "anneal_strategy.*'cos', 'linear'"),
    ("OneCycle", {"div_factor": 0}, "div_factor"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG, ids=str)
def test_bad_arguments_are_refused(name, arguments, message):
    good = dict([*KERAS, ("OneCycle", ONE_CYCLE[0])][::-1])[name]
    with pytest.raises(ArgumentError, match=f"(?s){message}") as raised:
        getattr(schedules, name)(**{**good, **arguments})
    assert name in str(raised.value)


def test_bad_steps_and_configurations_are_refused():
    schedule = schedules.CosineDecay(0.1, 10)
    for step in (-1, "3", math.nan):
        with pytest.raises(ArgumentError, match=r"step.*CosineDecay"):
            schedule(step)
    assert schedule(np.int64(5)) == schedule(5)
    with pytest.raises(UnknownNameError, match="cosine_decay"):
        schedules.deserialize({"class_name": "CosineDecai", "config": {}})
    with pytest.raises(DtypeError):
        schedules.deserialize(3)
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule()(0)
