// Reductions over the last axis, a warp a group.
#define GROUPS(i, n) for (long long i = (long long)blockIdx.x * 8 + (threadIdx.x >> 5); i < (n); i += (long long)gridDim.x * 8)

extern "C" __global__ void __launch_bounds__(256, 1)
reduce_sum(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int width, int groups,
           real divisor) {
    const int lane = threadIdx.x & 31;
    GROUPS(i, r[R_ROWS] * groups) {
        real total = 0;
        for (int j = lane; j < width; j += 32) total += x[i * width + j];
        total = warp_sum(total);
        if (lane == 0) y[i] = total / divisor;
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
reduce_extreme(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int width, int groups,
               int greatest) {
    const int lane = threadIdx.x & 31;
    const real sign = greatest ? (real)1 : (real)-1;
    GROUPS(i, r[R_ROWS] * groups) {
        real best = sign * x[i * width];
        bool nan = false;
        for (int j = lane; j < width; j += 32) { const real v = sign * x[i * width + j]; nan |= v != v; best = v > best ? v : best; }
        best = __any_sync(FULL, nan) ? (real)NAN : warp_max(best);
        if (lane == 0) y[i] = sign * best;
    }
}

// dx = dy / divisor along a new axis.
extern "C" __global__ void __launch_bounds__(256, 1)
reduce_sum_grad(const long long* __restrict__ r, const real* __restrict__ dy, real* __restrict__ dx, int width,
                int groups, real divisor) {
    const long long n = r[R_ROWS] * groups * width;
    EACH(e, n) dx[e] = dy[e / width] / divisor;
}

// dy is shared equally between the extremes.
extern "C" __global__ void __launch_bounds__(256, 1)
reduce_extreme_grad(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
                    const real* __restrict__ y, real* __restrict__ dx, int width, int groups) {
    const int lane = threadIdx.x & 31;
    GROUPS(i, r[R_ROWS] * groups) {
        const real best = y[i];
        real count = 0;
        for (int j = lane; j < width; j += 32) count += x[i * width + j] == best ? (real)1 : (real)0;
        const real share = dy[i] / warp_sum(count);
        for (int j = lane; j < width; j += 32) dx[i * width + j] = x[i * width + j] == best ? share : (real)0;
    }
}
