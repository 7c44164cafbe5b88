// The clock of a run: which rows the step under way takes, and what happens when it ends. One thread calls these.
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
// Take the batch's sums (modes: 1 where a sum is to be multiplied by the batch's rows), log a finished epoch, begin the
// next batch.
__device__ __forceinline__ void end_step(long long* __restrict__ r, double* __restrict__ sums, double* __restrict__ epoch_sums,
                                         double* __restrict__ log, const int* __restrict__ modes, int count) {
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
