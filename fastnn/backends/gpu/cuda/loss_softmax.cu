// Softmax and cross-entropy of one row in one, never the logarithm of a rounded probability. A target is a share a class,
// smoothed to t a + b, or (labels not null) a class index, which stands for 1 at its class and is compared with each
// class, never used as an address.
__device__ __forceinline__ real share_of(const int* __restrict__ labels, const real* __restrict__ t, long long i, int k,
                                         int j, real a, real b) {
    return labels ? (labels[i] == j ? (real)1 : (real)0) : t[i * k + j] * a + b;
}
__device__ __forceinline__ real largest(const real* __restrict__ p, int k) {
    real top = p[0];
    for (int j = 1; j < k; ++j) top = at_least(top, p[j]);
    return top;
}

// The row at `i` of k logits p; its loss, and (d not null) the gradient times f.
__device__ __forceinline__ real logits_row(const int* __restrict__ labels, const real* __restrict__ t,
                                           const real* __restrict__ p, real* __restrict__ d, long long i, int k, real a,
                                           real b, real f) {
    const long long at = i * k;
    const real top = largest(p + at, k);
    real own = 0, total = 0, mass = 0;
    for (int j = 0; j < k; ++j) {
        const real z = p[at + j] - top, share = share_of(labels, t, i, k, j, a, b);
        total += F(exp)(z);
        own += labels ? (labels[i] == j ? z : (real)0) : share * z;
        mass += share;
    }
    mass = labels ? (real)1 : mass;
    if (d) {
        const real ratio = mass / total;
        for (int j = 0; j < k; ++j)
            d[at + j] = (F(exp)(p[at + j] - top) * ratio - share_of(labels, t, i, k, j, a, b)) * f;
    }
    return mass * F(log)(total) - own;
}
