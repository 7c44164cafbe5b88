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
// part[s, j] = the sum over the rows of share s: a block has 32 units, a lane each, and a warp every eighth row.
extern "C" __global__ void __launch_bounds__(256, 1)
prelu_dalpha_part(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
                  real* __restrict__ part, int units) {
    __shared__ double column[8][32];
    const int lane = threadIdx.x & 31, j = blockIdx.x * 32 + lane, warp = threadIdx.x >> 5;
    const long long share = (r[R_ROWS] + gridDim.y - 1) / gridDim.y;
    const long long low = blockIdx.y * share, high = low + share < r[R_ROWS] ? low + share : r[R_ROWS];
    double total = 0;
    if (j < units)
        for (long long i = low + warp; i < high; i += 8) {
            const real v = x[i * units + j], d = dy[i * units + j] * v;
            total += (double)(v > (real)0 ? d * (real)0 : d);
        }
    column[warp][lane] = total;
    __syncthreads();
    if (warp == 0 && j < units) {
#pragma unroll
        for (int w = 1; w < 8; ++w) total += column[w][lane];
        part[(long long)blockIdx.y * units + j] = (real)total;
    }
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
