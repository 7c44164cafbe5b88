"""Random ops: a counter of Philox a thread, the numbers of ``fastnn.random``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers
from fastnn.ops.dropout import SELU_FLOOR, alpha_dropout_constants, keep_threshold

_WORD, _LONG = 2**32 - 1, 2**64 - 1


def _stream(attrs: Mapping[str, Any]) -> tuple[int, int, int]:
    return attrs["seed_stream"] & _WORD, attrs["seed"] & _LONG, attrs["step"] & _LONG


@lowers("dropout", "alpha_dropout")
def lower_dropout(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower dropout or alpha dropout; the rate is an argument, so one kernel serves all."""
    attrs, alpha = instruction.attrs, instruction.op == "alpha_dropout"
    rate = attrs["rate"]
    constants = (1.0 / (1.0 - rate), 0.0, 0.0)
    if alpha:
        on, shift = alpha_dropout_constants(rate)
        constants = (on, shift, on * SELU_FLOOR + shift)
    units = instruction.inputs[0].spec.size
    arguments = (
        REGISTERS, *instruction.inputs, *instruction.outputs, units, *_stream(attrs), keep_threshold(rate),
        *constants,
    )  # fmt: skip
    grid = blocks(target.rows * units // 8 + 64)
    return [Launch(target.variant("dropout", ALPHA=int(alpha)), "dropout", grid, arguments)]


@lowers("gaussian_noise")
def lower_gaussian_noise(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower Gaussian noise."""
    attrs, units = instruction.attrs, instruction.inputs[0].spec.size
    stddev = float(attrs["stddev"])
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units, *_stream(attrs), stddev)
    return [
        Launch(target.variant("dropout"), "gaussian_noise", blocks(target.rows * units // 4 + 1), arguments)
    ]
