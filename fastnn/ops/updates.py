"""Optimizer updates: what each reads and overwrites, and each as a function on arrays, in place.

The equations stand once, in float64, in ``fastnn.optimizers`` (`Optimizer.reference_step`); the records
here say only in which order a kernel finds its numbers and state. Updates have no gradient and overwrite
their arrays, so they are kept apart from the table of pure ops.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.errors import ArgumentError, DtypeError, ShapeError
from fastnn.ops.libraries import backend, library_of

#: Added to norms before division by the norm constraints, as in Keras.
NORM_EPSILON = 1e-7


class Update(NamedTuple):
    """One optimizer's record.

    The vector of hyperparameters is float64: learning rate, weight decay, then `numbers`, then `state`.

    Attributes
    ----------
    numbers : tuple of str
        Names of the optimizer's numbers, in the kernel's order.
    state : tuple of float
        Initial values of the scalars that the update itself carries from step to step.
    """

    numbers: tuple[str, ...]
    state: tuple[float, ...] = ()


UPDATES: dict[str, Update] = {
    "sgd": Update(("momentum",)),
    "rmsprop": Update(("rho", "momentum", "epsilon")),
    "adagrad": Update(("epsilon",)),
    "adadelta": Update(("rho", "epsilon")),
    "adam": Update(("beta_1", "beta_2", "epsilon")),
    "adamax": Update(("beta_1", "beta_2", "epsilon")),
    "nadam": Update(("beta_1", "beta_2", "epsilon"), (0.0, 1.0)),  # factors in the product, the product
    "radam": Update(("beta_1", "beta_2", "epsilon")),
    "lion": Update(("beta_1", "beta_2")),
}


def rule_name(op: str, attrs: Mapping[str, Any], slots: int) -> str:
    """Name the rule that an update with these attributes and so many state vectors follows."""
    if op == "sgd" and slots:
        return "sgd_nesterov" if attrs.get("nesterov") else "sgd_momentum"
    if op == "rmsprop":
        centered = bool(attrs.get("centered"))
        return op + "_centered" * centered + "_momentum" * (slots == 2 + centered)
    if op == "adam" and attrs.get("amsgrad"):
        return "adam_amsgrad"
    return op


__all__ = [f"{name}_inplace" for name in UPDATES]


def sgd_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray | None = None,
    *,
    learning_rate: float = 0.01,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of gradient descent, overwriting `param` and, with `momentum`, `velocity`.

    Every function of this file takes C-contiguous arrays of one shape and one dtype, float32 or float64;
    NumPy's, or CuPy's on one GPU.
    The arguments and equations are those of the optimizer of the same name; a state vector starts at
    zeros.

    Parameters
    ----------
    param : ndarray
        The weights; overwritten.
    grad : ndarray
        Their gradient; not modified.
    velocity : ndarray, optional
        Needed with `momentum`; overwritten.
    learning_rate, momentum, weight_decay : float
    nesterov : bool

    Raises
    ------
    DtypeError, ShapeError, ArgumentError
        If an array does not fit.

    Examples
    --------
    >>> weights = np.ones(2)
    >>> sgd_inplace(weights, np.array([1.0, -1.0]), learning_rate=0.5)
    >>> weights
    array([0.5, 1.5])
    """
    slots = {"velocity": velocity} if _needs("sgd", momentum, velocity=velocity) else {}
    _run("sgd", param, grad, slots, learning_rate, weight_decay, (momentum,), {"nesterov": nesterov})


def rmsprop_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray,
    momentum_buffer: np.ndarray | None = None,
    average_gradient: np.ndarray | None = None,
    *,
    learning_rate: float = 0.001,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of RMSprop in place; see `sgd_inplace`.

    `momentum_buffer` is needed with `momentum`, `average_gradient` with `centered`.
    """
    slots: dict[str, Any] = {"velocity": velocity}
    if _needs("rmsprop", momentum, momentum_buffer=momentum_buffer):
        slots["momentum_buffer"] = momentum_buffer
    if _needs("rmsprop", centered, average_gradient=average_gradient):
        slots["average_gradient"] = average_gradient
    numbers = (rho, momentum, epsilon)
    _run("rmsprop", param, grad, slots, learning_rate, weight_decay, numbers, {"centered": centered})


def adagrad_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    accumulator: np.ndarray,
    *,
    learning_rate: float = 0.001,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of Adagrad in place; see `sgd_inplace`. (The optimizer starts `accumulator` at 0.1.)"""
    _run("adagrad", param, grad, {"accumulator": accumulator}, learning_rate, weight_decay, (epsilon,))


def adadelta_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    accumulated_grad: np.ndarray,
    accumulated_delta: np.ndarray,
    *,
    learning_rate: float = 0.001,
    rho: float = 0.95,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of Adadelta in place; see `sgd_inplace`."""
    slots = {"accumulated_grad": accumulated_grad, "accumulated_delta": accumulated_delta}
    _run("adadelta", param, grad, slots, learning_rate, weight_decay, (rho, epsilon))


def adam_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    momentum: np.ndarray,
    velocity: np.ndarray,
    velocity_hat: np.ndarray | None = None,
    *,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Take step number `step`, from 1, of Adam in place (AdamW with `weight_decay`); see `sgd_inplace`.

    `velocity_hat` is needed with `amsgrad`.
    """
    slots: dict[str, Any] = {"momentum": momentum, "velocity": velocity}
    if _needs("adam", amsgrad, velocity_hat=velocity_hat):
        slots["velocity_hat"] = velocity_hat
    numbers = (beta_1, beta_2, epsilon)
    _run("adam", param, grad, slots, learning_rate, weight_decay, numbers, {"amsgrad": amsgrad}, step)


def adamax_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    momentum: np.ndarray,
    norm: np.ndarray,
    *,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take step number `step`, from 1, of Adamax in place; see `sgd_inplace`."""
    slots, numbers = {"momentum": momentum, "norm": norm}, (beta_1, beta_2, epsilon)
    _run("adamax", param, grad, slots, learning_rate, weight_decay, numbers, step=step)


def nadam_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    momentum: np.ndarray,
    velocity: np.ndarray,
    *,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take step number `step`, from 1, of Nadam in place; see `sgd_inplace`."""
    slots, numbers = {"momentum": momentum, "velocity": velocity}, (beta_1, beta_2, epsilon)
    _run("nadam", param, grad, slots, learning_rate, weight_decay, numbers, step=step)


def radam_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    momentum: np.ndarray,
    velocity: np.ndarray,
    *,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take step number `step`, from 1, of rectified Adam in place; see `sgd_inplace`."""
    slots, numbers = {"momentum": momentum, "velocity": velocity}, (beta_1, beta_2, epsilon)
    _run("radam", param, grad, slots, learning_rate, weight_decay, numbers, step=step)


def lion_inplace(
    param: np.ndarray,
    grad: np.ndarray,
    momentum: np.ndarray,
    *,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    weight_decay: float = 0.0,
) -> None:
    """Take a step of Lion in place; see `sgd_inplace`."""
    _run("lion", param, grad, {"momentum": momentum}, learning_rate, weight_decay, (beta_1, beta_2))


def _needs(op: str, used: Any, **slot: Any) -> bool:
    """Whether an optional state vector is used; it must then be there, and otherwise not."""
    ((name, array),) = slot.items()
    if bool(used) != (array is not None):
        raise ArgumentError(
            f"{op}_inplace needs the array `{name}` with these settings. Received: None."
            if used
            else f"{op}_inplace does not use `{name}` with these settings, so it must be None."
        )
    return bool(used)


def _run(op, param, grad, slots, learning_rate, weight_decay, numbers, flags=None, step=1) -> None:
    """Check the arrays and hand the update to the backend."""
    if not isinstance(step, (int, np.integer)) or isinstance(step, bool) or step < 1:
        raise ArgumentError(f"`step` of {op}_inplace must be an integer >= 1. Received: step={step!r}.")
    xp = _check(f"{op}_inplace", {"param": param, "grad": grad, **slots})
    hyper = [float(learning_rate), float(weight_decay), *map(float, numbers), *UPDATES[op].state]
    attrs = {"decay": bool(weight_decay), **(flags or {})}
    backend(xp).run_update(op, param, grad, list(slots.values()), hyper, attrs, int(step))


def _check(where: str, arrays: dict[str, Any]) -> Any:
    """Require arrays that a kernel can overwrite where they are; returns their library."""
    param, xp = arrays["param"], library_of(list(arrays.values()), where)
    for name, array in arrays.items():
        if not isinstance(array, xp.ndarray) or array.dtype not in (np.float32, np.float64):
            got = f"dtype {array.dtype}" if isinstance(array, xp.ndarray) else type(array).__name__
            raise DtypeError(f"`{name}` of {where} must be an array of float32 or float64. Received: {got}.")
        if array.dtype != param.dtype:
            raise DtypeError(
                f"`{name}` of {where} must have the dtype of `param`, {param.dtype}. Received: {array.dtype}."
            )
        if array.shape != param.shape:
            raise ShapeError(
                f"`{name}` of {where} must have the shape of `param`, {param.shape}. Received: {array.shape}."
            )
        if not array.flags.c_contiguous:
            raise ArgumentError(
                f"`{name}` of {where} must be C-contiguous, because it is used in place. "
                f"Received: an array with strides {array.strides}."
            )
        if name != "grad" and xp is np and not array.flags.writeable:
            raise ArgumentError(f"`{name}` of {where} is overwritten. Received: a read-only array.")
    names = list(arrays)
    for position, name in enumerate(names):
        for other in names[:position]:
            if _overlap(xp, arrays[name], arrays[other]):
                raise ArgumentError(f"`{name}` and `{other}` of {where} must not share memory.")
    return xp


def _overlap(xp: Any, one: Any, other: Any) -> bool:
    """Whether two contiguous arrays share memory."""
    if xp is np:
        return np.may_share_memory(one, other)
    first, second = sorted(((one.data.ptr, one.nbytes), (other.data.ptr, other.nbytes)))
    return first[0] + first[1] > second[0] and bool(second[1])
