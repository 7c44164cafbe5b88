"""The optimizers as descriptions: arguments, state, configuration, and the reference update."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.errors import ArgumentError, DtypeError, UnknownNameError
from fastnn.optimizers import (
    SCHEDULES,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    LearningRateSchedule,
    Lion,
    Nadam,
    RAdam,
    RMSprop,
)

ALL = [SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, RAdam, Lion]
SHARED = (
    "clipnorm=None clipvalue=None global_clipnorm=None use_ema=False ema_momentum=0.99 "
    "ema_overwrite_frequency=None loss_scale_factor=None gradient_accumulation_steps=None name=None"
)
ADAM = "learning_rate=0.001 beta_1=0.9 beta_2=0.999 epsilon=1e-07"

# Arguments, order and defaults, transcribed from Keras 3.15.1 (RAdam: Keras has none).
KERAS = {
    SGD: "learning_rate=0.01 momentum=0.0 nesterov=False weight_decay=None",
    RMSprop: "learning_rate=0.001 rho=0.9 momentum=0.0 epsilon=1e-07 centered=False weight_decay=None",
    Adagrad: "learning_rate=0.001 initial_accumulator_value=0.1 epsilon=1e-07 weight_decay=None",
    Adadelta: "learning_rate=0.001 rho=0.95 epsilon=1e-07 weight_decay=None",
    Adam: f"{ADAM} amsgrad=False weight_decay=None",
    AdamW: "learning_rate=0.001 weight_decay=0.004 beta_1=0.9 beta_2=0.999 epsilon=1e-07 amsgrad=False",
    Adamax: f"{ADAM} weight_decay=None",
    Nadam: f"{ADAM} weight_decay=None",
    RAdam: f"{ADAM} weight_decay=None",
    Lion: "learning_rate=0.001 beta_1=0.9 beta_2=0.99 weight_decay=None",
}


@pytest.mark.parametrize("cls", ALL)
def test_signature_is_that_of_keras(cls):
    parameters = inspect.signature(cls).parameters.values()
    assert " ".join(f"{p.name}={p.default!r}" for p in parameters) == f"{KERAS[cls]} {SHARED}"


# ------------------------------------------------------- the reference update, against PyTorch

STEPS = 10


def problem():
    """Return a start and one gradient per step, with no element near 0."""
    rng = np.random.default_rng(7)
    sign = rng.choice([-1.0, 1.0], size=(STEPS, 4, 3))
    return rng.normal(size=(4, 3)), sign * rng.uniform(0.1, 2.0, size=(STEPS, 4, 3))


def run_ours(optimizer, before_step=lambda optimizer, t: None):
    param, grads = problem()
    slots = optimizer.init_slots(param)
    for t, grad in enumerate(grads, start=1):
        before_step(optimizer, t)
        kept = grad.copy()
        optimizer.reference_step(param, grad, slots, t, optimizer.learning_rate_at(t - 1))
        np.testing.assert_array_equal(grad, kept)
    return param


def run_torch(name, **arguments):
    torch = pytest.importorskip("torch", reason="the reference updates are compared with PyTorch's")
    start, grads = problem()
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam keeps the product of its momenta in this dtype
    try:
        param = torch.nn.Parameter(torch.tensor(start))
        optimizer = getattr(torch.optim, name)([param], **arguments)
        for grad in grads:
            param.grad = torch.tensor(grad)
            optimizer.step()
    finally:
        torch.set_default_dtype(default)
    return param.detach().numpy()


# Where the two put epsilon in different places (inside or outside a root), both get 0: the rest of
# the equation is then the same, and the tests further down pin where ours puts it.
AGAINST_TORCH = {
    "sgd": (SGD(0.1), "SGD", {"lr": 0.1}),
    "sgd_momentum": (SGD(0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd_nesterov": (
        SGD(0.1, momentum=0.9, nesterov=True),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    "rmsprop": (RMSprop(0.01, epsilon=0.0), "RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 0.0}),
    "rmsprop_momentum_centered": (
        RMSprop(0.01, rho=0.8, momentum=0.5, epsilon=0.0, centered=True),
        "RMSprop",
        {"lr": 0.01, "alpha": 0.8, "momentum": 0.5, "eps": 0.0, "centered": True},
    ),
    "adagrad": (
        Adagrad(0.1, initial_accumulator_value=0.3, epsilon=0.0),
        "Adagrad",
        {"lr": 0.1, "initial_accumulator_value": 0.3, "eps": 0.0},
    ),
    "adadelta": (Adadelta(1.0, epsilon=1e-3), "Adadelta", {"lr": 1.0, "rho": 0.95, "eps": 1e-3}),
    "adam": (Adam(0.01, epsilon=0.0), "Adam", {"lr": 0.01, "eps": 0.0}),
    "adam_amsgrad": (
        Adam(0.01, beta_2=0.5, epsilon=0.0, amsgrad=True),
        "Adam",
        {"lr": 0.01, "betas": (0.9, 0.5), "eps": 0.0, "amsgrad": True},
    ),
    "adamw": (AdamW(0.01, epsilon=0.0), "AdamW", {"lr": 0.01, "weight_decay": 0.004, "eps": 0.0}),
    "adamax": (Adamax(0.01, epsilon=0.0), "Adamax", {"lr": 0.01, "eps": 0.0}),
    "nadam": (
        Nadam(0.01, epsilon=1e-3),
        "NAdam",
        {"lr": 0.01, "eps": 1e-3, "momentum_decay": 1.0},
    ),
    "nadam_weight_decay": (
        Nadam(0.01, epsilon=1e-3, weight_decay=0.1),
        "NAdam",
        {
            "lr": 0.01,
            "eps": 1e-3,
            "momentum_decay": 1.0,
            "weight_decay": 0.1,
            "decoupled_weight_decay": True,
        },
    ),
    "radam": (RAdam(0.01, epsilon=1e-3), "RAdam", {"lr": 0.01, "eps": 1e-3}),
    "radam_never_rectified": (
        RAdam(0.01, beta_2=0.5),
        "RAdam",
        {"lr": 0.01, "betas": (0.9, 0.5), "eps": 1e-7},
    ),
}


@pytest.mark.parametrize("case", AGAINST_TORCH)
def test_ten_reference_steps_agree_with_torch(case):
    ours, name, arguments = AGAINST_TORCH[case]
    np.testing.assert_allclose(run_ours(ours), run_torch(name, **arguments), rtol=1e-13, atol=1e-14)


def test_adam_with_torchs_epsilon_brought_to_epsilon_hat():
    """PyTorch adds eps after the bias correction; epsilon hat = eps sqrt(1 - beta_2**t)."""

    def bring(optimizer, t):
        optimizer.epsilon = 1e-2 * np.sqrt(1.0 - 0.999**t)

    expected = run_torch("Adam", lr=0.01, eps=1e-2)
    np.testing.assert_allclose(run_ours(Adam(0.01), bring), expected, rtol=1e-13, atol=1e-14)


# -------------------------------------- the equations by hand: one element, a large epsilon


def one_step(optimizer, grad=2.0, weight=1.0, t=1):
    param = np.array([weight])
    slots = optimizer.init_slots(param)
    optimizer.reference_step(param, np.array([grad]), slots, t, 0.5)
    return param[0], slots


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (RMSprop(epsilon=0.3), 1 - 0.5 * 2 / np.sqrt(0.1 * 4 + 0.3)),
        (RMSprop(epsilon=0.3, centered=True), 1 - 0.5 * 2 / np.sqrt(0.4 - 0.04 + 0.3)),
        (Adagrad(epsilon=0.3), 1 - 0.5 * 2 / np.sqrt(0.1 + 4 + 0.3)),
        (Adadelta(epsilon=0.3), 1 - 0.5 * 2 * np.sqrt(0.3) / np.sqrt(0.05 * 4 + 0.3)),
        (Adam(epsilon=0.3), 1 - 0.5 * np.sqrt(0.001) / 0.1 * 0.2 / (np.sqrt(0.004) + 0.3)),
        (Adamax(epsilon=0.3), 1 - 0.5 * 0.2 / (0.1 * (2 + 0.3))),
        (RAdam(epsilon=0.3), 1 - 0.5 * 2),
        (Lion(), 1 - 0.5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, optimizers.Optimizer) else "",
)
def test_first_step_by_hand_with_a_large_epsilon(optimizer, expected):
    assert one_step(optimizer)[0] == pytest.approx(expected, rel=1e-13)


def test_lion_mixes_with_beta_1_and_remembers_with_beta_2():
    optimizer = Lion(beta_1=0.9, beta_2=0.5)
    param, slots = np.zeros(1), {"momentum": np.array([1.0])}
    optimizer.reference_step(param, np.array([-8.0]), slots, 1, 0.5)
    assert param[0] == -0.5 * np.sign(0.9 * 1.0 - 0.1 * 8.0) == -0.5
    assert slots["momentum"][0] == 0.5 * 1.0 - 0.5 * 8.0


@pytest.mark.parametrize("cls", ALL)
def test_weight_decay_is_decoupled_and_comes_first(cls):
    plain, _ = one_step(cls(weight_decay=0.0), weight=1.0 - 1.0 * 0.1 * 0.5)
    decayed, _ = one_step(cls(weight_decay=0.1), weight=1.0)
    assert decayed == pytest.approx(plain, rel=1e-15)


@pytest.mark.parametrize("cls", ALL)
def test_step_counts_from_one(cls):
    with pytest.raises(ArgumentError, match=r"step.*>= 1.*Received: step=0"):
        one_step(cls(), t=0)


# ----------------------------------------------------------------------- clipping and averages


def norm(grads):
    return float(np.sqrt(sum(np.sum(g**2) for g in grads)))


def test_clipping_reference():
    grads = [np.array([3.0, 4.0]), np.array([0.3]), np.zeros(2)]
    each = SGD(clipnorm=1.0).reference_clip(grads)
    np.testing.assert_allclose(each[0], [0.6, 0.8], rtol=1e-15)
    np.testing.assert_array_equal(each[1], [0.3])
    np.testing.assert_array_equal(each[2], [0.0, 0.0])
    together = SGD(global_clipnorm=1.0).reference_clip(grads)
    assert norm(together) == pytest.approx(1.0, rel=1e-14)
    assert together[1][0] / together[0][0] == pytest.approx(0.1, rel=1e-14)
    np.testing.assert_array_equal(SGD(clipvalue=3.5).reference_clip(grads)[0], [3.0, 3.5])
    np.testing.assert_array_equal(SGD().reference_clip(grads)[0], grads[0])
    np.testing.assert_array_equal(grads[0], [3.0, 4.0])


def test_clip_names_the_one_that_is_set():
    assert SGD().clip is None
    assert SGD(clipvalue=2).clip == ("clipvalue", 2.0)
    assert Adam(global_clipnorm=1.5).clip == ("global_clipnorm", 1.5)


def test_moving_average_starts_at_the_first_weights():
    optimizer, average = SGD(use_ema=True, ema_momentum=0.75), np.array([99.0])
    optimizer.reference_ema(average, np.array([4.0]), 1)
    assert average[0] == 4.0
    optimizer.reference_ema(average, np.array([8.0]), 2)
    assert average[0] == 5.0


# ------------------------------------------------------------------ what the engine reads


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        (SGD(), ()),
        (SGD(momentum=0.5), ("momentum",)),
        (RMSprop(), ("velocity",)),
        (RMSprop(momentum=0.5), ("velocity", "momentum")),
        (RMSprop(centered=True), ("velocity", "average_gradient")),
        (Adagrad(), ("accumulator",)),
        (Adadelta(), ("accumulated_grad", "accumulated_delta_var")),
        (Adam(), ("momentum", "velocity")),
        (AdamW(amsgrad=True), ("momentum", "velocity", "velocity_hat")),
        (Adamax(), ("momentum", "norm")),
        (Nadam(), ("momentum", "velocity")),
        (RAdam(), ("momentum", "velocity")),
        (Lion(), ("momentum",)),
    ],
    ids=repr,
)
def test_slots_are_those_in_use(optimizer, slots):
    assert optimizer.slots() == slots
    start = optimizer.initial_accumulator_value if isinstance(optimizer, Adagrad) else 0.0
    assert [optimizer.slot_init(slot) for slot in slots] == [start] * len(slots)


@pytest.mark.parametrize("cls", ALL)
def test_every_own_argument_reaches_the_engine(cls):
    optimizer = cls()
    own = set(KERAS[cls].replace("=", " ").split()) & set(optimizer.argument_names())
    read = set(optimizer.hyper()) | set(optimizer.flags()) | {"learning_rate", "initial_accumulator_value"}
    assert own <= read
    assert all(type(value) is float for value in optimizer.hyper().values())
    assert all(type(value) is bool for value in optimizer.flags().values())


def test_hyper_and_flags():
    assert AdamW(epsilon=1e-8).hyper() == {
        "weight_decay": 0.004,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-8,
    }
    assert SGD(momentum=1, nesterov=True).hyper() == {"weight_decay": 0.0, "momentum": 1.0}
    assert SGD(nesterov=True).flags() == {"nesterov": True}
    assert AdamW.op == Adam.op == "adam"


# ------------------------------------------------------------------------ the learning rate


class Halving(LearningRateSchedule):
    def __init__(self, start=1.0):
        self.start = start

    def __call__(self, step):
        return self.start * 0.5**step


def test_learning_rate_is_settable_and_checked():
    optimizer = SGD(1)
    assert optimizer.learning_rate == 1.0
    optimizer.learning_rate = np.float32(0.25)
    assert optimizer.learning_rate == 0.25
    assert type(optimizer.learning_rate) is float
    with pytest.raises(ArgumentError, match=r"learning_rate.*SGD.*Received: learning_rate=-1"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.25


def test_learning_rate_may_be_a_schedule_or_any_callable():
    assert Adam(Halving(0.8)).learning_rate_at(2) == pytest.approx(0.2)
    assert Adam(lambda step: 1.0 / (1 + step)).learning_rate_at(3) == 0.25
    with pytest.raises(ArgumentError, match=r"learning_rate.*Adam.*step 4.*nan"):
        Adam(lambda step: float("nan")).learning_rate_at(4)


def test_a_schedule_survives_its_configuration():
    SCHEDULES.add(Halving)
    config = json.loads(json.dumps(Adam(Halving(0.8)).get_config()))
    assert Adam.from_config(config).learning_rate_at(1) == pytest.approx(0.4)
    with pytest.raises(ArgumentError, match=r"learning_rate.*lambda"):
        Adam(lambda step: 0.1).get_config()


# ------------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": "fast"}, r"learning_rate.*Received: learning_rate='fast'"),
        ({"learning_rate": float("nan")}, r"learning_rate.*nan"),
        ({"learning_rate": True}, r"learning_rate.*True"),
        ({"weight_decay": -0.1}, r"weight_decay.*-0.1"),
        ({"clipnorm": 0.0}, r"clipnorm.*0.0"),
        ({"clipnorm": 1.0, "clipvalue": 2.0}, r"At most one.*clipnorm=1.0, clipvalue=2.0"),
        ({"use_ema": 1}, r"use_ema.*True or False.*1"),
        ({"ema_momentum": 1.5}, r"ema_momentum.*1.5"),
        ({"ema_overwrite_frequency": 0}, r"ema_overwrite_frequency.*>= 1.*0"),
        ({"gradient_accumulation_steps": 1}, r"gradient_accumulation_steps.*>= 2.*1"),
        ({"gradient_accumulation_steps": 2.0}, r"gradient_accumulation_steps.*integer.*2.0"),
        ({"loss_scale_factor": 128.0}, r"loss_scale_factor.*not implemented.*128.0"),
        ({"name": ""}, r"name.*non-empty"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_shared_arguments_are_checked(cls, arguments, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        cls(**arguments)
    assert cls.__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (SGD, {"momentum": 1.1}),
        (SGD, {"nesterov": "yes"}),
        (RMSprop, {"rho": 1.0}),
        (RMSprop, {"momentum": -0.1}),
        (RMSprop, {"centered": None}),
        (Adagrad, {"initial_accumulator_value": -1.0}),
        (Adadelta, {"epsilon": -1e-9}),
        (Adam, {"beta_1": 1.0}),
        (Adam, {"beta_2": float("inf")}),
        (Adam, {"amsgrad": 1}),
        (AdamW, {"weight_decay": None}),
        (Nadam, {"beta_1": -0.1}),
        (Lion, {"beta_1": 0.0}),
    ],
)
def test_own_arguments_are_checked(cls, arguments):
    ((name, value),) = arguments.items()
    message = rf"`{name}` of {cls.__name__} must be .*Received: {name}={value!r}"
    with pytest.raises(ArgumentError, match=message):
        cls(**arguments)


# ------------------------------------------------------------------- names and configurations


@pytest.mark.parametrize("cls", ALL)
def test_configuration_round_trip(cls):
    optimizer = cls(learning_rate=0.125, global_clipnorm=2, use_ema=True, name="mine")
    config = json.loads(json.dumps(optimizers.serialize(optimizer)))
    again = optimizers.get(config)
    assert type(again) is cls
    assert again.get_config() == optimizer.get_config()
    assert repr(again) == repr(optimizer)
    assert again.name == "mine"


@pytest.mark.parametrize("cls", ALL)
def test_get_by_name_class_and_object(cls):
    assert type(optimizers.get(cls.__name__)) is cls
    assert type(optimizers.get(cls.__name__.lower())) is cls
    assert type(optimizers.get(cls)) is cls
    assert optimizers.get(cls.__name__).name == cls.__name__.lower()
    optimizer = cls()
    assert optimizers.get(optimizer) is optimizer


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Unknown optimizer.*Received: 'adm'. Did you mean 'adam'"):
        optimizers.get("adm")
    with pytest.raises(UnknownNameError, match=r"Unknown argument in SGD.*Did you mean 'momentum'"):
        optimizers.get({"class_name": "SGD", "config": {"momentun": 0.9}})
    with pytest.raises(DtypeError, match=r"optimizer.*Received: 3 of type int"):
        optimizers.get(3)
