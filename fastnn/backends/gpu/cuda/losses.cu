// uses: loss_terms
// uses: rows
// Losses that are sums or means over columns. `d` may be null: the value alone is wanted. `w` may be
// null: all rows weigh 1. The gradient is scaled by `scale`, over the rows of the batch if `mean`.
extern "C" __global__ void __launch_bounds__(256, 1)
columns(const long long* __restrict__ r, const real* __restrict__ t, const real* __restrict__ p,
        const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k, double scale, int mean,
        real each, real a, real b, real c) {
    const real factor = gradient_factor(r, scale, mean) * each;
    Lanes row(r, k);
    EACH_ROW(i) {
        const real f = w ? factor * w[i] : factor;
        real total = 0;
        OVER_COLUMNS(j, k) {
            const Term one = term(t ? t[i * k + j] : (real)0, p[i * k + j], a, b, c);
            total += one.value;
            if (d) d[i * k + j] = one.slope * f;
        }
        total = OVER_ROW(total);
        if (FIRST_LANE) rows[i] = total * each;
    }
}

// Several quantiles: the predictions of the kt targets at the first level, then at the next. `levels` has k / kt.
extern "C" __global__ void __launch_bounds__(256, 1)
quantile(const long long* __restrict__ r, const real* __restrict__ t, const real* __restrict__ p,
         const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, const double* __restrict__ levels,
         int k, int kt, double scale, int mean) {
    const real each = (real)(1.0 / (double)k), factor = gradient_factor(r, scale, mean) * each;
    Lanes row(r, k);
    EACH_ROW(i) {
        const real f = w ? factor * w[i] : factor;
        real total = 0;
        OVER_COLUMNS(j, k) {
            const real level = (real)levels[j / kt], e = t[i * kt + j % kt] - p[i * k + j];
            const real above = level * e, below = (level - (real)1) * e;
            total += below > above ? below : above;
            if (d) d[i * k + j] = (e > (real)0 ? -level : e < (real)0 ? (real)1 - level : (real)0) * f;
        }
        total = OVER_ROW(total);
        if (FIRST_LANE) rows[i] = total * each;
    }
}
