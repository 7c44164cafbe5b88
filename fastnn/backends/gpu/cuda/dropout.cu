// Random ops: the numbers of fastnn.random, a counter a thread. ALPHA: alpha dropout.
#ifndef ALPHA
#define ALPHA 0
#endif

// A counter's eight half-words serve eight elements, 64 apart, in a chunk of 512.
extern "C" __global__ void __launch_bounds__(256, 1)
dropout(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, real* __restrict__ mask,
        int units, unsigned stream, unsigned long long seed, unsigned long long step, int threshold,
        real on, real on_shift, real off_shift) {
    const long long first = r[R_ROW0] * units, n = r[R_ROWS] * units;
    const long long low = first / 512, counters = ((first + n + 511) / 512 - low) * 64;
    const unsigned long long k = (unsigned long long)r[R_SEED] + seed, t = (unsigned long long)r[R_STEP] + step;
    EACH(q, counters) {
        const long long chunk = low + q / 64;
        const int lane = (int)(q % 64);
        const Words w = philox((unsigned)(chunk * 64 + lane), (unsigned)t, (unsigned)(t >> 32), stream, (unsigned)k, (unsigned)(k >> 32));
        const unsigned word[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
        for (int half = 0; half < 8; ++half) {
            const long long e = chunk * 512 + half * 64 + lane - first;
            if (e >= 0 && e < n) {
                const int number = (int)((word[half >> 1] >> (half & 1 ? 16 : 0)) & 0xFFFFu);
                const bool keep = number >= threshold;
                const real m = keep ? on : (real)0;
                mask[e] = m;
#if ALPHA
                y[e] = x[e] * m + (keep ? on_shift : off_shift);
#else
                y[e] = x[e] * m;
#endif
            }
        }
    }
}

// y = x + stddev * normal (Box and Muller), in float64 for the tails. A counter, a lane, gives four neighbouring numbers; a
// warp passes them through shared memory, so that its lanes read and write neighbouring elements. A number's row is NOISE
// apart, so that no two lanes meet on a bank.
#define NOISE (REAL_IS_FLOAT ? 40 : 36)
extern "C" __global__ void __launch_bounds__(256, 1)
gaussian_noise(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int units,
               unsigned stream, unsigned long long seed, unsigned long long step, double stddev) {
    __shared__ real noise[8][4][NOISE];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const long long first = r[R_ROW0] * units, n = r[R_ROWS] * units;
    const long long low = first / 4, counters = (first + n + 3) / 4 - low;
    const unsigned long long k = (unsigned long long)r[R_SEED] + seed, t = (unsigned long long)r[R_STEP] + step;
    for (long long q = ((long long)blockIdx.x * 8 + warp) * 32; q < counters; q += (long long)gridDim.x * 256) {
        const Words w = philox((unsigned)(low + q + lane), (unsigned)t, (unsigned)(t >> 32), stream, (unsigned)k, (unsigned)(k >> 32));
        const double scale = 1.0 / 4294967296.0, circle = 6.283185307179586;
        const double near = sqrt(-2.0 * log((w.x + 0.5) * scale)), far = sqrt(-2.0 * log((w.z + 0.5) * scale));
        const double p = circle * ((w.y + 0.5) * scale), s = circle * ((w.w + 0.5) * scale);
        const double normal[4] = {near * cos(p), near * sin(p), far * cos(s), far * sin(s)};
        __syncwarp();                          // the readers of the previous turn are done
#pragma unroll
        for (int j = 0; j < 4; ++j) noise[warp][j][lane] = (real)(stddev * normal[j]);
        __syncwarp();
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const long long e = (low + q) * 4 + j * 32 + lane - first;
            if (e >= 0 && e < n) y[e] = x[e] + noise[warp][lane % 4][j * 8 + lane / 4];
        }
    }
}
