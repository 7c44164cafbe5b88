"""Runs the update section of a program as an executor would, and its reference in NumPy float64."""

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.backends.cpu import kernels, registers
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Flag, LaneStride, Target
from fastnn.graph.update import UpdateParameter, plan_update

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

CASES = [
    optimizers.SGD(0.1),
    optimizers.SGD(0.1, weight_decay=0.01),
    optimizers.SGD(0.1, momentum=0.9),
    optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    optimizers.RMSprop(0.01),
    optimizers.RMSprop(0.01, centered=True, epsilon=1e-3),
    optimizers.RMSprop(0.01, momentum=0.7, weight_decay=0.1),
    optimizers.RMSprop(0.01, momentum=0.7, centered=True, epsilon=1e-3),
    optimizers.Adagrad(0.1),
    optimizers.Adadelta(1.0),
    optimizers.Adam(0.01),
    optimizers.Adam(0.01, amsgrad=True, beta_2=0.5),
    optimizers.AdamW(0.01, weight_decay=0.1),
    optimizers.Adamax(0.01),
    optimizers.Nadam(0.01),
    optimizers.RAdam(0.01),
    optimizers.Lion(0.01, weight_decay=0.1),
]


def identify(optimizer):
    switches = [f"{k}={v}" for k, v in optimizer.hyper().items() if v and k in ("momentum", "weight_decay")]
    return "-".join([type(optimizer).__name__, *switches, *(k for k, v in optimizer.flags().items() if v)])


each_optimizer = pytest.mark.parametrize("optimizer", CASES, ids=identify)

SHAPES = {"w1": (7, 5), "b1": (5,), "frozen": (3,), "w2": (5, 33), "b2": (33,), "w3": (33, 300)}


def parameters(**extra):
    """Lay the parameters out; `extra` gives some of them a regularizer or constraint."""
    found, offset = [], 0
    for name, shape in SHAPES.items():
        found.append(UpdateParameter(name, offset, shape, name != "frozen", **extra.get(name, {})))
        offset += -(-found[-1].size // 16) * 16
    return found, offset


class Team:
    """Links a plan as an executor does, and runs it as a team of threads would, one after the other."""

    def __init__(self, optimizer, dtype, cuts=(), lanes=1, batch=1, **extra):
        self.parameters, size = parameters(**extra)
        self.plan = plan_update(optimizer, self.parameters, np.dtype(dtype).name, lanes=lanes)
        self.rng = np.random.default_rng(7)
        self.p, self.g = np.zeros(size, dtype), np.zeros((lanes, size), dtype)
        self.slots = [np.full(size, value, dtype) for _, value in self.plan.slots]
        self.hyper = np.array(self.plan.hyper)
        op, numbers = optimizer.schedule() or ("", ())
        self.schedule = np.array([bool(op), *numbers])
        self.sums = np.zeros(max(len(self.plan.accumulators), 1))
        self.flag = np.zeros(1, np.int64)
        edges = [0, *cuts, size]
        self.threads = np.zeros((len(edges) - 1, registers.COUNT), np.int64)
        self.threads[:, registers.LOW], self.threads[:, registers.HIGH] = edges[:-1], edges[1:]
        self.threads[:, registers.LANES], self.threads[:, registers.BATCH] = lanes, batch
        target = Target(dtype)
        self.rows = [row for step in self.plan.instructions for row in kernels.lower(step, target)]
        self.words = [np.array([0, *self.link(row.operands)], np.int64) for row in self.rows]
        self.kernels = [compile_kernel(row.key, row.make, row.exact) for row in self.rows]
        self.fill(self.p)

    def link(self, operands):
        regions = {
            "parameter": self.p, "gradient": self.g, "hyper": self.hyper, "accumulator": self.sums,
            "schedule": self.schedule,
        }  # fmt: skip
        for operand in operands:
            if isinstance(operand, LaneStride):
                yield self.g.strides[0]
            elif isinstance(operand, Flag):
                yield self.flag.ctypes.data
            elif isinstance(operand, tuple):
                array = self.slots[operand.index] if operand.region == "slot" else regions[operand.region]
                assert operand.offset + operand.spec.size * array.itemsize <= array.nbytes
                yield from (array.ctypes.data + operand.offset, 0)
            else:
                yield int(np.float64(operand).view(np.int64)) if isinstance(operand, float) else operand

    def views(self, flat):
        """Views of the trainable parameters' parts of a flat vector."""
        shaped = {p.name: flat[p.offset : p.offset + p.size].reshape(p.shape) for p in self.parameters}
        return {p.name: shaped[p.name] for p in self.parameters if p.trainable}

    def fill(self, flat):
        for view in self.views(flat).values():
            view[...] = self.rng.standard_normal(view.shape)

    def step(self, number):
        """Run training step `number`, from 0; returns False if the team stopped at the flag."""
        self.threads[:, registers.STEP], self.threads[:, registers.SKIP] = number, 0
        for row, words, kernel in zip(self.rows, self.words, self.kernels, strict=True):
            for r in self.threads if row.sliced else self.threads[:1]:
                if not r[registers.SKIP]:
                    kernel.call(words.ctypes.data, r.ctypes.data)
            if row.checked and self.flag[0]:
                return False
        return True

    def train(self, steps=10):
        """Run steps on fresh gradients; yields them before each, in float64 by name."""
        for number in range(steps):
            for lane in self.g:
                self.fill(lane)
            yield {name: view.astype(np.float64) for name, view in self.views(self.g[0]).items()}
            assert self.step(number)


class Reference:
    """The optimizer's float64 equations on each parameter."""

    def __init__(self, team, optimizer):
        self.optimizer = optimizer
        self.w = {name: view.astype(np.float64) for name, view in team.views(team.p).items()}
        self.slots = {name: optimizer.init_slots(w) for name, w in self.w.items()}
        self.averages = {name: np.zeros_like(w) for name, w in self.w.items()}

    def step(self, gradients, t):
        clipped = self.optimizer.reference_clip(list(gradients.values()))
        for (name, w), g in zip(self.w.items(), clipped, strict=True):
            self.optimizer.reference_step(w, g, self.slots[name], t, self.optimizer.learning_rate)
            if self.optimizer.use_ema:
                self.optimizer.reference_ema(self.averages[name], w, t)
                if self.optimizer.ema_overwrite_frequency and t % self.optimizer.ema_overwrite_frequency == 0:
                    w[...] = self.averages[name]


def close(views, expected, dtype):
    assert views.keys() == expected.keys()
    for name, view in views.items():
        assert view.dtype == dtype
        np.testing.assert_allclose(view, expected[name], TOLERANCE[dtype], TOLERANCE[dtype], err_msg=name)
