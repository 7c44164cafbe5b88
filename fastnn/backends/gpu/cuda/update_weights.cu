// What is done to weights after an update: their moving average, and constraints. In place; a run that has stopped, or a
// batch that only accumulates, changes nothing. NORM: 0 max_norm, 1 unit_norm, 2 min_max_norm.
#ifndef NORM
#define NORM 0
#endif
#define NORM_EPSILON 1e-7

// average = m average + (1 - m) p; the first update sets it; every `overwrite` updates it replaces the weights.
extern "C" __global__ void __launch_bounds__(256, 1)
average_weights(const long long* __restrict__ r, real* __restrict__ p, real* __restrict__ average, int n, int steps,
                int overwrite, real keep, real add) {
    if (r[R_STATUS] != 0 || r[R_SKIP] != 0) return;
    const long long t = (r[R_STEP] + 1) / steps;
    const bool replace = overwrite && t % overwrite == 0;
    EACH(i, n) {
        const real mean = t <= 1 ? p[i] : keep * average[i] + add * p[i];
        average[i] = mean;
        if (replace) p[i] = mean;
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
non_neg(const long long* __restrict__ r, real* __restrict__ p, int n) {
    if (r[R_STATUS] != 0 || r[R_SKIP] != 0) return;
    EACH(i, n) { const real x = p[i]; p[i] = x < (real)0 ? (real)0 : x; }
}

__device__ __forceinline__ double desired(double norm, double a, double b, double c) {
#if NORM == 0
    return norm > a ? a : norm;
#elif NORM == 1
    return 1.0;
#else
    const double clipped = norm > b ? b : norm < a ? a : norm;
    return c * clipped + (1.0 - c) * norm;
#endif
}

// Each norm along the middle axis of p (outer, length, inner) gets its desired size; a thread a norm.
extern "C" __global__ void __launch_bounds__(256, 1)
project(const long long* __restrict__ r, real* __restrict__ p, int outer, int length, int inner, double a, double b,
        double c) {
    if (r[R_STATUS] != 0 || r[R_SKIP] != 0) return;
    EACH(e, (long long)outer * inner) {
        real* __restrict__ q = p + (e / inner) * length * inner + e % inner;
        double total = 0;
        for (int k = 0; k < length; ++k) { const double x = (double)q[(long long)k * inner]; total += x * x; }
        const double norm = sqrt(total);
        const real factor = (real)(desired(norm, a, b, c) / (NORM_EPSILON + norm));
        for (int k = 0; k < length; ++k) q[(long long)k * inner] *= factor;
    }
}
