// What is done to gradients before an update: checks, penalties, accumulation, clipping. In place.

// A NaN or infinity stops the run before anything is updated.
extern "C" __global__ void __launch_bounds__(256, 1)
check_finite(long long* __restrict__ r, const real* __restrict__ g, int n) {
    EACH(i, n) if (!(F(fabs)(g[i]) < (real)INFINITY)) atomicCAS((unsigned long long*)(r + R_STATUS), 0ull, 2ull);
}

// g += l1 sign(p) + 2 l2 p
extern "C" __global__ void __launch_bounds__(256, 1)
l1_l2(const long long* __restrict__ r, const real* __restrict__ p, real* __restrict__ g, int n, real l1, real l2) {
    EACH(i, n) {
        const real x = p[i], sign = x > (real)0 ? l1 : x < (real)0 ? -l1 : (real)0;
        g[i] += sign + (real)2 * l2 * x;
    }
}

// sum += (l1 sum|p| + l2 sum p^2) rows of the batch, by one block in a fixed order.
extern "C" __global__ void __launch_bounds__(256, 1)
l1_l2_penalty(const long long* __restrict__ r, const real* __restrict__ p, double* __restrict__ sum, int n, double l1,
              double l2) {
    double total = 0;
    for (int i = threadIdx.x; i < n; i += 256) { const double x = (double)p[i]; total += l1 * fabs(x) + l2 * x * x; }
    total = block_sum(total);
    if (threadIdx.x == 0) *sum += total * (double)r[R_BATCH];
}

// Keep the sum; every `steps` batches give its mean. In between, the last range has the rest of the update skipped.
extern "C" __global__ void __launch_bounds__(256, 1)
accumulate_gradients(long long* __restrict__ r, real* __restrict__ g, real* __restrict__ total, int n, int steps,
                     int last) {
    if (r[R_STATUS] != 0) return;
    const bool due = (r[R_STEP] + 1) % steps == 0;
    EACH(i, n) {
        const real sum = total[i] + g[i];
        if (due) g[i] = sum / (real)steps;
        total[i] = due ? (real)0 : sum;
    }
    if (last && !due && blockIdx.x == 0 && threadIdx.x == 0) r[R_SKIP] = 1;
}

extern "C" __global__ void __launch_bounds__(256, 1)
clip_value(const long long* __restrict__ r, real* __restrict__ g, int n, real limit) {
    EACH(i, n) {
        const real x = g[i], y = x > limit ? limit : x;
        g[i] = y < -limit ? -limit : y;
    }
}

// factor = limit / max(norm, limit); a norm may span several ranges: the first starts the sum, the last ends it.
extern "C" __global__ void __launch_bounds__(256, 1)
clip_factor(const long long* __restrict__ r, const real* __restrict__ g, double* __restrict__ factor, int n,
            double limit, int first, int last) {
    if (r[R_SKIP] != 0) return;
    double total = 0;
    for (int i = threadIdx.x; i < n; i += 256) { const double x = (double)g[i]; total += x * x; }
    total = block_sum(total);
    if (threadIdx.x == 0) {
        if (!first) total += *factor;
        const double norm = sqrt(total);
        *factor = last ? (norm <= limit ? 1.0 : limit / norm) : total;
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
scale_gradient(const long long* __restrict__ r, const double* __restrict__ factor, real* __restrict__ g, int n) {
    const real f = (real)*factor;
    EACH(i, n) g[i] *= f;
}
