"""The hot kernels' machine code: packed arithmetic, and no call of a scalar library function."""

import math
import platform
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastnn.backends.cpu import jit, kernels
from fastnn.backends.cpu.lowering import Target
from fastnn.backends.cpu.registers import ROWS, at
from fastnn.ops import registry
from fastnn.ops.registry import Spec
from fastnn.program import Instruction, PartSource, Ref

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86-64 assembly"
)

ROWS64, ROWS8, COLUMN, INDEX = Spec((64,)), Spec((8,)), Spec(()), Spec((1,), kind="int")
WEIGHTS, NARROW_WEIGHTS = Spec((64, 64), rows=False), Spec((8, 8), rows=False)
WEIGHT_COLUMN = Spec((64, 1), rows=False)
BIAS, NARROW_BIAS, FLAT = Spec((64,), rows=False), Spec((8,), rows=False), Spec((4096,), rows=False)

FLOATS = {np.float32: "ps", np.float64: "pd"}
#: Packed instructions that show a kernel at work, without the letters of the dtype.
ARITHMETIC = r"v(?:add|sub|mul|div|sqrt|fn?m(?:add|sub)\d*)"
SELECTION = r"v(?:add|max|mul|cmp|and|mov|blend)\w*"


class Case(NamedTuple):
    op: str
    inputs: list[Spec]
    outputs: list[Spec]
    part: str = ""  # which of the op's kernels, by a part of its name
    attrs: Mapping[str, Any] = MappingProxyType({})
    units_major: bool = False
    packed: str = ARITHMETIC


def dense(activation, part="bias_activation", **attrs):
    attrs = {"activation": activation, **attrs}
    return Case("dense", [ROWS64, WEIGHTS, BIAS], [ROWS64], part, attrs, False, SELECTION)


def narrow(op, inputs, outputs, **attrs):
    return Case(op, inputs, outputs, "", attrs, True)


def loss(name, target, prediction, units_major=False, **attrs):
    return Case(f"{name}_grad", [target, prediction], [prediction, COLUMN], "", attrs, units_major)


def update(op, slots, flag):
    attrs = {"start": 0, "steps": 1, "decay": False, flag: False}
    return Case(op, [FLAT, FLAT], [FLAT] * (1 + slots), "", attrs)


def passes(op, inputs, activation, *others, **attrs):
    """What the planner makes of an activation's derivative and what is around it."""
    return Case(op, [*inputs, *others], [ROWS64, BIAS], "", {"activation": activation, **attrs})


LOGITS = {"from_logits": True}
CASES = {
    "dense relu": dense("relu"),
    "dense sigmoid": dense("sigmoid")._replace(packed=ARITHMETIC),
    "dense tanh": dense("tanh")._replace(packed=ARITHMETIC),
    "narrow dense": narrow("dense", [ROWS8, NARROW_WEIGHTS, NARROW_BIAS], [ROWS8]),
    "narrow dense sigmoid": narrow(
        "dense", [ROWS8, NARROW_WEIGHTS, NARROW_BIAS], [ROWS8], activation="sigmoid"
    ),
    "narrow dense_dx": narrow("dense_dx", [ROWS8, NARROW_WEIGHTS], [ROWS8]),
    "narrow dense_dw": narrow("dense_dw", [ROWS8, ROWS8], [NARROW_WEIGHTS]),
    "narrow dense_db": narrow("dense_db", [ROWS8], [NARROW_BIAS]),
    "dense_db": Case("dense_db", [ROWS64], [BIAS]),
    "relu_grad": Case("relu_grad", [ROWS64, ROWS64], [ROWS64], packed=SELECTION),
    "tanh_grad": Case("tanh_grad", [ROWS64, ROWS64], [ROWS64]),
    "gelu_grad": Case("gelu_grad", [ROWS64, ROWS64], [ROWS64]),
    "relu backward, sums": passes("activation_backward", [ROWS64, ROWS64], "relu", factor=2.0),
    "tanh backward of a mask, sums": passes("activation_backward", [ROWS64, ROWS64], "tanh", ROWS64),
    "relu backward of a column, sums": passes(
        "dense_dx", [COLUMN, WEIGHT_COLUMN, ROWS64], "relu", factor=2.0
    ),
    "tanh backward of a column and a mask": passes(
        "dense_dx", [COLUMN, WEIGHT_COLUMN, ROWS64], "tanh", ROWS64
    ),
    "dense relu dropout": dense("relu", "bias_dropout", dropout=registry.get("dropout").complete({})),
    "softmax": Case("softmax", [ROWS64], [ROWS64]),
    "narrow softmax": narrow("softmax", [ROWS8], [ROWS8]),
    "column of logits": loss("binary_crossentropy", COLUMN, COLUMN, **LOGITS),
    "class logits": loss("categorical_crossentropy", ROWS8, ROWS8, **LOGITS),
    "narrow class logits": loss("categorical_crossentropy", ROWS8, ROWS8, True, **LOGITS),
    "narrow sparse logits": loss("sparse_categorical_crossentropy", INDEX, ROWS8, True, **LOGITS),
    "mean squared error": loss("mean_squared_error", COLUMN, COLUMN),
    "layer_norm": Case("layer_norm", [ROWS64, BIAS, BIAS], [ROWS64, COLUMN, COLUMN]),
    "batch_norm_train": Case("batch_norm_train", [ROWS64, BIAS, BIAS], [ROWS64, BIAS, BIAS, BIAS]),
    "dropout": Case("dropout", [ROWS64], [ROWS64, ROWS64], packed=SELECTION),
    "narrow dropout": narrow("dropout", [ROWS8], [ROWS8, ROWS8])._replace(packed=SELECTION),
    "gaussian_noise": Case("gaussian_noise", [ROWS64], [ROWS64]),
    "adam": update("adam", 2, "amsgrad"),
    "sgd with momentum": update("sgd", 1, "nesterov"),
    "rmsprop": update("rmsprop", 1, "centered"),
}

#: A call through the table of another library, or of one of the mathematics functions by name.
SCALAR = re.compile(
    r"(?:call\w*\s+\*?|movabs\w*\s+\$)(\w*(?:exp|log|tanh|erf|cos|sin|pow|ldexp|rint|floor|ceil|fmod|sqrt)\w*)\b"
)


#: Called once a step, not once an element: the correction of Adam's bias.
ONCE_A_STEP = {"adam": {"pow"}}


@pytest.fixture
def no_cache(monkeypatch):
    """Compile anew: a kernel loaded from the cache has no assembly to read."""
    monkeypatch.setattr(jit, "cache_folder", lambda: None)


@pytest.fixture
def assembly(no_cache):
    """Compile the kernels of an instruction."""

    def compiled(case, dtype):
        attrs = {**(registry.get(case.op).attrs if case.op in registry.names() else {}), **case.attrs}
        if "activation" in attrs:
            attrs["activation_attrs"] = registry.get(attrs["activation"]).attrs
        refs = [tuple(Ref("arena", 0, spec) for spec in specs) for specs in (case.inputs, case.outputs)]
        rows = kernels.lower(Instruction(case.op, *refs, attrs), Target(dtype, case.units_major))
        rows = [row for row in rows if case.part in row.key]
        assert rows, f"no kernel of {case.op} has {case.part!r} in its name"
        return "\n".join(jit.Kernel(row.key, row.make, row.exact).assembly() for row in rows)

    return compiled


def check(code, packed, dtype, allowed=()):
    """Require wide packed instructions of the dtype, and no scalar library function."""
    found = re.findall(rf"\b{packed}{FLOATS[dtype]}\s.*%[yz]mm", code)
    assert len(found) >= 2, "no packed arithmetic in wide registers"
    assert {name for name in SCALAR.findall(code) if not name.startswith("fastnn_")} <= set(allowed)
    if dtype is np.float32:
        assert not re.search(r"vcvtps2pd\s.*%[yz]mm", code), "float32 is promoted to float64"


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("name", CASES)
def test_hot_kernels_are_packed_and_call_no_library(name, dtype, assembly):
    case = CASES[name]
    check(assembly(case, dtype), case.packed, dtype, ONCE_A_STEP.get(name, ()))


@pytest.mark.parametrize(
    ("source", "move"), [("float32", "vmovups"), ("float64", "vcvtpd2ps"), ("uint8", "vcvtdq2ps")]
)
def test_gather_of_adjacent_columns_moves_many_at_once(source, move, assembly):
    attrs = {"source": source, "contiguous": True}
    code = assembly(Case("gather", [INDEX, ROWS64], [ROWS64], attrs=attrs), np.float32)
    assert re.search(rf"{move}\s.*%[yz]mm", code) or "memcpy" in code


@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("step", [1, -1], ids=["forwards", "backwards"])
@pytest.mark.parametrize("units_major", [False, True])
def test_rows_in_parts_are_clipped_and_standardised_in_the_vector_lanes(source, step, units_major, assembly):
    attrs = {"part": PartSource(source, 64, step), "column": 0}
    case = Case(
        "gather_part", [INDEX, ROWS64, ROWS64, ROWS64], [ROWS64], attrs=attrs, units_major=units_major
    )
    code = assembly(case, np.float32)
    suffix = FLOATS[np.dtype(source).type]
    for arithmetic in ("vmax", "vmin", "vsub", "vmul"):
        assert re.search(rf"{arithmetic}{suffix}\s.*%[yz]mm", code), arithmetic
    assert "prefetch" in code


def test_order_of_an_epoch_is_drawn_in_the_vector_lanes(assembly):
    code = assembly(Case("order", [], [INDEX]), np.float32)
    # Four rounds of a 32-bit finalizer of two products each, and the 64-bit product that picks the place.
    assert len(re.findall(r"vpmulld\s.*%[yz]mm", code)) >= 8
    assert len(re.findall(r"vpmuludq\s.*%[yz]mm", code)) >= 4
    assert re.search(r"vpminud\s.*%[yz]mm", code) and not re.search(r"\bdivq?l?\b", code)


def test_the_check_notices_a_call_and_scalar_code(no_cache):
    def kernel(q, r):
        x = jit.vector(at(q, r, 1), r[ROWS], np.float64)
        for i in range(r[ROWS]):
            x[i] = math.exp(x[i])

    code = jit.Kernel("test of scalar code", lambda: kernel).assembly()
    assert "exp" in SCALAR.findall(code)
    with pytest.raises(AssertionError, match="no packed arithmetic"):
        check(code, ARITHMETIC, np.float64)
