// uses: scalars
// uses: loss_terms
// uses: rows
// uses: loss_softmax
// uses: clock
// uses: schedules
// uses: updates
// uses: tiles
// uses: chain
// uses: net
// uses: row_loss
// Many training steps of a small stack of dense layers or a network in one launch. A block trains a model of its own, blockIdx.x of
// those that lie one after the other: parameters, gradients and the clock are in shared memory, the optimizer's state in
// registers. PARAMETERS: length of the flat vectors.
#ifndef PARAMETERS
#define PARAMETERS 64
#endif
#define EACH_OWN ((PARAMETERS + THREADS - 1) / THREADS)
#define HYPER 8
#define OWN(q, k) const int q = threadIdx.x + k * THREADS; if (q < PARAMETERS)

extern "C" __global__ void __launch_bounds__(256, 1)
resident(long long* __restrict__ clocks, const X_TYPE* __restrict__ x, const T_TYPE* __restrict__ t,
         const W_TYPE* __restrict__ w, long long x_row, long long x_column, long long t_row, long long t_column,
         long long w_row, const X1_TYPE* __restrict__ x1, const X2_TYPE* __restrict__ x2, const X3_TYPE* __restrict__ x3,
         long long x1_row, long long x1_column, long long x2_row, long long x2_column, long long x3_row, long long x3_column,
         real* __restrict__ parameters, real* __restrict__ slot_a, real* __restrict__ slot_b,
         real* __restrict__ slot_c, real* __restrict__ gradients, double* __restrict__ hypers,
         const double* __restrict__ schedule, double* __restrict__ epoch_sums, double* __restrict__ log,
         const int* __restrict__ modes, const int* __restrict__ accumulators, const double* __restrict__ reals,
         const long long* __restrict__ ints, long long steps, long long log_stride, int hyper_count, int schedule_count,
         int count, int start, int size, int decay) {
    __shared__ Tile tile;
    __shared__ real p[PARAMETERS], g[PARAMETERS];
    __shared__ long long r[32];
    __shared__ double h[HYPER], scalars[7], sums[SUMS];
    __shared__ int bad[WARPS];
    const int tid = threadIdx.x;
    const long long model = blockIdx.x, own = model * PARAMETERS;
    const Data data = {x, t, w, x_row, x_column, t_row, t_column, w_row,
                       x1, x2, x3, x1_row, x1_column, x2_row, x2_column, x3_row, x3_column};
    const Settings set = {reals, ints};
    real a[EACH_OWN], b[EACH_OWN], c[EACH_OWN];
#pragma unroll
    for (int k = 0; k < EACH_OWN; ++k) {
        OWN(q, k) {
            p[q] = parameters[own + q];
            g[q] = 0;
            a[k] = slot_a ? slot_a[own + q] : (real)0;
            b[k] = slot_b ? slot_b[own + q] : (real)0;
            c[k] = slot_c ? slot_c[own + q] : (real)0;
        }
    }
    if (tid < 32) r[tid] = clocks[model * 32 + tid];
    if (tid < hyper_count) h[tid] = hypers[model * hyper_count + tid];
    __syncthreads();
    for (long long done = 0; done < steps && r[R_STATUS] == 0; ++done) {
        const long long tiles = (r[R_ROWS] + TILE - 1) / TILE;
        for (long long k = 0; k < tiles; ++k) whole_tile(tile, data, r, p, g, set, k, k == 0);
        bool wrong = false;
        for (int q = start + tid; q < start + size; q += THREADS) wrong |= !(F(fabs)(g[q]) < (real)INFINITY);
        const int any = __any_sync(FULL, wrong);
        if ((tid & 31) == 0) bad[tid >> 5] = any;
        __syncthreads();
        if (tid == 0) {
            if (schedule && schedule[0] != 0.0) h[0] = rate_at((double)r[R_STEP], schedule + 1, schedule_count);
            for (int k = 0; k < WARPS; ++k) if (bad[k]) r[R_STATUS] = 2;
            if (!(fabs(tile.total[0]) < (double)INFINITY)) r[R_STATUS] = 1;
            const double now = (double)(r[R_STEP] + 1);
#if UPDATE == UPDATE_nadam
            nadam_advance(h, now);
#endif
            prepare(h, now, scalars);
            scalars[6] = h[0] * h[1];
        }
        __syncthreads();
        if (r[R_STATUS] == 0) {
            real s[6];
#pragma unroll
            for (int k = 0; k < 6; ++k) s[k] = (real)scalars[k];
            const real rate = decay ? (real)scalars[6] : (real)0;
#pragma unroll
            for (int k = 0; k < EACH_OWN; ++k) {
                OWN(q, k) {
                    if (q >= start && q < start + size) {
                        real v = p[q];
                        if (decay) v -= v * rate;
                        step(v, g[q], a[k], b[k], c[k], s);
                        p[q] = v;
                    }
                }
            }
        }
        __syncthreads();
        if (tid == 0 && r[R_STATUS] == 0) {
            for (int k = 0; k < SUMS; ++k) sums[accumulators[k]] = tile.total[k];
            end_step(r, sums, epoch_sums + model * count, log + model * log_stride, modes, count);
        }
        __syncthreads();
    }
#pragma unroll
    for (int k = 0; k < EACH_OWN; ++k) {
        OWN(q, k) {
            parameters[own + q] = p[q];
            gradients[own + q] = g[q];
            if (slot_a) slot_a[own + q] = a[k];
            if (slot_b) slot_b[own + q] = b[k];
            if (slot_c) slot_c[own + q] = c[k];
        }
    }
    if (tid < 32) clocks[model * 32 + tid] = r[tid];
    if (tid < hyper_count) hypers[model * hyper_count + tid] = h[tid];
}
