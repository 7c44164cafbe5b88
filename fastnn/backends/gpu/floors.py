"""The least a kernel can take: its arithmetic over the device's rate, its bytes over the device's bandwidth.

A figure is judged by its distance from the larger of the two. Bytes count every operand once, as if caches
held it from then on; arithmetic counts a multiply-add as two, and one for each number that is written.
"""

from __future__ import annotations

from typing import NamedTuple

from fastnn.backends.gpu.chain import Chain
from fastnn.backends.gpu.lowering import Launch, Product, Scratch
from fastnn.backends.gpu.net import Net
from fastnn.program import Ref

_BYTES = {"int": 4, "index": 8}
_FLOAT64 = frozenset(["accumulator", "hyper", "schedule"])
#: Kernels of linear.cu that multiply matrices; their sizes follow their arrays.
_PRODUCTS = ("dense", "dense_dx", "dense_dw_part")


class Work(NamedTuple):
    """What must be done.

    Attributes
    ----------
    flops : float
    bytes : float
    """

    flops: float
    bytes: float


class Rates(NamedTuple):
    """A device's published limits.

    Attributes
    ----------
    device : str
    flops : float
        float32 a second, without tensor cores.
    bytes : float
        A second, from its memory.
    """

    device: str
    flops: float
    bytes: float


#: One device of each architecture that kernels are compiled for, from its maker's data sheet.
RATES = {
    "sm_75": Rates("T4", 8.1e12, 0.32e12),
    "sm_80": Rates("A100 80 GB", 19.5e12, 2.04e12),
    "sm_86": Rates("RTX 3090", 35.6e12, 0.936e12),
    "sm_89": Rates("L40S", 91.6e12, 0.864e12),
    "sm_90": Rates("H100 SXM", 67e12, 3.35e12),
    "sm_100": Rates("B200", 75e12, 8.0e12),
    "sm_120": Rates("RTX 5090", 104.8e12, 1.79e12),
}


def of_launch(launch: Launch | Product, rows: int, dtype: str = "float32") -> Work:
    """Return the work of a launch.

    Parameters
    ----------
    launch : Launch or Product
    rows : int
        Rows of the chunk.
    dtype : {'float32', 'float64'}, default 'float32'
    """
    if isinstance(launch, Product):
        operands = [o for o in launch[1:4] if isinstance(o, Ref)]
        extra = sum(o.bytes for o in launch[1:4] if isinstance(o, Scratch))
        flops = 2.0 * rows * launch.groups * launch.inputs * launch.units
        return Work(flops, _bytes(operands, rows, dtype) + extra)
    operands = [a for a in launch.arguments if isinstance(a, Ref)]
    scratch = sum(a.bytes for a in launch.arguments if isinstance(a, Scratch))
    if launch.variant.source == "linear" and launch.name in _PRODUCTS:
        at = _first_int(launch)
        inputs, units, groups = launch.arguments[at : at + 3]
        flops = 2.0 * rows * inputs * units * groups
    else:
        flops = float(max((_elements(o, rows) for o in operands), default=0))
    return Work(flops, _bytes(operands, rows, dtype) + scratch)


def of_chain(chain: Chain | Net, rows: int) -> Work:
    """Return the work of a step of a stack of dense layers or a network, its update left out.

    Forward, the gradients of weights, and those of inputs where the layer's input has one.
    """
    columns = chain.columns + (1 if chain.loss.name == "labels" else chain.outputs)
    columns += chain.weight is not None
    item = 4 if chain.dtype == "float32" else 8
    products = 3 * chain.weights - chain.without_slopes
    return Work(2.0 * rows * products, float(item) * (rows * columns + 2 * chain.parameters))


def seconds(work: Work, architecture: str) -> float:
    """Return the larger of the two floors on the device that stands for an architecture."""
    rates = RATES[architecture]
    return max(work.flops / rates.flops, work.bytes / rates.bytes)


def _first_int(launch: Launch) -> int:
    """Return where a product's sizes begin among its arguments: they follow the arrays."""
    return next(k for k, a in enumerate(launch.arguments) if type(a) is int)


def _elements(ref: Ref, rows: int) -> int:
    return ref.spec.size * (rows if ref.spec.rows else 1)


def _bytes(operands: list[Ref], rows: int, dtype: str) -> float:
    item = 4 if dtype == "float32" else 8
    total = 0
    for ref in operands:
        each = 8 if ref.region in _FLOAT64 else _BYTES.get(ref.spec.kind, item)
        total += each * _elements(ref, rows)
    return float(total)
