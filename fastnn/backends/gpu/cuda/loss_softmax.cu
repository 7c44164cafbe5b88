// What the cross-entropies over classes share. A target is a share a class,
// smoothed to t a + b, or (labels not null) a class index, which stands for 1 at its class and is compared with each
// class, never used as an address.
__device__ __forceinline__ real share_of(const int* __restrict__ labels, const real* __restrict__ t, long long i, int k,
                                         int j, real a, real b) {
    return labels ? (labels[i] == j ? (real)1 : (real)0) : t[i * k + j] * a + b;
}

// Softmax and cross-entropy of one row in one, never the logarithm of a rounded probability: the row at `i` of k
// logits p, by who works on it (rows.cu); its loss, and (d not null) the gradient times f.
template <class Row>
__device__ __forceinline__ real logits_row(const Row& row, const int* __restrict__ labels, const real* __restrict__ t,
                                           const real* __restrict__ p, real* __restrict__ d, long long i, int k, real a,
                                           real b, real f) {
    const long long at = i * k;
    const real top = best_of_row(row, p + at, k).value;
    real own = 0, total = 0, mass = 0;
    OVER_COLUMNS(j, k) {
        const real z = p[at + j] - top, share = share_of(labels, t, i, k, j, a, b);
        total += F(exp)(z);
        own += labels ? (labels[i] == j ? z : (real)0) : share * z;
        mass += share;
    }
    total = OVER_ROW(total);
    own = OVER_ROW(own);
    mass = labels ? (real)1 : OVER_ROW(mass);
    if (d) {
        const real ratio = mass / total;
        OVER_COLUMNS(j, k)
            d[at + j] = (F(exp)(p[at + j] - top) * ratio - share_of(labels, t, i, k, j, a, b)) * f;
    }
    return mass * F(log)(total) - own;
}
