// Moving rows, sums over an epoch, and the clock of a run. SOURCE is the dtype of the caller's array.
#ifndef SOURCE
#define SOURCE REAL
#endif
#ifndef TO
#define TO REAL
#endif

// rows[i]: which row of the data is row i of this chunk.
extern "C" __global__ void __launch_bounds__(256, 1)
order(const long long* __restrict__ r, long long* __restrict__ rows) {
    const long long n = r[R_ROWS], first = r[R_POSITION] + r[R_ROW0];
    EACH(i, n)
        rows[i] = row_at(first + i, r);
}

// y[i, :] = x[rows[i], :], converted; strides in items. Neighbouring threads take neighbouring columns.
extern "C" __global__ void __launch_bounds__(256, 1)
gather(const long long* __restrict__ r, const long long* __restrict__ rows, const SOURCE* __restrict__ x,
       TO* __restrict__ y, long long row_stride, long long column_stride, int units) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) {
        const long long i = e / units;
        const int j = (int)(e - i * units);
        y[e] = (TO)x[rows[i] * row_stride + j * column_stride];
    }
}

// The caller's rows in order: y[position + i, :] = x[i, :].
extern "C" __global__ void __launch_bounds__(256, 1)
store(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int units) {
    const long long n = r[R_ROWS] * units, at = (r[R_POSITION] + r[R_ROW0]) * units;
    EACH(e, n)
        y[at + e] = x[e];
}

// The rows they came from: y[rows[i], :] = x[i, :].
extern "C" __global__ void __launch_bounds__(256, 1)
store_at(const long long* __restrict__ r, const real* __restrict__ x, const long long* __restrict__ rows,
         real* __restrict__ y, int units) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) {
        const long long i = e / units;
        y[rows[i] * units + (e - i * units)] = x[e];
    }
}

// sum += values (times weights), by one block in a fixed order. A loss (is_loss) that is not finite stops the run.
extern "C" __global__ void __launch_bounds__(256, 1)
accumulate(long long* __restrict__ r, const real* __restrict__ values, const real* __restrict__ weights,
           double* __restrict__ sum, int is_loss) {
    const long long n = r[R_ROWS];
    double v = 0;
    for (long long i = threadIdx.x; i < n; i += 256)
        v += weights ? (double)values[i] * (double)weights[i] : (double)values[i];
    v = block_sum(v);
    if (threadIdx.x == 0) {
        *sum += v;
        if (is_loss && !(fabs(v) < (double)INFINITY) && r[R_STATUS] == 0) r[R_STATUS] = 1;
    }
}

__device__ __forceinline__ void begin_batch(long long* __restrict__ r) {
    const long long left = r[R_EPOCH_ROWS] - r[R_POSITION];
    r[R_BATCH] = left < r[R_BATCH_SIZE] ? left : r[R_BATCH_SIZE];
    r[R_ROWS] = r[R_BATCH] < r[R_CHUNK] ? r[R_BATCH] : r[R_CHUNK];
    r[R_ROW0] = 0; r[R_FIRST] = 1; r[R_SKIP] = 0;
}
__device__ __forceinline__ void begin_epoch(long long* __restrict__ r) {
    const unsigned long long seed = (unsigned long long)r[R_SEED], epoch = (unsigned long long)r[R_EPOCH];
    const Words w = philox(0u, (unsigned)epoch, (unsigned)(epoch >> 32), SHUFFLE_STREAM, (unsigned)seed, (unsigned)(seed >> 32));
    r[R_KEY0] = w.x; r[R_KEY1] = w.y; r[R_KEY2] = w.z; r[R_KEY3] = w.w;
}

// One thread, before the first step of a call.
extern "C" __global__ void __launch_bounds__(32)
start(long long* __restrict__ r) {
    if (threadIdx.x == 0) { begin_epoch(r); begin_batch(r); r[R_LOGGED] = 0; r[R_STATUS] = 0; }
}

// The next chunk of the same batch.
extern "C" __global__ void __launch_bounds__(32)
next_chunk(long long* __restrict__ r) {
    if (threadIdx.x == 0) {
        r[R_ROW0] += r[R_ROWS];
        const long long left = r[R_BATCH] - r[R_ROW0];
        r[R_ROWS] = left < r[R_CHUNK] ? left : r[R_CHUNK];
        r[R_FIRST] = 0;
    }
}

// The end of a step: take the batch's sums (modes: 1 where a sum is to be multiplied by the batch's rows), log a
// finished epoch, begin the next batch. A stopped run stays where it stopped.
extern "C" __global__ void __launch_bounds__(32)
tick(long long* __restrict__ r, double* __restrict__ sums, double* __restrict__ epoch_sums, double* __restrict__ log,
     const int* __restrict__ modes, int count) {
    if (threadIdx.x == 0 && r[R_STATUS] == 0) {
        const bool last = r[R_POSITION] + r[R_BATCH] >= r[R_EPOCH_ROWS];
        for (int k = 0; k < count; ++k) {
            const double total = epoch_sums[k] + (modes[k] ? sums[k] * (double)r[R_BATCH] : sums[k]);
            sums[k] = 0;
            if (last) log[r[R_LOGGED] * count + k] = total;
            epoch_sums[k] = last ? 0 : total;
        }
        r[R_STEP] += 1;
        r[R_POSITION] += r[R_BATCH];
        if (last) { r[R_LOGGED] += 1; r[R_EPOCH] += 1; r[R_POSITION] = 0; begin_epoch(r); }
        begin_batch(r);
    }
}
