// Optimizer updates, in place over a range of the flat vectors. UPDATE picks the rule. hyper: learning rate, weight
// decay, the optimizer's numbers, its state. A run that has stopped, or a batch that only accumulates, changes nothing.
#define UPDATE_sgd 0
#define UPDATE_sgd_momentum 1
#define UPDATE_sgd_nesterov 2
#define UPDATE_rmsprop 3
#define UPDATE_rmsprop_momentum 4
#define UPDATE_rmsprop_centered 5
#define UPDATE_rmsprop_centered_momentum 6
#define UPDATE_adagrad 7
#define UPDATE_adadelta 8
#define UPDATE_adam 9
#define UPDATE_adam_amsgrad 10
#define UPDATE_adamax 11
#define UPDATE_nadam 12
#define UPDATE_radam 13
#define UPDATE_lion 14
#ifndef UPDATE
#define UPDATE UPDATE_sgd
#endif

__device__ __forceinline__ double nadam_momentum(double beta_1, double t) { return beta_1 * (1.0 - 0.5 * pow(0.96, t)); }

// The rule's scalars, in float64 and by one thread: powers in float64 are slow on a GPU.
__device__ __forceinline__ void prepare(const double* __restrict__ h, double t, double* c) {
    c[0] = h[0]; c[1] = h[2]; c[2] = c[3] = c[4] = c[5] = 0;
#if UPDATE >= UPDATE_rmsprop && UPDATE <= UPDATE_rmsprop_centered_momentum
    c[2] = 1.0 - h[2]; c[3] = h[3]; c[4] = h[4];
#elif UPDATE == UPDATE_adadelta
    c[2] = 1.0 - h[2]; c[3] = h[3];
#elif UPDATE == UPDATE_adam || UPDATE == UPDATE_adam_amsgrad
    c[0] = h[0] * sqrt(1.0 - pow(h[3], t)) / (1.0 - pow(h[2], t));
    c[1] = 1.0 - h[2]; c[2] = 1.0 - h[3]; c[3] = h[4];
#elif UPDATE == UPDATE_adamax
    c[0] = h[0] / (1.0 - pow(h[2], t)); c[1] = 1.0 - h[2]; c[2] = h[3]; c[3] = h[4];
#elif UPDATE == UPDATE_nadam
    const double now = nadam_momentum(h[2], t), following = nadam_momentum(h[2], t + 1.0), product = h[6];
    c[0] = h[0] * following / (1.0 - product * following);
    c[1] = 1.0 - h[2]; c[2] = 1.0 - h[3]; c[3] = h[4];
    c[4] = h[0] * (1.0 - now) / (1.0 - product);
    c[5] = 1.0 - pow(h[3], t);
#elif UPDATE == UPDATE_radam
    const double power = pow(h[3], t), limit = 2.0 / (1.0 - h[3]) - 1.0, left = limit - 2.0 * t * power / (1.0 - power);
    c[0] = h[0] / (1.0 - pow(h[2], t)); c[1] = 1.0 - h[2]; c[2] = 1.0 - h[3]; c[3] = h[4];
    if (left > 5.0) {                                   // enough updates to estimate the variance
        const double scale = sqrt((left - 4.0) * (left - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * left));
        c[0] *= scale * sqrt(1.0 - power);
        c[4] = 1.0;
    }
#elif UPDATE == UPDATE_lion
    c[2] = 1.0 - h[2]; c[3] = h[3]; c[4] = 1.0 - h[3];
#endif
}

// One element: parameter x, gradient g, state a, b, d; c are the scalars in the array's precision.
__device__ __forceinline__ void step(real& x, real g, real& a, real& b, real& d, const real* c) {
#if UPDATE == UPDATE_sgd
    x = x - c[0] * g;
#elif UPDATE == UPDATE_sgd_momentum
    a = c[1] * a - c[0] * g; x = x + a;
#elif UPDATE == UPDATE_sgd_nesterov
    a = c[1] * a - c[0] * g; x = x + (c[1] * a - c[0] * g);
#elif UPDATE == UPDATE_rmsprop
    a = c[1] * a + c[2] * (g * g); x = x - c[0] * g / F(sqrt)(a + c[4]);
#elif UPDATE == UPDATE_rmsprop_momentum
    a = c[1] * a + c[2] * (g * g); b = c[3] * b + c[0] * g / F(sqrt)(a + c[4]); x = x - b;
#elif UPDATE == UPDATE_rmsprop_centered
    a = c[1] * a + c[2] * (g * g); b = c[1] * b + c[2] * g; x = x - c[0] * g / F(sqrt)(a - b * b + c[4]);
#elif UPDATE == UPDATE_rmsprop_centered_momentum
    a = c[1] * a + c[2] * (g * g); d = c[1] * d + c[2] * g;
    b = c[3] * b + c[0] * g / F(sqrt)(a - d * d + c[4]); x = x - b;
#elif UPDATE == UPDATE_adagrad
    a = a + g * g; x = x - c[0] * g / F(sqrt)(a + c[1]);
#elif UPDATE == UPDATE_adadelta
    a = c[1] * a + c[2] * (g * g);
    const real delta = -g * F(sqrt)(b + c[3]) / F(sqrt)(a + c[3]);
    b = c[1] * b + c[2] * (delta * delta); x = x + c[0] * delta;
#elif UPDATE == UPDATE_adam
    a = a + (g - a) * c[1]; b = b + (g * g - b) * c[2]; x = x - c[0] * a / (F(sqrt)(b) + c[3]);
#elif UPDATE == UPDATE_adam_amsgrad
    a = a + (g - a) * c[1]; b = b + (g * g - b) * c[2]; d = d > b ? d : b; x = x - c[0] * a / (F(sqrt)(d) + c[3]);
#elif UPDATE == UPDATE_adamax
    a = a + (g - a) * c[1];
    const real old = c[2] * b, fresh = F(fabs)(g);
    b = old > fresh ? old : fresh; x = x - c[0] * a / (b + c[3]);
#elif UPDATE == UPDATE_nadam
    a = a + (g - a) * c[1]; b = b + (g * g - b) * c[2]; x = x - (c[0] * a + c[4] * g) / (F(sqrt)(b / c[5]) + c[3]);
#elif UPDATE == UPDATE_radam
    a = a + (g - a) * c[1]; b = b + (g * g - b) * c[2];
    const real plain = c[0] * a;
    x = x - (c[4] > (real)0 ? plain / (F(sqrt)(b) + c[3]) : plain);
#else
    const real mixed = c[1] * a + c[2] * g, still = x + mixed * (mixed - mixed);   // x, or NaN
    x = mixed > (real)0 ? x - c[0] : mixed < (real)0 ? x + c[0] : still;
    a = c[3] * a + c[4] * g;
#endif
}

// Nadam's product of momenta, brought up to update t; the state is (factors, product).
__device__ __forceinline__ void nadam_advance(double* __restrict__ h, double t) {
    if (h[5] == t) return;
    if (h[5] != t - 1.0) { h[5] = 0; h[6] = 1; }
    while (h[5] < t) { h[5] += 1.0; h[6] *= nadam_momentum(h[2], h[5]); }
}

extern "C" __global__ void __launch_bounds__(256, 1)
update(const long long* __restrict__ r, const real* __restrict__ g, const double* __restrict__ hyper,
       real* __restrict__ p, real* __restrict__ a, real* __restrict__ b, real* __restrict__ d, int n, int steps,
       int decay) {
    __shared__ double scalars[7];
    if (r[R_STATUS] != 0 || r[R_SKIP] != 0) return;               // the whole grid
    if (threadIdx.x == 0) {
        prepare(hyper, (double)((r[R_STEP] + 1) / steps), scalars);
        scalars[6] = hyper[0] * hyper[1];
    }
    __syncthreads();
    real c[6];
#pragma unroll
    for (int k = 0; k < 6; ++k) c[k] = (real)scalars[k];
    const real rate = decay ? (real)scalars[6] : (real)0;
    EACH(i, n) {
        real x = p[i], s = a ? a[i] : (real)0, t = b ? b[i] : (real)0, u = d ? d[i] : (real)0;
        if (decay) x -= x * rate;
        step(x, g[i], s, t, u, c);
        p[i] = x;
        if (a) a[i] = s;
        if (b) b[i] = t;
        if (d) d[i] = u;
    }
}

extern "C" __global__ void __launch_bounds__(32)
nadam_schedule(const long long* __restrict__ r, double* __restrict__ h, int steps) {
    if (r[R_STATUS] != 0 || r[R_SKIP] != 0) return;
    if (threadIdx.x == 0) nadam_advance(h, (double)((r[R_STEP] + 1) / steps));
}
