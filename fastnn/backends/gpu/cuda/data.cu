// uses: clock
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

// y[i, first + j] = (min(max(table[index[rows[i]], j], low), high) - mean) * inverse: a part of a table, looked up and
// prepared in the table's dtype; numbers (4, units) are low, high, mean, inverse. NaN stays NaN.
extern "C" __global__ void __launch_bounds__(256)
gather_part(const long long* __restrict__ r, const long long* __restrict__ rows, const SOURCE* __restrict__ table,
            const int* __restrict__ index, const SOURCE* __restrict__ numbers, TO* __restrict__ y,
            long long row_stride, long long column_stride, long long start, int width, int first, int units) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) {
        const long long i = e / units;
        const int j = (int)(e - i * units);
        SOURCE x = table[start + index[rows[i]] * row_stride + j * column_stride];
        const SOURCE low = numbers[j], high = numbers[units + j];
        x = x < low ? low : x;
        x = x > high ? high : x;
        x = x - numbers[2 * units + j];
        y[i * width + first + j] = (TO)(x * numbers[3 * units + j]);
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

// One thread, before the first step of a call.
extern "C" __global__ void __launch_bounds__(32)
start(long long* __restrict__ r) {
    if (threadIdx.x == 0) { begin_epoch(r); begin_batch(r); r[R_LOGGED] = 0; r[R_STATUS] = 0; }
}

// What the host says between two portions of data that do not fit on the device.
extern "C" __global__ void __launch_bounds__(32)
set_register(long long* __restrict__ r, int index, long long value) {
    if (threadIdx.x == 0) r[index] = value;
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

// The end of a step. A stopped run stays where it stopped.
extern "C" __global__ void __launch_bounds__(32)
tick(long long* __restrict__ r, double* __restrict__ sums, double* __restrict__ epoch_sums, double* __restrict__ log,
     const int* __restrict__ modes, int count) {
    if (threadIdx.x == 0 && r[R_STATUS] == 0) end_step(r, sums, epoch_sums, log, modes, count);
}
