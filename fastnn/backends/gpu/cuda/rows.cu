// Who works on a row: a thread, or (WARP, for rows of many columns) the lanes of a warp, side by side in the columns,
// so that what they read and write lies in whole sectors. `r` are the registers.
#ifndef WARP
#define WARP 0
#endif
#if WARP
#define EACH_ROW(i) for (long long i = (long long)blockIdx.x * 8 + (threadIdx.x >> 5); i < r[R_ROWS]; i += (long long)gridDim.x * 8)
#define OVER_COLUMNS(j, k) for (int j = threadIdx.x & 31; j < (k); j += 32)
#define FIRST_LANE ((threadIdx.x & 31) == 0)
#define OVER_ROW(v) warp_sum(v)
#else
#define EACH_ROW(i) EACH(i, r[R_ROWS])
#define OVER_COLUMNS(j, k) for (int j = 0; j < (k); ++j)
#define FIRST_LANE true
#define OVER_ROW(v) (v)
#endif

// A number and its column; of all lanes' the largest, the first of equals. All begin with column 0's, so a NaN stays.
struct Best { real value; int at; };
__device__ __forceinline__ Best best_of_lanes(Best best) {
#if WARP
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) {
        const real value = __shfl_xor_sync(FULL, best.value, o);
        const int at = __shfl_xor_sync(FULL, best.at, o);
        if (value > best.value || (value == best.value && at < best.at)) { best.value = value; best.at = at; }
    }
#endif
    return best;
}
__device__ __forceinline__ Best best_of_row(const real* __restrict__ p, int k) {
    Best best = {p[0], 0};
    OVER_COLUMNS(j, k) { const real v = p[j]; if (v > best.value) { best.value = v; best.at = j; } }
    return best_of_lanes(best);
}
