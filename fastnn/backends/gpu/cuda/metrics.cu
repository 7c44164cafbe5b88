// uses: rows
// Metrics that are sums over rows, by one block in a fixed order, added to a float64 accumulator.
// A row of weight 0 is left out, whatever it holds. TERM: 0 binary accuracy, 1 squared error, 2 absolute error.
#ifndef TERM
#define TERM 0
#endif

__device__ __forceinline__ double term(real t, real p) {
#if TERM == 0
    const double hit = ((double)p > 0.5 ? 1.0 : 0.0) == (double)t ? 1.0 : 0.0;
    return p == p ? hit : (double)p;
#elif TERM == 1
    const double d = (double)p - (double)t;
    return d * d;
#else
    return fabs((double)p - (double)t);
#endif
}

extern "C" __global__ void __launch_bounds__(256, 1)
metric_mean(const long long* __restrict__ r, const real* __restrict__ target, const real* __restrict__ prediction,
            const real* __restrict__ weight, double* __restrict__ sum, int units) {
    const long long n = r[R_ROWS] * units;
    double total = 0;
    for (long long e = threadIdx.x; e < n; e += 256) {
        double value = term(target[e], prediction[e]);
        if (weight) { const double w = (double)weight[e / units]; value = w != 0 ? value * w : 0.0; }
        total += value;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) *sum += total / (double)units;
}

// The rows whose largest prediction, the first of equals, is at the target's class. Null labels: one-hot targets.
extern "C" __global__ void __launch_bounds__(256, 1)
metric_hits(const long long* __restrict__ r, const int* __restrict__ labels, const real* __restrict__ target,
            const real* __restrict__ prediction, const real* __restrict__ weight, double* __restrict__ sum, int units) {
    double total = 0;
    Lanes row(r, units);
    EACH_ROW(i) {
        const real* __restrict__ p = prediction + i * units;
        double bad = 0;                                                       // NaN if one of the row is
        OVER_COLUMNS(j, units) bad += p[j] == p[j] ? 0.0 : (double)p[j];
        bad = OVER_ROW(bad);
        const int guess = best_of_row(row, p, units).at;
        const int answer = labels ? labels[i] : best_of_row(row, target + i * units, units).at;
        double value = bad == bad ? (guess == answer ? 1.0 : 0.0) : bad;
        if (weight) { const double w = (double)weight[i]; value = w != 0 ? value * w : 0.0; }
        if (FIRST_LANE) total += value;
    }
    total = block_sum(total);
    if (threadIdx.x == 0) *sum += total;
}
