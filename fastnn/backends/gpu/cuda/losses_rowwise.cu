// uses: loss_terms
// uses: rows
// Losses whose columns act on each other: categorical hinge, cosine similarity, Gaussian negative
// log-likelihood. See losses.cu for `d`, `w`, `scale` and `mean`.
#define LOG_MIN_VARIANCE ((real)-13.815510557964274)
#define MIN_VARIANCE ((real)1e-6)

extern "C" __global__ void __launch_bounds__(256, 1)
categorical_hinge(const long long* __restrict__ r, const real* __restrict__ t, const real* __restrict__ p,
                  const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k, int kt, double scale,
                  int mean) {
    Lanes row(r, k);
    EACH_ROW(i) {
        const long long at = i * k;
        Best rival = {((real)1 - t[at]) * p[at], 0};
        real own = 0;
        OVER_COLUMNS(j, k) {
            const real v = ((real)1 - t[at + j]) * p[at + j];
            own += t[at + j] * p[at + j];
            if (v > rival.value) { rival.value = v; rival.at = j; }
        }
        rival = best_of_lanes(row, rival);
        const real raw = rival.value - OVER_ROW(own) + (real)1, loss = raw < (real)0 ? (real)0 : raw;
        if (FIRST_LANE) rows[i] = loss;
        if (d) {
            const real f = loss > (real)0 ? row_factor(r, w, scale, mean, i) : (real)0;
            OVER_COLUMNS(j, k) {
                const real ti = t[at + j];
                d[at + j] = ((j == rival.at ? (real)1 - ti : (real)0) - ti) * f;
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
cosine_similarity(const long long* __restrict__ r, const real* __restrict__ t, const real* __restrict__ p,
                  const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k, int kt, double scale,
                  int mean) {
    Lanes row(r, k);
    EACH_ROW(i) {
        const long long at = i * k;
        real a = 0, b = 0, dot = 0;
        OVER_COLUMNS(j, k) {
            a += t[at + j] * t[at + j];
            b += p[at + j] * p[at + j];
            dot += t[at + j] * p[at + j];
        }
        a = OVER_ROW(a);
        b = OVER_ROW(b);
        dot = OVER_ROW(dot);
        const real norm = F(sqrt)(b), other = F(sqrt)(a);
        const real inverse = (real)1 / (norm < EPS ? EPS : norm);
        a = inverse / (other < EPS ? EPS : other);
        const real radial = norm <= EPS ? (real)0 : dot * a * inverse * inverse;
        if (FIRST_LANE) rows[i] = -dot * a;
        if (d) {
            const real f = row_factor(r, w, scale, mean, i);
            OVER_COLUMNS(j, k) d[at + j] = (p[at + j] * radial - t[at + j] * a) * f;
        }
    }
}

// Predictions are kt means, then kt log-variances. A lane has one of these k columns and reads its counterpart, so all
// lanes together read whole rows; of rows that they cannot hold at once it has a mean and the log-variance with it.
extern "C" __global__ void __launch_bounds__(256, 1)
gaussian_nll(const long long* __restrict__ r, const real* __restrict__ t, const real* __restrict__ p,
             const real* __restrict__ w, real* __restrict__ d, real* __restrict__ rows, int k, int kt, double scale,
             int mean) {
    const real each = (real)(1.0 / (double)kt);
    const bool apart = k <= 32;
    Lanes row(r, k);
    EACH_ROW(i) {
        const real f = row_factor(r, w, scale, mean, i) * each;
        real total = 0;
        OVER_COLUMNS(j, apart ? k : kt) {
            const real own = p[i * k + j], other = p[i * k + (j + kt) % k], ti = t[i * kt + j % kt];
            const bool first = j < kt;
            const real s = first ? other : own, error = (first ? own : other) - ti;
            const bool low = s < LOG_MIN_VARIANCE;
            const real e = F(exp)(low ? s - LOG_MIN_VARIANCE : -s);
            const real inverse = low ? (real)1 / MIN_VARIANCE : e, ratio = low ? e : (real)1;
            const real d_mean = error * inverse, square = error * d_mean;
            const real value = (real)0.5 * ((low ? LOG_MIN_VARIANCE : s) + square);
            const real d_log = (real)0.5 * ((real)1 - square) * ratio;
            total += first ? value : (real)0;
            if (d) {
                d[i * k + j] = (first ? d_mean : d_log) * f;
                if (!apart) d[i * k + kt + j] = d_log * f;
            }
        }
        total = OVER_ROW(total);
        if (FIRST_LANE) rows[i] = total * each;
    }
}
