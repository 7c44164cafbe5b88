"""What stacks of dense layers and networks are made of, once they have been read off a program."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """One of the caller's arrays.

    Attributes
    ----------
    number : int
    dtype : str
    """

    number: int
    dtype: str


class Drop(NamedTuple):
    """Dropout on a layer's input.

    Attributes
    ----------
    kind : int
        1 dropout, 2 alpha dropout.
    stream, seed, step, threshold : int
    on, on_shift, off_shift : float
        See ``cuda/dropout.cu``.
    """

    kind: int
    stream: int
    seed: int
    step: int
    threshold: int
    on: float
    on_shift: float
    off_shift: float


class Layer(NamedTuple):
    """A dense layer.

    Attributes
    ----------
    inputs, units : int
    weights, bias : int
        Where they begin in the flat vector, in elements; -1 for no bias.
    form : str
        Its activation (see ``fastnn.ops.activation_forms``).
    constants : tuple of float
    saves : {'input', 'output'}
        What the activation's derivative is taken at.
    drop : Drop or None
        On its input.
    """

    inputs: int
    units: int
    weights: int
    bias: int
    form: str = "linear"
    constants: tuple[float, ...] = (0.0, 0.0, 0.0)
    saves: str = "output"
    drop: Drop | None = None


class Sum(NamedTuple):
    """A sum over rows.

    Attributes
    ----------
    kind : str
        'loss', a metric, or 'weights'.
    accumulator : int
    weighted : bool
    """

    kind: str
    accumulator: int
    weighted: bool


class Loss(NamedTuple):
    """The loss.

    Attributes
    ----------
    name : str
        The LOSS of ``cuda/loss_terms.cu``, 'shares' or 'labels' (cross-entropy from logits).
    on_logits : bool
        It reads the last layer's sums, before the activation.
    balanced : int
    mean : int
    numbers : tuple of float
        scale, each, and its settings a, b, c.
    """

    name: str
    on_logits: bool
    balanced: int
    mean: int
    numbers: tuple[float, ...]
