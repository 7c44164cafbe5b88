"""Elementary functions that the compiler vectorises: exp, log, tanh, sigmoid, erf and relatives.

Numba has no vector mathematics library, so ``math.exp`` in a loop is one scalar call per element.
The functions here are branch-free arithmetic: inlined in a loop over contiguous arrays they become
packed AVX2 or AVX-512 instructions. Each takes a float32 or a float64 scalar inside compiled code
and returns the same type; nothing is promoted on the way.

Conventions
-----------
* NaN gives NaN; infinities and poles give the mathematical limit, never an exception.
* Errors are in units in the last place (ulp) of the result, against the exact value.
* Results below the smallest normal number are accurate only to a few of the smallest subnormal
  numbers; `exp`, `sigmoid` and `softplus` flush them to 0. The sign of a zero is not promised.
* A fused multiply-add is assumed (x86-64-v3 or ARM64). Elsewhere it is emulated: correct, but slow.
* `inline_math` must compile without fast-math flags: reassociation would undo the error-carrying
  sums below, and the result would depend on the caller.

Each polynomial, but those of `cos`, is a minimax fit: Remez exchange in 40 to 60 digits on the stated
interval, weighted to make the *relative* error of the function even, then rounded to the working
precision (most float32 ones one coefficient at a time, the rest fitted again).

The errors stated are the largest found, rounded up: over more than 15 million float32 arguments each,
against float64 functions, and more than 15,000 float64 ones, against 40-digit arithmetic. Speed, best
of 400 passes over 16,384 elements on one Zen 4 core with AVX-512, in nanoseconds an element:

==========  =======  =======
function    float32  float64
==========  =======  =======
exp         0.22     0.65
expm1       0.21     0.62
log         0.36     1.13
log1p       0.37     1.14
log1p_unit  0.21     0.77
tanh        0.35     0.93
sigmoid     0.29     0.80
softplus    0.47     1.62
erf         0.41     1.76
cos         0.32     0.78
==========  =======  =======

With AVX2 alone the same core takes 1.4 to 2.2 times as long.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types

from fastnn.backends.cpu.jit import inline_math, intrinsic

__all__ = ["cos", "erf", "exp", "expm1", "log", "log1p", "log1p_unit", "sigmoid", "softplus", "tanh"]

# Every pair below is (for float32, for float64).

LOG2_E = 1.4426950408889634
# ln 2 and pi/2 as unevaluated sums.
LN2_HIGH = (0.6931471824645996, 0.6931471805599453)
LN2_LOW = (-1.9046542121259336e-09, 2.3190468138462996e-17)
TWO_OVER_PI = 0.6366197723675814
HALF_PI_HIGH = (1.5707963705062866, 1.5707963267948966)
HALF_PI_LOW = (-4.371138828673793e-08, 6.123233995736766e-17)
HALF_PI_LOWEST = (-1.7151245100058819e-15, -1.4973849048591833e-33)

# Beyond these arguments the result is 0, -1, 1 or infinity in the working precision. EXP_LOWEST is where
# 2**n, n = round(x / ln 2), becomes subnormal.
EXP_LOWEST = (-87.0, -708.1)
EXP_HIGHEST = (89.0, 710.0)
SIGMOID_HIGHEST = (87.3, 708.3)
EXPM1_LOWEST = (-18.0, -38.0)
TANH_HIGHEST = (10.0, 20.0)
ERF_HIGHEST = (3.93, 5.93)

# Multiplying by 2**RESCALE makes every subnormal number normal.
RESCALE = 64.0
TWO_TO_RESCALE = 2.0**64
SMALLEST_NORMAL = (2.0**-126, 2.0**-1022)

# expm1(r) = r + r^2 q(r) for |r| <= ln(2)/2; relative error 2^-26.1 and 2^-59.9.
EXPM1_Q = (
    (
        0.4999999701976776, 0.16666539013385773, 0.04166775569319725, 0.008367114700376987,
        0.0013835907448083162,
    ),
    (
        0.5, 0.16666666666666677, 0.04166666666666651, 0.008333333333321683, 0.001388888888896245,
        0.00019841269886010946, 2.48015871726496e-05, 2.7557244307541935e-06, 2.7557402328902035e-07,
        2.5109009082829605e-08, 2.0875490248307766e-09,
    ),
)  # fmt: skip

# log(1 + f) = f + f^2 q(f) for f in [sqrt(1/2) - 1, sqrt(2) - 1]; relative error 2^-27.5 and 2^-56.2.
LOG1P_Q = (
    (
        -0.49999988079071045, 0.33333325386047363, -0.25001588463783264, 0.20002005994319916,
        -0.16608989238739014, 0.14181257784366608, -0.1324319988489151, 0.12907631695270538,
        -0.07624872028827667,
    ),
    (
        -0.5, 0.33333333333333487, -0.24999999999998074, 0.19999999999936566, -0.16666666667007082,
        0.1428571429480622, -0.12499999977313955, 0.11111110465921724, -0.10000000501252165,
        0.09090935006702154, -0.08333344585964939, 0.07691687587280627, -0.07141992057758384,
        0.06675431256128296, -0.0627011525156186, 0.0581619034378148, -0.05323874197023019,
        0.05419356444020135, -0.06284944980268664, 0.05699186512422809, -0.024232156493785902,
    ),
)  # fmt: skip

# log(1 + x) = x + x r(x - 1/2) for 0 <= x <= 1; relative error 2^-26.8 and 2^-56.6.
LOG1P_R = (
    (
        -0.18906977772712708, -0.28852710127830505, 0.13260899484157562, -0.0676877424120903,
        0.03663545474410057, -0.020570313557982445, 0.011576139368116856, -0.006749926134943962,
        0.005253356881439686, -0.0032440098002552986,
    ),
    (
        -0.18906978378367123, -0.2885270990993239, 0.1326097537542029, -0.0676886433109661,
        0.036611854523158044, -0.020548811918992355, 0.011833792109657654, -0.006945394979109598,
        0.004136179121867111, -0.002491841123063237, 0.0015153828232013107, -0.0009288581605905464,
        0.0005730654080707669, -0.00035481596675190994, 0.00022107442073426118, -0.00014211659756096907,
        8.973260348243278e-05, -4.479522150460105e-05, 2.752462637905536e-05, -3.8390405477035435e-05,
        2.5041692774482836e-05,
    ),
)  # fmt: skip

# -log(erfc(t)) / t - 1 for 0 <= t <= 3.93 and 5.93; relative error of erf 2^-27.8 and 2^-56.1.
ERF_P = (
    (
        0.12837916612625122, 0.6366195678710938, 0.10277629643678665, -0.019147776067256927,
        -0.00016961399524006993, 0.0016758028650656343, -0.000637439195998013, 0.00011888386507052928,
        -9.390579180035274e-06,
    ),
    (
        0.12837916709551256, 0.6366197723675836, 0.10277260330178888, -0.019128447005072522,
        -0.00020919469481959268, 0.001696206385592146, -0.0005901255521981973, 2.5878602016193907e-05,
        6.449186632135899e-05, -2.9724056283365208e-05, 3.4072801382858945e-06, 2.835123528213616e-06,
        -1.7415324406946116e-06, 3.3635398344621416e-07, 1.371880630970234e-07,
        -1.4176456605514964e-07, 6.573440061232619e-08, -2.096290614088466e-08, 4.9977612748665864e-09,
        -9.082330442116054e-10, 1.248424887033227e-10, -1.2611168994224376e-11, 8.845713257945868e-13,
        -3.850598238383763e-14, 7.834360394914127e-16,
    ),
)  # fmt: skip

# sin(r) = r + r^3 q(r^2) and cos(r) = 1 - r^2/2 + r^4 q(r^2) for |r| <= pi/4, from Cephes (S. L. Moshier).
SIN_Q = (
    (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4),
    (
        -1.66666666666666307295e-1, 8.33333333332211858878e-3, -1.98412698295895385996e-4,
        2.75573136213857245213e-6, -2.50507477628578072866e-8, 1.58962301576546568060e-10,
    ),
)  # fmt: skip
COS_Q = (
    (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5),
    (
        4.16666666666665929218e-2, -1.38888888888730564116e-3, 2.48015872888517045348e-5,
        -2.75573141792967388112e-7, 2.08757008419747316778e-9, -1.13585365213876817300e-11,
    ),
)  # fmt: skip


# --------------------------------------------------------------------------- building blocks
class _Layout:
    """Bit layout of an IEEE 754 format, for the intrinsics that work on exponents."""

    def __init__(self, type_, llvm_type, width, mantissa_bits, sqrt_half_bits):
        self.type = type_
        self.float = llvm_type
        self.int = ir.IntType(width)
        bias = 2 ** (width - mantissa_bits - 2) - 1
        self.one_bits = self.int(bias << mantissa_bits)
        self.sqrt_half_bits = self.int(sqrt_half_bits)
        self.mantissa_bits = self.int(mantissa_bits)
        self.mantissa_mask = self.int((1 << mantissa_bits) - 1)
        self.sign_shift = self.int(width - 1)
        self.bias_minus_one = self.int(bias - 1)
        # Adding an integer to 1.5 * 2**mantissa_bits leaves it in the low bits of the sum.
        self.integer_magic = llvm_type(1.5 * 2.0**mantissa_bits)
        # 2**mantissa_bits + k has the bits of 2**mantissa_bits plus k, for k >= 0.
        self.count_bits = self.int((bias + mantissa_bits) << mantissa_bits)
        self.count_offset = llvm_type(2.0**mantissa_bits + bias)


_LAYOUTS = {
    types.float32: _Layout(types.float32, ir.FloatType(), 32, 23, 0x3F3504F3),
    types.float64: _Layout(types.float64, ir.DoubleType(), 64, 52, 0x3FE6A09E667F3BCD),
}


def _typed(builder, x_type, pair_type, pair):
    """Select from a Python float or a (float32, float64) pair the constant of `x_type`."""
    value = pair
    if not isinstance(pair_type, types.Float):
        value = builder.extract_value(pair, 0 if x_type == types.float32 else 1)
    return builder.fptrunc(value, ir.FloatType()) if x_type == types.float32 else value


@intrinsic
def _constant(typingctx, x, value):
    """Return `value`, a float or a (float32, float64) pair, in the type of `x`."""
    if x not in _LAYOUTS:
        return None

    def codegen(context, builder, signature, args):
        return _typed(builder, x, value, args[1])

    return x(x, value), codegen


@intrinsic
def _polynomial(typingctx, x, coefficients):
    """Evaluate the polynomial in `x`; `coefficients` lowest power first, a tuple for each type."""
    if x not in _LAYOUTS:
        return None

    def codegen(context, builder, signature, args):
        of_type = 0 if x == types.float32 else 1
        values = builder.extract_value(args[1], of_type)
        terms = [
            _typed(builder, x, types.float64, builder.extract_value(values, i))
            for i in range(len(coefficients[of_type]))
        ]
        # Two interleaved chains, even and odd powers: half the latency of one.
        square = builder.fmul(args[0], args[0])
        chains = []
        for chain in (terms[0::2], terms[1::2]):
            total = chain.pop()
            while chain:
                total = builder.fma(total, square, chain.pop())
            chains.append(total)
        return builder.fma(chains[1], args[0], chains[0])

    return x(x, coefficients), codegen


@intrinsic
def _fma(typingctx, a, b, c):
    """Return ``a * b + c``, rounded once."""

    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    return a(a, a, a), codegen


def _call_llvm(name):
    """Return code generation that calls the LLVM intrinsic `name`."""

    def codegen(context, builder, signature, args):
        type_ = ir.FunctionType(args[0].type, [arg.type for arg in args])
        function = builder.module.declare_intrinsic(name, [args[0].type], type_)
        return builder.call(function, args)

    return codegen


@intrinsic
def _round(typingctx, x):
    """Round to the nearest integer, ties to even."""
    return x(x), _call_llvm("llvm.rint")


@intrinsic
def _abs(typingctx, x):
    """Clear the sign bit."""
    return x(x), _call_llvm("llvm.fabs")


@intrinsic
def _copysign(typingctx, magnitude, sign):
    """Give `magnitude` the sign bit of `sign`."""
    return magnitude(magnitude, magnitude), _call_llvm("llvm.copysign")


@intrinsic
def _half_power_of_two(typingctx, n):
    """Return ``2**(n - 1)`` for an integral `n`, by writing the exponent (0 for n = 1 - bias)."""
    layout = _LAYOUTS[n]

    def codegen(context, builder, signature, args):
        integer = builder.bitcast(builder.fadd(args[0], layout.integer_magic), layout.int)
        exponent = builder.shl(builder.add(integer, layout.bias_minus_one), layout.mantissa_bits)
        return builder.bitcast(exponent, layout.float)

    return n(n), codegen


@intrinsic
def _negate_if_odd(typingctx, x, n):
    """Return ``x * (-1)**n`` for a small integral `n`."""
    layout = _LAYOUTS[x]

    def codegen(context, builder, signature, args):
        integer = builder.bitcast(builder.fadd(args[1], layout.integer_magic), layout.int)
        sign = builder.shl(integer, layout.sign_shift)
        return builder.bitcast(builder.xor(builder.bitcast(args[0], layout.int), sign), layout.float)

    return x(x, x), codegen


@intrinsic
def _exponent(typingctx, x):
    """Return the `e` for which ``x * 2**-e`` lies in [sqrt(1/2), sqrt(2)); x positive and normal."""
    layout = _LAYOUTS[x]

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], layout.int)
        biased = builder.add(bits, builder.sub(layout.one_bits, layout.sqrt_half_bits))
        count = builder.lshr(biased, layout.mantissa_bits)
        offset_count = builder.bitcast(builder.add(count, layout.count_bits), layout.float)
        return builder.fsub(offset_count, layout.count_offset)

    return x(x), codegen


@intrinsic
def _mantissa(typingctx, x):
    """Return ``x * 2**-e`` in [sqrt(1/2), sqrt(2)), with `e` of `_exponent`; x positive and normal."""
    layout = _LAYOUTS[x]

    def codegen(context, builder, signature, args):
        bits = builder.bitcast(args[0], layout.int)
        biased = builder.add(bits, builder.sub(layout.one_bits, layout.sqrt_half_bits))
        mantissa = builder.add(builder.and_(biased, layout.mantissa_mask), layout.sqrt_half_bits)
        return builder.bitcast(mantissa, layout.float)

    return x(x), codegen


@inline_math
def _at_most(x, limit):
    """Return the smaller of `x` and the constant `limit`; NaN stays NaN."""
    highest = _constant(x, limit)
    return highest if x > highest else x


@inline_math
def _at_least(x, limit):
    """Return the larger of `x` and the constant `limit`; NaN stays NaN."""
    lowest = _constant(x, limit)
    return lowest if x < lowest else x


@inline_math
def _reduced_expm1(x):
    """Split ``exp(x) = 2**n * (1 + p)``: return the integral `n` and ``p = expm1(x - n ln 2)``."""
    n = _round(x * _constant(x, LOG2_E))
    r = _fma(-n, _constant(x, LN2_HIGH), x)
    r = _fma(-n, _constant(x, LN2_LOW), r)
    return n, _fma(r * r, _polynomial(r, EXPM1_Q), r)


@inline_math
def _half_expm1(x):
    """Return ``(exp(x) - 1) / 2``, which overflows only if ``exp(x)`` does."""
    n, p = _reduced_expm1(x)
    scale = _half_power_of_two(n)
    return _fma(scale, p, scale - _constant(x, 0.5))


@inline_math
def _log_of_parts(e, f):
    """Return ``log(2**e * (1 + f))`` for `f` in [sqrt(1/2) - 1, sqrt(2) - 1)."""
    tail = _fma(e, _constant(f, LN2_LOW), f * f * _polynomial(f, LOG1P_Q))
    return _fma(e, _constant(f, LN2_HIGH), f + tail)


@inline_math
def _finite_log1p(x):
    """Return ``log(1 + x)`` for finite ``x > -1``, exact in the argument however small."""
    e = _exponent(x + _constant(x, 1.0))
    # f = x 2^-e + (2^-e - 1), with 2^(2-e) in place of 2^-e: the latter is subnormal for the largest e.
    scale = _half_power_of_two(_constant(x, 3.0) - e)
    quarter = _constant(x, 0.25)
    f = _fma(x * quarter, scale, _fma(scale, quarter, _constant(x, -1.0)))
    return _log_of_parts(e, f)


@inline_math
def _log_limits(x, pole, finite):
    """Return `finite` or, at and beyond the edges of a logarithm's domain, its limit."""
    infinity = _constant(x, float("inf"))
    inside = finite if x < infinity else x
    outside = -infinity if x == pole else _constant(x, float("nan"))
    return inside if x > pole else outside


# --------------------------------------------------------------------------- the functions
@inline_math
def exp(x):
    """Exponential function, ``exp(x) = 2**n (1 + p)``.

    Parameters
    ----------
    x : float32 or float64
        Any value.

    Returns
    -------
    float32 or float64
        Within 1.1 (float32) and 1.0 (float64) ulp; results below ``sqrt(2)`` times the smallest normal
        number are 0.
    """
    x = _at_most(_at_least(x, EXP_LOWEST), EXP_HIGHEST)
    n, p = _reduced_expm1(x)
    two = _constant(x, 2.0)
    return _fma(two, p, two) * _half_power_of_two(n)


@inline_math
def expm1(x):
    """``exp(x) - 1`` without cancellation near 0.

    Parameters
    ----------
    x : float32 or float64
        Any value.

    Returns
    -------
    float32 or float64
        Within 1.8 (float32) and 1.9 (float64) ulp.
    """
    return _half_expm1(_at_most(_at_least(x, EXPM1_LOWEST), EXP_HIGHEST)) * _constant(x, 2.0)


@inline_math
def log(x):
    """Natural logarithm, ``e ln 2 + log(m)`` for ``x = 2**e m``; subnormal arguments included.

    Parameters
    ----------
    x : float32 or float64
        Any value; 0 gives -inf, a negative value NaN.

    Returns
    -------
    float32 or float64
        Within 1.1 (float32) and 1.0 (float64) ulp.
    """
    subnormal = x < _constant(x, SMALLEST_NORMAL)
    zero = _constant(x, 0.0)
    normal = x * _constant(x, TWO_TO_RESCALE) if subnormal else x
    e = _exponent(normal) - (_constant(x, RESCALE) if subnormal else zero)
    return _log_limits(x, zero, _log_of_parts(e, _mantissa(normal) - _constant(x, 1.0)))


@inline_math
def log1p(x):
    """``log(1 + x)`` without cancellation near 0.

    Parameters
    ----------
    x : float32 or float64
        Any value; -1 gives -inf, a lower value NaN.

    Returns
    -------
    float32 or float64
        Within 1.6 (float32) and 0.9 (float64) ulp.
    """
    return _log_limits(x, _constant(x, -1.0), _finite_log1p(x))


@inline_math
def log1p_unit(x):
    """``log(1 + x)`` for the results of ``exp(-|z|)``: half the time of `log1p`.

    Parameters
    ----------
    x : float32 or float64
        From 0 to 1.

    Returns
    -------
    float32 or float64
        Within 1.0 (float32) and 0.9 (float64) ulp.
    """
    # Centred, the polynomial has no cancellation; in powers of x it would lose half a unit.
    return _fma(x, _polynomial(x - _constant(x, 0.5), LOG1P_R), x)


@inline_math
def tanh(x):
    """Hyperbolic tangent, ``h / (1 + h)`` with ``h = expm1(2 |x|) / 2`` and the sign of `x`.

    Parameters
    ----------
    x : float32 or float64
        Any value.

    Returns
    -------
    float32 or float64
        Within 1.8 (float32) and 1.8 (float64) ulp, exactly odd, never above 1.
    """
    one = _constant(x, 1.0)
    t = _at_most(_abs(x), TANH_HIGHEST)
    h = _half_expm1(t + t)
    reciprocal = one / (h + one)
    quotient = h * reciprocal
    # A Newton step, with the remainder h - quotient (1 + h) evaluated without rounding 1 + h.
    remainder = _fma(-quotient, h, h - quotient)
    return _copysign(_fma(remainder, reciprocal, quotient), x)


@inline_math
def sigmoid(x):
    """Logistic function, ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : float32 or float64
        Any value.

    Returns
    -------
    float32 or float64
        Within 1.8 (float32) and 1.6 (float64) ulp; 0 below x = -87.3 (float32) and -708.3 (float64).
    """
    n, p = _reduced_expm1(_at_most(_at_least(-x, EXP_LOWEST), SIGMOID_HIGHEST))
    half = _constant(x, 0.5)
    scale = _half_power_of_two(n)
    # (1 + exp(-x)) / 2 = (half + scale) + scale p, with the rounding error of the first sum carried on.
    total = scale + half
    lost = half - (total - scale)
    value = half / (total + _fma(scale, p, lost))
    return _constant(x, 0.0) if -x > _constant(x, SIGMOID_HIGHEST) else value


@inline_math
def softplus(x):
    """``log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))``.

    Parameters
    ----------
    x : float32 or float64
        Any value.

    Returns
    -------
    float32 or float64
        Within 1.9 (float32) and 1.6 (float64) ulp; underflows to 0 as `exp` does.
    """
    zero = _constant(x, 0.0)
    return (x if x > zero else zero) + log1p_unit(exp(-_abs(x)))


@inline_math
def erf(x):
    """Error function, ``1 - exp(-t (1 + P(t)))`` with ``t = |x|`` and the sign of `x`.

    Parameters
    ----------
    x : float32 or float64
        Any value.

    Returns
    -------
    float32 or float64
        Within 1.98 (float32) and 1.5 (float64) ulp, exactly odd.

    Notes
    -----
    ``-log(erfc(t))`` is smooth on the whole half line, so one polynomial serves where other libraries
    switch between three, and `expm1` keeps the relative accuracy for small arguments.
    """
    t = _at_most(_abs(x), ERF_HIGHEST)
    half = _half_expm1(-_fma(t, _polynomial(t, ERF_P), t))
    return _copysign(half + half, x)


@inline_math
def cos(x):
    """Cosine on [0, 2 pi], by the sine or the cosine of ``x - n pi/2``.

    Parameters
    ----------
    x : float32 or float64
        From 0 to 2 pi: the reduction is not made for large arguments. Infinities give NaN.

    Returns
    -------
    float32 or float64
        Within 1.6 (float32) and 1.4 (float64) ulp.
    """
    half = _constant(x, 0.5)
    n = _round(x * _constant(x, TWO_OVER_PI))
    r = _fma(-n, _constant(x, HALF_PI_HIGH), x)
    r = _fma(-n, _constant(x, HALF_PI_LOW), r)
    r = _fma(-n, _constant(x, HALF_PI_LOWEST), r)
    z = r * r
    sine = _fma(r * z, _polynomial(z, SIN_Q), r)
    cosine = _fma(z * z, _polynomial(z, COS_Q), _fma(-half, z, _constant(x, 1.0)))
    # cos(r + n pi/2) is cosine, -sine, -cosine, sine for n = 0, 1, 2, 3
    half_n = n * half
    value = cosine if _round(half_n) == half_n else sine
    return _negate_if_odd(value, _round(half_n + _constant(x, 0.25)))
