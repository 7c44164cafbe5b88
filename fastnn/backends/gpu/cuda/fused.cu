// uses: scalars
// uses: loss_terms
// uses: rows
// uses: loss_softmax
// uses: tiles
// uses: chain
// uses: net
// uses: row_loss
// A training step of a stack of dense layers, or of a network, in two launches, the update not counted.

// Each block takes every gridDim.x-th tile; its gradients and sums go to its own part.
extern "C" __global__ void __launch_bounds__(256, 1)
fused(const long long* __restrict__ r, const X_TYPE* __restrict__ x, const T_TYPE* __restrict__ t,
      const W_TYPE* __restrict__ w, long long x_row, long long x_column, long long t_row, long long t_column,
      long long w_row, const X1_TYPE* __restrict__ x1, const X2_TYPE* __restrict__ x2, const X3_TYPE* __restrict__ x3,
      long long x1_row, long long x1_column, long long x2_row, long long x2_column, long long x3_row, long long x3_column,
      const real* __restrict__ p, const double* __restrict__ reals, const long long* __restrict__ ints,
      real* __restrict__ parts, double* __restrict__ part_sums, int size) {
    __shared__ Tile tile;
    const Data data = {x, t, w, x_row, x_column, t_row, t_column, w_row,
                       x1, x2, x3, x1_row, x1_column, x2_row, x2_column, x3_row, x3_column};
    const Settings set = {reals, ints};
    real* __restrict__ g = parts + (long long)blockIdx.x * size;
    const long long tiles = (r[R_ROWS] + TILE - 1) / TILE;
    bool first = true;
    for (long long k = blockIdx.x; first || k < tiles; k += gridDim.x) {
        whole_tile(tile, data, r, p, g, set, k, first);
        first = false;
    }
    if (threadIdx.x < SUMS) part_sums[blockIdx.x * SUMS + threadIdx.x] = tile.total[threadIdx.x];
}

// gradient = the sum of the parts, and the sums over rows, both in order. A loss that is not finite stops the run, and so
// (check) does a gradient; the loss has the first word.
extern "C" __global__ void __launch_bounds__(256, 1)
sum_blocks(long long* __restrict__ r, const real* __restrict__ parts, real* __restrict__ gradient,
           const double* __restrict__ part_sums, double* __restrict__ sums, const int* __restrict__ accumulators, int size,
           int blocks, int check) {
    EACH(e, size) {
        real total = parts[e];
        for (int b = 1; b < blocks; ++b) total += parts[(long long)b * size + e];
        gradient[e] = total;
        if (check && !(F(fabs)(total) < (real)INFINITY)) atomicCAS((unsigned long long*)(r + R_STATUS), 0ull, 2ull);
    }
    if (blockIdx.x == 0 && threadIdx.x < SUMS) {
        double total = part_sums[threadIdx.x];
        for (int b = 1; b < blocks; ++b) total += part_sums[b * SUMS + threadIdx.x];
        sums[accumulators[threadIdx.x]] += total;
        if (threadIdx.x == 0 && !(fabs(total) < (double)INFINITY)) atomicExch((unsigned long long*)(r + R_STATUS), 1ull);
    }
}
