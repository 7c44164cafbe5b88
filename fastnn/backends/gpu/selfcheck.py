"""Known answers on the user's device: every kernel of the op table and every update against the CPU backend.

``fastnn gpucheck`` runs all of it and prints it; the first use of a device runs a short form (see
first_use.py). What trains whole networks is in the command, because models stand above backends.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import eager, kernels
from fastnn.ops import registry, updates
from fastnn.ops.dispatch import EagerEmitter, input_names
from fastnn.ops.registry import INTEGER_NAMES, PARAMETER_NAMES, Op, Sample, Spec

#: Largest error of a result, relative to the largest number in it: sums are in another order than the CPU's.
TOLERANCE = {"float32": 4e-5, "float64": 1e-11}
#: What a first use runs: the kernels of an ordinary classifier or regression.
SHORT = (
    "dense", "dense_dx", "dense_dw", "dense_db", "relu", "relu_grad", "softmax", "softmax_grad",
    "binary_crossentropy", "binary_crossentropy_grad", "sparse_categorical_crossentropy_grad",
    "mean_squared_error_grad", "dropout", "layer_norm",
)  # fmt: skip
SEED = 20


class Check(NamedTuple):
    """What came of one comparison.

    Attributes
    ----------
    group : str
        'ops', 'updates', 'products', 'capture', 'training'.
    name, case : str
        The op, and its sample and dtype.
    error : float
        Largest, relative to the largest number expected; infinite where one is not finite and the other is.
    tolerance : float
    message : str
        Of an exception; then the error is infinite.
    """

    group: str
    name: str
    case: str
    error: float
    tolerance: float
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the device computed what it should."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        found = self.message or f"error {self.error:.2g}, allowed {self.tolerance:.1g}"
        return f"{self.group}: {self.name} ({self.case}): {found}"


def error_of(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest error relative to the largest finite number expected.

    Examples
    --------
    >>> error_of(np.array([1.0, 2.5]), np.array([1.0, 2.0]))
    0.25
    >>> error_of(np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    inf
    """
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.shape != expected.shape:
        return float("inf")
    finite = np.isfinite(expected)
    if not np.array_equal(np.where(finite, 0.0, expected), np.where(finite, 0.0, got), equal_nan=True):
        return float("inf")
    if not np.isfinite(got[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(expected[finite]).max())
    return float(np.abs(got[finite] - expected[finite]).max()) / (scale or 1.0)


def guarded(
    group: str, name: str, case: str, tolerance: float, compare: Callable[..., float], *arguments: Any
) -> Check:
    """Run a comparison, which returns the error; what it raises is its result."""
    try:
        return Check(group, name, case, compare(*arguments), tolerance)
    except Exception as error:  # a failed launch or compilation is what this is to find
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Check(group, name, case, float("inf"), tolerance, text[:300])


# --------------------------------------------------------------------------- ops
def ops_with_kernels(names: Sequence[str] | None = None) -> list[str]:
    """Return the ops of the table that compute arrays from arrays and have a kernel here."""
    wanted = registry.names() if names is None else names
    return [n for n in wanted if registry.get(n).outputs and kernels.has_lowering(n)]


def check_ops(
    names: Sequence[str] | None = None,
    dtypes: Sequence[str] = ("float32", "float64"),
    each: bool = True,
) -> Iterator[Check]:
    """Run ops of the table, forward and gradient, on their samples.

    Parameters
    ----------
    names : sequence of str, optional
        All that have a kernel by default.
    dtypes : sequence of str
    each : bool, default True
        All samples of an op; else one for each set of attributes and number of inputs.
    """
    for name in ops_with_kernels(names):
        op = registry.get(name)
        found = op.samples(np.random.default_rng(SEED)) if op.samples else []
        for sample in found if each else _one_of_each(found):
            for dtype in dtypes:
                case = f"{sample.name}, {dtype}"
                yield guarded("ops", name, case, TOLERANCE[dtype], _op_error, op, sample, dtype)


def _one_of_each(samples: Sequence[Sample]) -> list[Sample]:
    """Return the largest sample of each kind that has neither NaN nor infinity, if there is one."""

    def informative(sample: Sample) -> tuple[bool, int]:
        arrays = [np.asarray(array) for array in sample.arrays]
        return all(np.isfinite(array).all() for array in arrays), sum(array.size for array in arrays)

    kinds = {(len(sample.arrays), repr(sample.attrs)): sample for sample in sorted(samples, key=informative)}
    return list(kinds.values())


def _op_error(op: Op, sample: Sample, dtype: str) -> float:
    arrays = [as_dtype(array, dtype) for array in sample.arrays]
    expected = EagerEmitter().emit(op.name, arrays, **sample.attrs)
    got = run_op(op, arrays, sample.attrs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    return max(error_of(g, e) for g, e in zip(got, expected, strict=True))


def as_dtype(array: Any, dtype: str) -> np.ndarray:
    """Give an array a float dtype; integers stay, as 32 bits."""
    array = np.asarray(array)
    return np.ascontiguousarray(array, dtype if array.dtype.kind == "f" else np.int32).reshape(array.shape)


def run_op(op: Op, arrays: Sequence[np.ndarray], attrs: dict[str, Any]) -> list[np.ndarray]:
    """Compute an op of host arrays on the device."""
    cp = compiling.cupy()
    labels = input_names(op, len(arrays))
    specs = [_spec(label, array) for label, array in zip(labels, arrays, strict=True)]
    attrs = op.complete(attrs)
    rows = next((len(a) for a, spec in zip(arrays, specs, strict=True) if spec.rows and a.ndim), 1)
    outputs = eager.run(op.name, [cp.asarray(a) for a in arrays], specs, op.shape(specs, attrs), attrs, rows)
    return [output.get() for output in outputs]


def _spec(label: str, array: np.ndarray) -> Spec:
    rows = label not in PARAMETER_NAMES
    return Spec(array.shape[1:] if rows else array.shape, rows, "int" if label in INTEGER_NAMES else "float")


# --------------------------------------------------------------------------- updates
class Rule(NamedTuple):
    """An optimizer's update: its numbers and flags, and the state vectors that it then has."""

    op: str
    slots: tuple[str, ...]
    numbers: tuple[float, ...]
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return updates.rule_name(self.op, dict.fromkeys(self.flags, True), len(self.slots))


_BETAS = (0.9, 0.99, 1e-7)
_RMS, _ADAM = ("velocity", "momentum_buffer", "average_gradient"), ("momentum", "velocity", "velocity_hat")
RULES = (
    Rule("sgd", (), (0.0,)),
    Rule("sgd", ("velocity",), (0.9,)),
    Rule("sgd", ("velocity",), (0.9,), ("nesterov",)),
    Rule("rmsprop", _RMS[:1], (0.9, 0.0, 1e-7)),
    Rule("rmsprop", _RMS[:2], (0.9, 0.5, 1e-7)),
    Rule("rmsprop", _RMS[::2], (0.9, 0.0, 1e-7), ("centered",)),
    Rule("rmsprop", _RMS, (0.9, 0.5, 1e-7), ("centered",)),
    Rule("adagrad", ("accumulator",), (1e-7,)),
    Rule("adadelta", ("accumulated_grad", "accumulated_delta"), (0.95, 1e-7)),
    Rule("adam", _ADAM[:2], _BETAS),
    Rule("adam", _ADAM, _BETAS, ("amsgrad",)),
    Rule("adamax", ("momentum", "norm"), _BETAS),
    Rule("nadam", _ADAM[:2], _BETAS),
    Rule("radam", _ADAM[:2], _BETAS),
    Rule("lion", ("momentum",), (0.9, 0.99)),
)
#: So many parameters, so that the last block is not full, and a step at which RAdam's two branches differ.
PARAMETERS, STEPS, RATE = 1037, (1, 9), 0.01


def check_updates(
    rules: Sequence[Rule] = RULES, dtypes: Sequence[str] = ("float32", "float64")
) -> Iterator[Check]:
    """Run every optimizer's update, with and without weight decay."""
    for one in rules:
        for dtype in dtypes:
            for decay in (0.0, 0.01):
                for step in STEPS:
                    case = f"{dtype}, decay {decay}, step {step}"
                    yield guarded(
                        "updates", str(one), case, TOLERANCE[dtype], _update_error, one, dtype, decay, step
                    )


def _update_error(of: Rule, dtype: str, decay: float, step: int) -> float:
    cp = compiling.cupy()
    rng = np.random.default_rng(SEED)
    host = [rng.normal(size=PARAMETERS).astype(dtype) for _ in range(2)]
    # State vectors are squares or running means: positive, and a centered mean below its second moment.
    host += [(rng.uniform(0.1, 0.3, PARAMETERS) / (1 + 4 * n)).astype(dtype) for n in range(len(of.slots))]
    device = [cp.asarray(array) for array in host]
    record = updates.UPDATES[of.op]
    flags = dict.fromkeys(of.flags, True)
    settings: dict[str, Any] = {**dict(zip(record.numbers, of.numbers, strict=True)), **flags}
    settings |= dict(zip(of.slots, host[2:], strict=True))
    on_host = getattr(updates, f"{of.op}_inplace")
    if "step" in inspect.signature(on_host).parameters:
        settings["step"] = step
    on_host(host[0], host[1], learning_rate=RATE, weight_decay=decay, **settings)
    hyper = [RATE, decay, *of.numbers, *record.state]
    attrs = {"decay": bool(decay), **flags}
    eager.run_update(of.op, device[0], device[1], device[2:], hyper, attrs, step)
    return max(error_of(d.get(), h) for d, h in zip(device, host, strict=True))
