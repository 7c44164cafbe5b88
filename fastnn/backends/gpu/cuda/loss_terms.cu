// The elementwise losses as scalar functions: value and slope by the prediction. LOSS picks one; a, b, c are its settings.
#define LOSS_mean_squared_error 0
#define LOSS_mean_absolute_error 1
#define LOSS_huber 2
#define LOSS_log_cosh 3
#define LOSS_mean_absolute_percentage_error 4
#define LOSS_mean_squared_logarithmic_error 5
#define LOSS_poisson 6
#define LOSS_quantile 7
#define LOSS_binary_crossentropy 8
#define LOSS_binary_crossentropy_logits 9
#define LOSS_binary_focal 10
#define LOSS_binary_focal_logits 11
#define LOSS_hinge 12
#define LOSS_squared_hinge 13
#define LOSS_kl_divergence 14
#define LOSS_activity_penalty 15
#ifndef LOSS
#define LOSS LOSS_mean_squared_error
#endif
#ifndef BALANCED
#define BALANCED 0
#endif
#define EPS ((real)1e-7)
// Limits of log p and log(1 - p) for p in [EPS, 1 - EPS]: float32 has no 1 - EPS, so the logarithms are clipped.
#define LOG_LOW ((real)-16.11809565095832)
#define LOG_HIGH ((real)-1.0000000494736474e-7)
#define LOG_REST_LOW ((real)-16.118095651484676)
#define LOG_REST_HIGH ((real)-1.0000000500000033e-7)

// What a gradient is multiplied by: `scale`, over the rows of the batch if `mean`; in a row times its weight, if any.
__device__ __forceinline__ real gradient_factor(const long long* __restrict__ r, double scale, int mean) {
    return (real)(mean ? scale / (double)r[R_BATCH] : scale);
}
__device__ __forceinline__ real row_factor(const long long* __restrict__ r, const real* __restrict__ w, double scale,
                                           int mean, long long i) {
    const real factor = gradient_factor(r, scale, mean);
    return w ? factor * w[i] : factor;
}

struct Term { real value, slope; };

__device__ __forceinline__ real at_least(real x, real low) { return x < low ? low : x; }       // NaN stays
__device__ __forceinline__ real at_most(real x, real high) { return x > high ? high : x; }
__device__ __forceinline__ real within(real x, real low, real high) { return at_most(at_least(x, low), high); }
__device__ __forceinline__ real signed_by(real d, real size) { return d > (real)0 ? size : d < (real)0 ? -size : d; }

__device__ __forceinline__ Term binary_logits(real t, real p) {
    const real e = F(exp)(-F(fabs)(p)), large = (real)1 / ((real)1 + e), small = e * large;
    const Term out = {r_softplus(p) - p * t, (p < (real)0 ? small : large) - t};
    return out;
}
__device__ __forceinline__ Term binary_shares(real t, real p) {
    const real inside = within(p, (real)0, (real)1);
    const real log_p = within(F(log)(inside), LOG_LOW, LOG_HIGH);
    const real log_q = within(F(log1p)(-inside), LOG_REST_LOW, LOG_REST_HIGH);
    const real slope = (p - t) / (p * ((real)1 - p));
    const Term out = {-(t * log_p + ((real)1 - t) * log_q), p < EPS || p > (real)1 - EPS ? (real)0 : slope};
    return out;
}
// x^gamma and its derivative, which is 0 where it is infinite.
__device__ __forceinline__ Term power(real x, real gamma) {
    if (gamma == (real)2) { const Term square = {x * x, x + x}; return square; }
    const real lower = x == (real)0 ? (gamma == (real)1 ? (real)1 : (real)0) : F(exp)((gamma - (real)1) * F(log)(x));
    const Term out = {gamma == (real)0 ? (real)1 : x * lower, gamma * lower};
    return out;
}

__device__ __forceinline__ Term term(real t, real p, real a, real b, real c) {
    Term out;
#if LOSS == LOSS_mean_squared_error
    const real d = p - t;
    out.value = d * d; out.slope = d + d;
#elif LOSS == LOSS_mean_absolute_error
    const real d = p - t;
    out.value = F(fabs)(d); out.slope = signed_by(d, (real)1);
#elif LOSS == LOSS_huber
    const real d = p - t, clipped = within(d, -a, a);
    out.value = clipped * (d - (real)0.5 * clipped); out.slope = clipped;
#elif LOSS == LOSS_log_cosh
    // log cosh e = -log(1 - tanh(e)^2) / 2 = e + log((1 + exp(-2e)) / 2): the first for small errors.
    const real d = p - t, e = F(fabs)(d), g = F(expm1)((real)-2 * e), tangent = -g / ((real)2 + g);
    const real near = F(log1p)(-tangent * tangent), far = F(log1p)((real)0.5 * g);
    out.value = e < (real)1 ? (real)-0.5 * near : e + far; out.slope = signed_by(d, tangent);
#elif LOSS == LOSS_mean_absolute_percentage_error
    const real d = p - t, scale = (real)100 / at_least(F(fabs)(t), EPS);
    out.value = scale * F(fabs)(d); out.slope = signed_by(d, scale);
#elif LOSS == LOSS_mean_squared_logarithmic_error
    const real raised = at_least(p, EPS), d = F(log1p)(raised) - F(log1p)(at_least(t, EPS));
    out.value = d * d; out.slope = p > EPS ? (d + d) / ((real)1 + raised) : (real)0;
#elif LOSS == LOSS_poisson
    const real q = p + EPS;
    out.value = p - t * F(log)(q); out.slope = (real)1 - t / q;
#elif LOSS == LOSS_quantile
    const real e = t - p, above = a * e, below = (a - (real)1) * e;
    out.value = below > above ? below : above; out.slope = e > (real)0 ? -a : e < (real)0 ? (real)1 - a : (real)0;
#elif LOSS == LOSS_binary_crossentropy_logits
    out = binary_logits(t * a + b, p);
#elif LOSS == LOSS_binary_crossentropy
    out = binary_shares(t * a + b, p);
#elif LOSS == LOSS_binary_focal || LOSS == LOSS_binary_focal_logits
    t = t * ((real)1 - c) + (real)0.5 * c;
#if LOSS == LOSS_binary_focal_logits
    const Term entropy = binary_logits(t, p);
    const real e = F(exp)(-F(fabs)(p)), large = (real)1 / ((real)1 + e), small = e * large;
    const real share = p < (real)0 ? small : large, rest = p < (real)0 ? large : small, inner = share * rest;
#else
    const Term entropy = binary_shares(t, p);
    const real share = p, rest = (real)1 - p, inner = 1;
#endif
    const Term factor = power(t * rest + ((real)1 - t) * share, b);
    const real d_miss = ((real)1 - t - t) * inner;
    const real weight = BALANCED ? t * a + ((real)1 - t) * ((real)1 - a) : (real)1;
    out.value = weight * factor.value * entropy.value;
    out.slope = weight * (factor.slope * d_miss * entropy.value + factor.value * entropy.slope);
#elif LOSS == LOSS_hinge || LOSS == LOSS_squared_hinge
    const real y = t <= (real)0 ? (real)-1 : (real)1, m = (real)1 - y * p, margin = m < (real)0 ? (real)0 : m;
#if LOSS == LOSS_hinge
    out.value = margin; out.slope = m > (real)0 ? -y : (real)0;
#else
    out.value = margin * margin; out.slope = -(y + y) * margin;
#endif
#elif LOSS == LOSS_kl_divergence
    const real s = within(t, EPS, (real)1), q = within(p, EPS, (real)1), ratio = s / q;
    out.value = s * F(log)(ratio); out.slope = p >= EPS && !(p > (real)1) ? -ratio : (real)0;
#else                                                                             // activity penalty: no target
    out.value = a * F(fabs)(p) + b * p * p; out.slope = signed_by(p, a) + b * (p + p);
#endif
    return out;
}
