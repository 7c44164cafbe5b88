// What the cross-entropies over classes share. A target is a share a class,
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
