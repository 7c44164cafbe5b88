// Learning-rate schedules, one thread, before the update: n are the numbers after a switch (0: Python sets the rate).
#define SCHEDULE_exponential_decay 0
#define SCHEDULE_inverse_time_decay 1
#define SCHEDULE_piecewise_constant_decay 2
#define SCHEDULE_polynomial_decay 3
#define SCHEDULE_cosine_decay 4
#define SCHEDULE_cosine_decay_restarts 5
#define SCHEDULE_one_cycle 6
#ifndef SCHEDULE
#define SCHEDULE SCHEDULE_exponential_decay
#endif
#define CIRCLE_HALF 3.141592653589793

__device__ __forceinline__ double rate_at(double t, const double* __restrict__ n, int count) {
#if SCHEDULE == SCHEDULE_exponential_decay || SCHEDULE == SCHEDULE_inverse_time_decay
    const double p = n[3] != 0.0 ? floor(t / n[1]) : t / n[1];
    return SCHEDULE == SCHEDULE_exponential_decay ? n[0] * pow(n[2], p) : n[0] / (1.0 + n[2] * p);
#elif SCHEDULE == SCHEDULE_piecewise_constant_decay
    const int boundaries = (count - 1) / 2;
    int k = 0;
    while (k < boundaries && t > n[k]) ++k;
    return n[boundaries + k];
#elif SCHEDULE == SCHEDULE_polynomial_decay
    const double steps = n[4] != 0.0 ? n[1] * fmax(1.0, ceil(t / n[1])) : n[1];
    return (n[0] - n[2]) * pow(1.0 - fmin(t, steps) / steps, n[3]) + n[2];
#elif SCHEDULE == SCHEDULE_cosine_decay
    if (t < n[2]) return (n[1] - n[0]) * (t / n[2]) + n[0];
    const double cosine = 0.5 * (1.0 + cos(CIRCLE_HALF * (fmin(t - n[2], n[3]) / n[3])));
    return n[1] * ((1.0 - n[4]) * cosine + n[4]);
#elif SCHEDULE == SCHEDULE_cosine_decay_restarts
    double fraction = t / n[1], restarts;
    const double grow = n[2];
    if (grow == 1.0) {
        restarts = floor(fraction);
        fraction -= restarts;
    } else {
        restarts = floor(log(1.0 - fraction * (1.0 - grow)) / log(grow));
        // The quotient of logarithms may be rounded across the whole number that a restart falls on.
        if ((1.0 - pow(grow, restarts + 1.0)) / (1.0 - grow) <= fraction) restarts += 1.0;
        else if ((1.0 - pow(grow, restarts)) / (1.0 - grow) > fraction) restarts -= 1.0;
        const double length = pow(grow, restarts);
        fraction = (fraction - (1.0 - length) / (1.0 - grow)) / length;
    }
    const double cosine = 0.5 * pow(n[3], restarts) * (1.0 + cos(CIRCLE_HALF * fraction));
    return n[0] * ((1.0 - n[4]) * cosine + n[4]);
#else
    const int last = count - 2;
    t = fmin(t, n[last]);
    double start = 0.0, rate = n[1];
    int k = 2;
    while (k < last && t > n[k]) { start = n[k]; rate = n[k + 1]; k += 2; }
    const double end = n[k], target = n[k + 1], fraction = end > start ? (t - start) / (end - start) : 1.0;
    if (n[0] != 0.0) return target + (rate - target) / 2.0 * (cos(CIRCLE_HALF * fraction) + 1.0);
    return (target - rate) * fraction + rate;
#endif
}

extern "C" __global__ void __launch_bounds__(32)
schedule(const long long* __restrict__ r, const double* __restrict__ numbers, double* __restrict__ rate, int count) {
    if (threadIdx.x == 0 && numbers[0] != 0.0 && r[R_STATUS] == 0) *rate = rate_at((double)r[R_STEP], numbers + 1, count);
}
