"""Schedules along cosines: Keras' decay with its warm-up, warm restarts, and PyTorch's one-cycle policy."""

from __future__ import annotations

from fastnn.errors import ArgumentError
from fastnn.schedules.base import CompiledSchedule
from fastnn.serialization import check_bool, check_choice, check_integer, check_number


class CosineDecay(CompiledSchedule):
    """Half a cosine, after a warm-up along a line if one is asked for.

    While ``step < warmup_steps`` the rate goes from `initial_learning_rate` to `warmup_target`; then, with
    ``f = min(step - warmup_steps, decay_steps) / decay_steps``,
    ``lr = peak * ((1 - alpha) * (1 + cos(pi f)) / 2 + alpha)``, the peak being `warmup_target`, or without a
    warm-up `initial_learning_rate`. Sources: Keras 3.15; Loshchilov & Hutter, 2016 (arXiv:1608.03983).

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        Batches of the decay, the warm-up not counted; more than 0.
    alpha : float, default 0.0
        The last rate as a fraction of the peak.
    name : str
    warmup_target : float, optional
        Where the warm-up ends; None is no warm-up.
    warmup_steps : float, default 0
        Batches of the warm-up.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or `warmup_steps` is given without `warmup_target` (Keras ignores it
        then).

    Examples
    --------
    >>> schedule = CosineDecay(0.0, decay_steps=100, warmup_target=0.5, warmup_steps=10)
    >>> schedule(5), schedule(10), schedule(60), schedule(110)
    (0.25, 0.5, 0.25, 0.0)
    """

    op = "cosine_decay"
    initial_learning_rate: float
    decay_steps: float
    alpha: float
    warmup_steps: float

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        where = type(self).__name__
        self._number("initial_learning_rate", initial_learning_rate)
        self._number("decay_steps", decay_steps, low_open=True)
        self._number("alpha", alpha)
        self._name(name)
        self.warmup_target = (
            None if warmup_target is None else check_number("warmup_target", warmup_target, where, 0.0)
        )
        self._number("warmup_steps", warmup_steps)
        if self.warmup_steps and self.warmup_target is None:
            raise ArgumentError(
                f"`warmup_steps` of {where} needs a `warmup_target`, the rate that the warm-up ends at. "
                f"Received: warmup_steps={warmup_steps!r}, warmup_target=None."
            )

    def numbers(self) -> tuple[float, ...]:
        first, peak = self.initial_learning_rate, self.warmup_target
        peak = first if peak is None else peak
        return first, peak, self.warmup_steps, self.decay_steps, self.alpha


class CosineDecayRestarts(CompiledSchedule):
    """Half cosines one after the other, each `t_mul` times as long and `m_mul` times as high as the last.

    Within a period of which the fraction ``f`` is over, after ``i`` restarts,
    ``lr = initial * ((1 - alpha) * m_mul**i * (1 + cos(pi f)) / 2 + alpha)``. Sources: Keras 3.15;
    Loshchilov & Hutter, 2016 (arXiv:1608.03983).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : float
        Batches of the first period; more than 0.
    t_mul : float, default 2.0
        At least 1.
    m_mul : float, default 1.0
        At least 0.
    alpha : float, default 0.0
        The lowest rate as a fraction of the initial one, in [0, 1].
    name : str

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> schedule = CosineDecayRestarts(0.5, first_decay_steps=10, m_mul=0.5)
    >>> schedule(5), schedule(10), schedule(20), schedule(30)
    (0.25, 0.25, 0.125, 0.125)
    """

    op = "cosine_decay_restarts"
    initial_learning_rate: float
    first_decay_steps: float
    t_mul: float
    m_mul: float
    alpha: float

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self._number("initial_learning_rate", initial_learning_rate)
        self._number("first_decay_steps", first_decay_steps, low_open=True)
        self._number("t_mul", t_mul, 1.0)
        self._number("m_mul", m_mul)
        self._number("alpha", alpha, high=1.0)
        self._name(name)

    def numbers(self) -> tuple[float, ...]:
        return self.initial_learning_rate, self.first_decay_steps, self.t_mul, self.m_mul, self.alpha


class OneCycle(CompiledSchedule):
    """Up to a high rate, then down far below the first one: the one-cycle policy.

    From ``max_lr / div_factor`` to `max_lr` in the first ``pct_start`` of the steps, then to
    ``max_lr / div_factor / final_div_factor``; with `three_phase` first down to where it began, in as many
    steps as it went up. Rates and defaults are those of PyTorch's ``OneCycleLR``, but for its cycle of the
    momentum, which there is none of here; after the last step its rate stays (PyTorch raises). Sources:
    PyTorch 2 ``lr_scheduler.py``; Smith & Topin, 2017 (arXiv:1708.07120).

    Parameters
    ----------
    max_lr : float
    total_steps : int
        Batches of the cycle: ``epochs * steps_per_epoch``.
    pct_start : float, default 0.3
        In [0, 1].
    anneal_strategy : {'cos', 'linear'}
    div_factor, final_div_factor : float, default 25.0 and 1e4
        More than 0.
    three_phase : bool, default False
    name : str

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> schedule = OneCycle(1.0, total_steps=11, pct_start=0.5454545454545454, anneal_strategy="linear")
    >>> schedule(0), schedule(5), round(schedule(10), 9)
    (0.04, 1.0, 4e-06)
    """

    op = "one_cycle"
    max_lr: float
    pct_start: float
    div_factor: float
    final_div_factor: float

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        name: str = "OneCycle",
    ) -> None:
        where = type(self).__name__
        self._number("max_lr", max_lr)
        self.total_steps = check_integer("total_steps", total_steps, where, 1)
        self._number("pct_start", pct_start, high=1.0)
        self.anneal_strategy = check_choice("anneal_strategy", anneal_strategy, where, ("cos", "linear"))
        self._number("div_factor", div_factor, low_open=True)
        self._number("final_div_factor", final_div_factor, low_open=True)
        self.three_phase = check_bool("three_phase", three_phase, where)
        self._name(name)

    def numbers(self) -> tuple[float, ...]:
        first, steps = self.max_lr / self.div_factor, self.total_steps
        phases = [self.pct_start * steps - 1.0, self.max_lr]
        if self.three_phase:
            phases += [2 * self.pct_start * steps - 2.0, first]
        phases += [steps - 1.0, first / self.final_div_factor]
        return float(self.anneal_strategy == "cos"), first, *phases
