// uses: loss_terms
// uses: rows
// uses: loss_softmax
// Cross-entropies over classes. See loss_softmax.cu for targets and labels.
extern "C" __global__ void __launch_bounds__(256, 1)
logits(const long long* __restrict__ r, const int* __restrict__ labels, const real* __restrict__ t,
       const real* __restrict__ p, const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k,
       double scale, int mean, real a, real b, real alpha, real gamma) {
    Lanes row(r, k);
    EACH_ROW(i) {
        const real loss = logits_row(row, labels, t, p, d, i, k, a, b, row_factor(r, w, scale, mean, i));
        if (FIRST_LANE) rows[i] = loss;
    }
}

// FOCAL: alpha (1 - share)^gamma times the entropy of the share.
#ifndef FOCAL
#define FOCAL 0
#endif
__device__ __forceinline__ Term entropy(real t, real share, real alpha, real gamma) {
    const real raised = at_least(share, EPS), ln = at_most(F(log)(raised), LOG_HIGH);
    Term out;
#if FOCAL
    const Term factor = power(at_least((real)1 - raised, EPS), gamma);
    out.value = -alpha * factor.value * t * ln;
    out.slope = alpha * t * (factor.slope * ln - factor.value / raised);
#else
    out.value = -t * ln;
    out.slope = -t / at_most(raised, (real)1);
#endif
    if (share < EPS || share > (real)1 - EPS) out.slope = 0;
    return out;
}

// From predictions that are shares once divided by their sum.
extern "C" __global__ void __launch_bounds__(256, 1)
shares(const long long* __restrict__ r, const int* __restrict__ labels, const real* __restrict__ t,
       const real* __restrict__ p, const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k,
       double scale, int mean, real a, real b, real alpha, real gamma) {
    Lanes row(r, k);
    EACH_ROW(i) {
        const long long at = i * k;
        real total = 0, radial = 0, own = 0;
        OVER_COLUMNS(j, k) total += p[at + j];
        total = OVER_ROW(total);
        OVER_COLUMNS(j, k) {
            const real share = p[at + j] / total;
            const Term one = entropy(share_of(labels, t, i, k, j, a, b), share, alpha, gamma);
            own += one.value;
            radial += one.slope * share;
        }
        own = OVER_ROW(own);
        radial = OVER_ROW(radial);
        if (FIRST_LANE) rows[i] = own;
        if (d) {
            const real f = row_factor(r, w, scale, mean, i) / total;
            OVER_COLUMNS(j, k) {
                const Term one = entropy(share_of(labels, t, i, k, j, a, b), p[at + j] / total, alpha, gamma);
                d[at + j] = (one.slope - radial) * f;
            }
        }
    }
}

// Focal, from logits.
extern "C" __global__ void __launch_bounds__(256, 1)
focal_logits(const long long* __restrict__ r, const int* __restrict__ labels, const real* __restrict__ t,
             const real* __restrict__ p, const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k,
             double scale, int mean, real a, real b, real alpha, real gamma) {
    Lanes row(r, k);
    EACH_ROW(i) {
        const long long at = i * k;
        const real top = best_of_row(row, p + at, k).value;
        real total = 0, own = 0, sum = 0;
        OVER_COLUMNS(j, k) total += F(exp)(p[at + j] - top);
        const real shift = top + F(log)(OVER_ROW(total));
        for (int pass = 0; pass < (d ? 2 : 1); ++pass) {
            const real f = row_factor(r, w, scale, mean, i);
            OVER_COLUMNS(j, k) {
                const real ln = p[at + j] - shift, miss = -F(expm1)(ln), share = (real)1 - miss;
                const real ti = alpha * share_of(labels, t, i, k, j, a, b);
                const Term level = power(miss, gamma);
                const real h = ti * (level.slope * share * ln - level.value);
                if (pass) d[at + j] = (h - F(exp)(ln) * sum) * f;
                else { own -= level.value * ti * ln; sum += h; }
            }
            if (!pass) { own = OVER_ROW(own); sum = OVER_ROW(sum); }
        }
        if (FIRST_LANE) rows[i] = own;
    }
}
