"""vecmath: accuracy in ulp, limits, no promotion, no fast-math flags, and packed machine code."""

import functools
import math
import platform
import re

import mpmath
import numpy as np
import pytest
from numba import njit, types
from scipy import special

from fastnn.backends.cpu import vecmath
from fastnn.backends.cpu.jit import FASTMATH

MAX_ULP = 2.0
NAMES = vecmath.__all__
DTYPES = [np.float32, np.float64]
each_name = pytest.mark.parametrize("name", NAMES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)

EXACT = {
    "cos": mpmath.cos,
    "erf": mpmath.erf,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "log1p_unit": mpmath.log1p,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "tanh": mpmath.tanh,
}
IN_FLOAT64 = {
    "cos": np.cos,
    "erf": special.erf,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log1p_unit": np.log1p,
    "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1.0) / (1 + np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "tanh": np.tanh,
}


@functools.cache
def compile_loop(function, fastmath):
    @njit(error_model="numpy", fastmath=FASTMATH if fastmath else False)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


def evaluate(name, x, fastmath=True):
    out = np.empty_like(x)
    compile_loop(getattr(vecmath, name), fastmath)(x, out)
    return out


def sample(name, dtype, size):
    """Draw arguments: uniform over the useful range, uniform near 0, of every magnitude, and awkward ones."""
    rng = np.random.default_rng(NAMES.index(name))
    # exp's arguments from the smallest to the largest normal result
    low, high = (-86.9, 88.7) if dtype is np.float32 else (-707.9, 709.7)
    low, high = {
        "cos": (0.0, 2 * math.pi),
        "erf": (-6.5, 6.5),
        "log": (0.0, math.inf),
        "log1p": (-1.0, math.inf),
        "log1p_unit": (0.0, 1.0),
        "tanh": (-25.0, 25.0),
    }.get(name, (low, high))
    smallest, largest = np.log10(np.finfo(dtype).smallest_normal) + 1, np.log10(np.finfo(dtype).max) - 0.1
    magnitudes = 10.0 ** rng.uniform(smallest, largest, size)
    near = 10.0 ** rng.uniform(-8, 0, size)
    x = np.concatenate(
        [
            rng.uniform(max(low, -1000), min(high, 1000), size),
            rng.uniform(-1, 3, size),
            magnitudes,
            -magnitudes,
            near,
            -near,
            1 - near,
            near - 1,
            np.arange(-60, 61) * math.log(2) / 2,
            np.arange(5) * math.pi / 2,
            np.sqrt(0.5) + np.arange(-50, 51) * 2.0**-24,
        ]
    ).astype(dtype)
    return x[(x > low) & (x < high)]


def largest_error_in_ulp(y, exact):
    """Return the largest error of `y` where the exact values (float64) are normal numbers of its type."""
    info = np.finfo(y.dtype)
    # one binade is left free: exp flushes to zero already at sqrt(2) times the smallest normal number
    normal = (np.abs(exact) >= 2 * float(info.smallest_normal)) & (np.abs(exact) <= float(info.max))
    y, exact = y[normal].astype(np.float64), exact[normal]
    ulp = np.exp2(np.floor(np.log2(np.abs(exact))) - info.nmant)
    assert exact.size
    return np.max(np.abs(y - exact) / ulp)


@each_name
@pytest.mark.parametrize("fastmath", [True, False], ids=["fast-caller", "plain-caller"])
def test_float32_is_within_two_ulp_of_float64(name, fastmath):
    x = sample(name, np.float32, 300_000)
    with np.errstate(over="ignore", under="ignore"):
        exact = IN_FLOAT64[name](x.astype(np.float64))
    assert largest_error_in_ulp(evaluate(name, x, fastmath), exact) <= MAX_ULP


@each_name
@each_dtype
def test_is_within_two_ulp_of_exact_value(name, dtype):
    x = sample(name, dtype, 300)
    y = evaluate(name, x)
    bits = np.finfo(dtype).nmant
    low, high = 2 * float(np.finfo(dtype).smallest_normal), float(np.finfo(dtype).max)
    worst = 0.0
    with mpmath.workdps(60):
        for argument, value in zip(x.tolist(), y.tolist(), strict=True):
            exact = EXACT[name](mpmath.mpf(argument))
            if low <= abs(exact) <= high:
                exponent = mpmath.frexp(exact)[1] - 1
                worst = max(worst, float(mpmath.ldexp(abs(value - exact), bits - exponent)))
    assert 0 < worst <= MAX_ULP


INFINITY = math.inf
NAN = math.nan
LIMITS = [
    ("exp", [(-INFINITY, 0), (INFINITY, INFINITY), (0, 1), (-1e4, 0), (1e4, INFINITY)]),
    ("expm1", [(-INFINITY, -1), (INFINITY, INFINITY), (0, 0), (-1e4, -1), (1e4, INFINITY)]),
    ("log", [(0, -INFINITY), (-0.0, -INFINITY), (-1, NAN), (-INFINITY, NAN), (INFINITY, INFINITY), (1, 0)]),
    ("log1p", [(-1, -INFINITY), (-1.5, NAN), (-INFINITY, NAN), (INFINITY, INFINITY), (0, 0)]),
    ("log1p_unit", [(0, 0)]),
    ("tanh", [(-INFINITY, -1), (INFINITY, 1), (0, 0), (-1e4, -1), (1e4, 1)]),
    ("sigmoid", [(-INFINITY, 0), (INFINITY, 1), (0, 0.5), (-1e4, 0), (1e4, 1)]),
    ("softplus", [(-INFINITY, 0), (INFINITY, INFINITY), (-1e4, 0), (1e4, 1e4)]),
    ("erf", [(-INFINITY, -1), (INFINITY, 1), (0, 0), (-1e4, -1), (1e4, 1)]),
    ("cos", [(-INFINITY, NAN), (INFINITY, NAN), (0, 1)]),
]


@pytest.mark.parametrize(("name", "cases"), LIMITS, ids=[name for name, _ in LIMITS])
@each_dtype
def test_limits(name, cases, dtype):
    x = np.array([argument for argument, _ in cases] + [NAN], dtype)
    expected = np.array([value for _, value in cases] + [NAN], dtype)
    for fastmath in (True, False):
        # repeated, so that both the packed loop and its scalar remainder see every case
        np.testing.assert_array_equal(evaluate(name, np.tile(x, 37), fastmath), np.tile(expected, 37))


@each_dtype
def test_tiny_arguments_keep_their_relative_accuracy(dtype):
    tiny = np.array([1e-20, -1e-20, 1e-30, 1e-37], dtype)
    np.testing.assert_array_equal(evaluate("log1p_unit", abs(tiny)), abs(tiny))
    for name in ("expm1", "log1p", "tanh"):
        np.testing.assert_array_equal(evaluate(name, tiny), tiny)


@each_dtype
def test_log_takes_subnormal_arguments(dtype):
    x = np.array([1, 3, 1000], dtype) * np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(evaluate("log", x), np.log(x), rtol=2 * np.finfo(dtype).eps)


@each_dtype
def test_exp_flushes_to_zero_only_below_the_stated_bound(dtype):
    flushed = math.sqrt(2) * float(np.finfo(dtype).smallest_normal)
    x = np.array([math.log(flushed) + 1e-3, math.log(flushed) - 1e-3, -1000], dtype)
    y = evaluate("exp", x)
    assert y[0] > 0
    np.testing.assert_array_equal(y[1:], 0)


@pytest.mark.parametrize("name", ["erf", "tanh"])
@each_dtype
def test_odd_functions_are_exactly_odd_and_bounded(name, dtype):
    x = np.abs(sample(name, dtype, 20_000))
    y = evaluate(name, x)
    np.testing.assert_array_equal(evaluate(name, -x), -y)
    assert np.all(y <= 1)


@each_name
@each_dtype
def test_type_is_kept(name, dtype):
    function = getattr(vecmath, name)
    function(dtype(0.5))
    numba_type = types.float32 if dtype is np.float32 else types.float64
    returned = {s.args[0]: s.return_type for s in function.nopython_signatures}
    assert returned[numba_type] == numba_type


@each_name
@each_dtype
def test_flags_of_the_caller_do_not_reach_the_function(name, dtype):
    # A function whose fast-math flags are unset takes those of the caller that compiles it first.
    evaluate(name, np.ones(1, dtype), fastmath=True)
    ir = "\n".join(getattr(vecmath, name).inspect_llvm().values())
    assert not re.search(r"\b(fast|reassoc|contract|arcp|nsz|afn)\b", ir)
    x = sample(name, dtype, 5000)
    np.testing.assert_array_equal(evaluate(name, x, fastmath=True), evaluate(name, x, fastmath=False))


LIBRARY_CALL = re.compile(r"(?:call\w*\s+\*?|\$)(\w*(?:exp|log|tanh|erf|cos|sin|fma|rint|pow|ldexp)\w*)\b")


def packed_and_called(loop, dtype):
    """Count packed arithmetic instructions of `dtype`, and list the mathematics functions called."""
    assembly = "\n".join(loop.inspect_asm().values())
    suffix = "ps" if dtype is np.float32 else "pd"
    packed = re.findall(rf"\bv(?:fn?m\w+|add|mul|sub|div){suffix}\s.*%[yz]mm", assembly)
    called = [symbol for symbol in LIBRARY_CALL.findall(assembly) if not symbol.startswith("_Z")]
    return len(packed), called, assembly


needs_wide_registers = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="reads x86-64 assembly"
)


@needs_wide_registers
@each_name
@each_dtype
def test_loop_is_packed_and_calls_nothing(name, dtype):
    function = getattr(vecmath, name)

    @njit(error_model="numpy", fastmath=FASTMATH)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    loop(np.ones(3, dtype), np.ones(3, dtype))
    packed, called, assembly = packed_and_called(loop, dtype)
    assert packed >= 8
    assert called == []
    if dtype is np.float32:
        assert not re.search(r"vcvt(ps2pd|ss2sd)", assembly), "float32 is promoted to float64"


@needs_wide_registers
@each_dtype
def test_assembly_check_notices_a_scalar_call(dtype):
    @njit(error_model="numpy", fastmath=FASTMATH)
    def loop(x, out):
        for i in range(x.size):
            out[i] = math.exp(x[i])

    loop(np.ones(3, dtype), np.ones(3, dtype))
    packed, called, _ = packed_and_called(loop, dtype)
    assert packed == 0
    assert called
