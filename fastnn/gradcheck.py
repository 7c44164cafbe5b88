"""Analytic gradients against numeric ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn.errors import ArgumentError, ShapeError


class GradientCheck(NamedTuple):
    """What :func:`gradient_check` found.

    Attributes
    ----------
    passed : bool
    errors : dict of str to float
        Relative error of each parameter.
    worst : str
        The parameter with the largest error.
    message : str
        The same in a line for each parameter; says which one is off.
    """

    passed: bool
    errors: dict[str, float]
    worst: str
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return self.message


def gradient_check(
    loss: Callable[..., float],
    parameters: Mapping[str, Any],
    gradients: Mapping[str, Any],
    *,
    step: float = 1e-6,
    tolerance: float = 1e-6,
    directions: int = 3,
    seed: int = 0,
) -> GradientCheck:
    """Compare gradients with central differences along random directions, parameter by parameter.

    For a parameter ``p``, its gradient ``g`` and a random unit direction ``u`` the error is
    ``|<g, u> - (L(p + h u) - L(p - h u)) / 2h| / max(1e-3 |g|, |<g, u>|, numeric)``.

    Parameters
    ----------
    loss : callable
        ``loss(**parameters) -> float``, computed in float64.
    parameters : mapping of str to array
        Where the gradients were taken; not modified.
    gradients : mapping of str to array
        One of the same shape for each parameter to check.
    step : float, default 1e-6
        The ``h`` of the differences, relative to the parameter's size.
    tolerance : float, default 1e-6
        Largest relative error that passes.
    directions : int, default 3
    seed : int, default 0
        Fixes the directions.

    Returns
    -------
    GradientCheck
        True in a condition if every parameter passes; prints as a table that names the one that is off.

    Raises
    ------
    ArgumentError, ShapeError
        If the names or shapes of parameters and gradients do not match.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import gradient_check
    >>> w = np.array([1.0, 2.0])
    >>> bool(gradient_check(lambda w: float((w**2).sum()), {"w": w}, {"w": 2 * w}))
    True
    """
    unknown = set(gradients) - set(parameters)
    if unknown:
        raise ArgumentError(
            f"Gradients of unknown parameters: expected {sorted(parameters)}. Received: {sorted(unknown)}."
        )
    if not gradients:
        raise ArgumentError(
            f"There are no gradients to check: expected some of {sorted(parameters)}. Received: none."
        )
    values = {name: np.array(value, np.float64) for name, value in parameters.items()}
    rng = np.random.default_rng(seed)
    errors: dict[str, float] = {}
    for name, gradient in gradients.items():
        g = np.asarray(gradient, np.float64)
        if g.shape != values[name].shape:
            raise ShapeError(
                f"The gradient of {name!r} must have shape {values[name].shape}. Received: {g.shape}."
            )
        errors[name] = max(_error(loss, values, name, g, step, rng) for _ in range(directions))
    worst = max(errors, key=lambda name: (np.isnan(errors[name]), errors[name]))
    passed = all(error <= tolerance for error in errors.values())
    lines = [
        f"{name}: relative error {error:.1e}{'' if error <= tolerance else '  <- off'}"
        for name, error in errors.items()
    ]
    return GradientCheck(passed, errors, worst, "\n".join(lines))


def _error(
    loss: Any, values: dict[str, np.ndarray], name: str, gradient: np.ndarray, step: float, rng: Any
) -> float:
    direction = rng.standard_normal(gradient.shape)
    direction /= np.sqrt((direction**2).sum()) or 1.0
    size = step * max(1.0, float(np.abs(values[name]).max(initial=0.0)))
    sides = []
    for sign in (1.0, -1.0):
        moved = dict(values)
        moved[name] = values[name] + sign * size * direction
        sides.append(float(loss(**moved)))
    numeric = (sides[0] - sides[1]) / (2.0 * size)
    analytic = float((gradient * direction).sum())
    scale = max(1e-3 * float(np.sqrt((gradient**2).sum())), abs(analytic), abs(numeric), 1e-12)
    return abs(analytic - numeric) / scale
