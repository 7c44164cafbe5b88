// Activations as scalar functions. KIND is one of the forms of fastnn.ops.activation_forms (FORM for a kernel that knows one); a, b, c are its constants.
#define FORM_linear 0
#define FORM_relu 1
#define FORM_relu_general 2
#define FORM_leaky_relu 3
#define FORM_elu 4
#define FORM_selu 5
#define FORM_celu 6
#define FORM_gelu_erf 7
#define FORM_gelu_tanh 8
#define FORM_silu 9
#define FORM_mish 10
#define FORM_softplus 11
#define FORM_softsign 12
#define FORM_tanh 13
#define FORM_sigmoid 14
#define FORM_hard_sigmoid 15
#define FORM_hard_tanh 16
#define FORM_log_sigmoid 17
#define FORM_exponential 18
#ifndef FORM
#define FORM FORM_linear
#endif

__device__ __forceinline__ real below_zero(real x) { return x > (real)0 ? (real)0 : x; }     // keeps NaN
__device__ __forceinline__ real clip(real x, real low, real high) {
    const real y = x < low ? low : x;
    return y > high ? high : y;
}

template <int KIND = FORM>
__device__ __forceinline__ real forward(real x, real a, real b, real c) {
    if constexpr (KIND == FORM_relu) {
        return x <= (real)0 ? (real)0 : x;
    } else if constexpr (KIND == FORM_relu_general) {
        const real y = x < c ? a * (x - c) : x;
        return y > b ? b : y;
    } else if constexpr (KIND == FORM_leaky_relu) {
        return x > (real)0 ? x : a * x;
    } else if constexpr (KIND == FORM_elu) {
        return x > (real)0 ? x : a * F(expm1)(below_zero(x));
    } else if constexpr (KIND == FORM_selu) {
        return x > (real)0 ? b * x : b * (a * F(expm1)(below_zero(x)));
    } else if constexpr (KIND == FORM_celu) {
        return x > (real)0 ? x : a * F(expm1)(below_zero(x) / a);
    } else if constexpr (KIND == FORM_gelu_erf) {
        return x * (b + b * F(erf)(x * a));
    } else if constexpr (KIND == FORM_gelu_tanh) {
        return b * x * ((real)1 + F(tanh)(a * (x + c * x * x * x)));
    } else if constexpr (KIND == FORM_silu) {
        return x * r_sigmoid(x);
    } else if constexpr (KIND == FORM_mish) {
        return x * F(tanh)(r_softplus(x));
    } else if constexpr (KIND == FORM_softplus) {
        return r_softplus(x);
    } else if constexpr (KIND == FORM_softsign) {
        return x / (a + F(fabs)(x));
    } else if constexpr (KIND == FORM_tanh) {
        return F(tanh)(x);
    } else if constexpr (KIND == FORM_sigmoid) {
        return r_sigmoid(x);
    } else if constexpr (KIND == FORM_hard_sigmoid) {
        return clip(x * b + c, (real)0, a);
    } else if constexpr (KIND == FORM_hard_tanh) {
        return clip(x, -a, a);
    } else if constexpr (KIND == FORM_log_sigmoid) {
        return -r_softplus(-x);
    } else if constexpr (KIND == FORM_exponential) {
        return F(exp)(x);
    } else {
        return x;
    }
}

// dx from dy and what the derivative is taken at: the input or the output, as the op table says.
template <int KIND = FORM>
__device__ __forceinline__ real backward(real dy, real s, real a, real b, real c) {
    if constexpr (KIND == FORM_relu) {
        return s > (real)0 ? dy : (real)0;
    } else if constexpr (KIND == FORM_relu_general) {
        const real d = s > c ? dy : dy * a;
        return s >= b ? (real)0 : d;
    } else if constexpr (KIND == FORM_leaky_relu) {
        return s > (real)0 ? dy : a * dy;
    } else if constexpr (KIND == FORM_elu) {
        return s > (real)0 ? dy : dy * (s + a);
    } else if constexpr (KIND == FORM_selu) {
        return s > (real)0 ? dy * b : dy * (s + b * a);
    } else if constexpr (KIND == FORM_celu) {
        return s > (real)0 ? dy : dy * (s / a + (real)1);
    } else if constexpr (KIND == FORM_gelu_erf) {
        return dy * (b + b * F(erf)(s * a) + s * c * F(exp)(-b * s * s));
    } else if constexpr (KIND == FORM_gelu_tanh) {
        const real t = F(tanh)(a * (s + c * s * s * s));
        return dy * (b * ((real)1 + t) + b * s * ((real)1 - t * t) * a * ((real)1 + (real)3 * c * s * s));
    } else if constexpr (KIND == FORM_silu) {
        const real p = r_sigmoid(s);
        return dy * (p * ((real)1 + s * ((real)1 - p)));
    } else if constexpr (KIND == FORM_mish) {
        const real t = F(tanh)(r_softplus(s));
        return dy * (t + s * ((real)1 - t * t) * r_sigmoid(s));
    } else if constexpr (KIND == FORM_softplus) {
        return -dy * F(expm1)(-s);
    } else if constexpr (KIND == FORM_softsign) {
        const real d = a - F(fabs)(s);
        return dy * d * d;
    } else if constexpr (KIND == FORM_tanh) {
        return dy * ((real)1 - s * s);
    } else if constexpr (KIND == FORM_sigmoid) {
        return dy * (s * ((real)1 - s));
    } else if constexpr (KIND == FORM_hard_sigmoid) {
        return s > (real)0 && s < a ? dy * b : (real)0;
    } else if constexpr (KIND == FORM_hard_tanh) {
        return s > -a && s < a ? dy : (real)0;
    } else if constexpr (KIND == FORM_log_sigmoid) {
        return -dy * F(expm1)(s);
    } else if constexpr (KIND == FORM_exponential) {
        return dy * s;
    } else {
        return dy;
    }
}
