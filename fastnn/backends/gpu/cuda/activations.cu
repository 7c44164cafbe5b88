// uses: scalars
// Elementwise activations over flat memory, PReLU, softmax.

extern "C" __global__ void __launch_bounds__(256, 1)
flat_forward(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int units,
             real a, real b, real c) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) y[e] = forward(x[e], a, b, c);
}

extern "C" __global__ void __launch_bounds__(256, 1)
flat_backward(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ s,
              real* __restrict__ dx, int units, real a, real b, real c) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) dx[e] = backward(dy[e], s[e], a, b, c);
}

// y = f(x + bias), what follows a product that cuBLAS or a plain GEMM made. x may not be y.
extern "C" __global__ void __launch_bounds__(256, 1)
bias_activation(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ bias,
                real* __restrict__ y, int units, int groups, real a, real b, real c) {
    const long long n = r[R_ROWS] * groups * units;
    EACH(e, n) y[e] = forward(bias ? x[e] + bias[e % units] : x[e], a, b, c);
}

// ---- PReLU: one slope a unit
extern "C" __global__ void __launch_bounds__(256, 1)
prelu(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ alpha,
      real* __restrict__ y, int units) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) { const real v = x[e], below = alpha[e % units] * v; y[e] = v > (real)0 ? v : below; }
}
extern "C" __global__ void __launch_bounds__(256, 1)
prelu_dx(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
         const real* __restrict__ alpha, real* __restrict__ dx, int units) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) { const real d = dy[e], below = d * alpha[e % units]; dx[e] = x[e] > (real)0 ? d : below; }
}
// One block a unit, rows in a fixed order.
extern "C" __global__ void __launch_bounds__(256, 1)
prelu_dalpha(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
             real* __restrict__ dalpha, int units, int add) {
    const int j = blockIdx.x;
    double total = 0;
    for (long long i = threadIdx.x; i < r[R_ROWS]; i += 256) {
        const real d = dy[i * units + j] * x[i * units + j];
        total += (double)(x[i * units + j] > (real)0 ? d * (real)0 : d);
    }
    total = block_sum(total);
    if (threadIdx.x == 0) dalpha[j] = (r[R_FIRST] && !add ? (real)0 : dalpha[j]) + (real)total;
}

// ---- softmax over the last axis (LOG: its logarithm), a warp a vector
#ifndef LOG
#define LOG 0
#endif
extern "C" __global__ void __launch_bounds__(256, 1)
softmax(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int units, int groups) {
    const int lane = threadIdx.x & 31;
    const long long n = r[R_ROWS] * groups;
    for (long long i = (long long)blockIdx.x * 8 + (threadIdx.x >> 5); i < n; i += (long long)gridDim.x * 8) {
        const real* __restrict__ v = x + i * units;
        real top = v[0];
        bool nan = false;
        for (int j = lane; j < units; j += 32) { const real w = v[j]; nan |= w != w; top = w > top ? w : top; }
        top = __any_sync(FULL, nan) ? (real)NAN : warp_max(top);
        real total = 0;
        for (int j = lane; j < units; j += 32) total += F(exp)(v[j] - top);
        total = warp_sum(total);
        const real shift = F(log)(total), factor = (real)1 / total;
        for (int j = lane; j < units; j += 32)
            y[i * units + j] = LOG ? v[j] - top - shift : F(exp)(v[j] - top) * factor;
    }
}
extern "C" __global__ void __launch_bounds__(256, 1)
softmax_grad(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ y,
             real* __restrict__ dx, int units, int groups) {
    const int lane = threadIdx.x & 31;
    const long long n = r[R_ROWS] * groups;
    for (long long i = (long long)blockIdx.x * 8 + (threadIdx.x >> 5); i < n; i += (long long)gridDim.x * 8) {
        const long long at = i * units;
        real total = 0;
        for (int j = lane; j < units; j += 32) total += LOG ? dy[at + j] : dy[at + j] * y[at + j];
        total = warp_sum(total);
        for (int j = lane; j < units; j += 32)
            dx[at + j] = LOG ? dy[at + j] - F(exp)(y[at + j]) * total : y[at + j] * (dy[at + j] - total);
    }
}
