// Normalization over units (a warp a group), over rows (a block a column tile), and by given statistics; two passes
// over the data, for accuracy. gamma and beta may be null.
#define GROUPS(i, n) for (long long i = (long long)blockIdx.x * 8 + (threadIdx.x >> 5); i < (n); i += (long long)gridDim.x * 8)

extern "C" __global__ void __launch_bounds__(256, 1)
layer_norm(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ gamma,
           const real* __restrict__ beta, real* __restrict__ y, real* __restrict__ means, real* __restrict__ rstds,
           int units, int groups, real epsilon) {
    const int lane = threadIdx.x & 31;
    GROUPS(i, r[R_ROWS] * groups) {
        const long long at = i * units;
        real total = 0;
        for (int j = lane; j < units; j += 32) total += x[at + j];
        const real mean = warp_sum(total) / (real)units;
        total = 0;
        for (int j = lane; j < units; j += 32) { const real d = x[at + j] - mean; total += d * d; }
        const real rstd = (real)1 / F(sqrt)(warp_sum(total) / (real)units + epsilon);
        if (lane == 0) { means[i] = mean; rstds[i] = rstd; }
        for (int j = lane; j < units; j += 32)
            y[at + j] = (x[at + j] - mean) * rstd * (gamma ? gamma[j] : (real)1) + (beta ? beta[j] : (real)0);
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
layer_norm_dx(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
              const real* __restrict__ means, const real* __restrict__ rstds, const real* __restrict__ gamma,
              real* __restrict__ dx, int units, int groups) {
    const int lane = threadIdx.x & 31;
    GROUPS(i, r[R_ROWS] * groups) {
        const long long at = i * units;
        const real mean = means[i], rstd = rstds[i];
        real total = 0, product = 0;
        for (int j = lane; j < units; j += 32) {
            const real g = dy[at + j] * (gamma ? gamma[j] : (real)1);
            total += g;
            product += g * (x[at + j] - mean);
        }
        total = warp_sum(total) / (real)units;
        product = warp_sum(product) * (rstd * rstd / (real)units);
        for (int j = lane; j < units; j += 32) {
            const real g = dy[at + j] * (gamma ? gamma[j] : (real)1);
            dx[at + j] = rstd * (g - total - (x[at + j] - mean) * product);
        }
    }
}

// The sum over all rows of a column, by the 8 warps of a block that holds 32 columns; every warp gets it.
__device__ __forceinline__ real over_rows(real mine, real (*tile)[33], int warp, int lane) {
    __syncthreads();
    tile[warp][lane] = mine;
    __syncthreads();
    real total = tile[0][lane];
#pragma unroll
    for (int w = 1; w < 8; ++w) total += tile[w][lane];
    return total;
}

// dgamma += dy (x - mean) rstd. LAYER: a mean and rstd a row; else a mean and variance a unit.
extern "C" __global__ void __launch_bounds__(256, 1)
dgamma(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
       const real* __restrict__ mean, const real* __restrict__ spread, real* __restrict__ out, real* __restrict__ rstds,
       int units, int groups, real epsilon, int layer, int add) {
    __shared__ real tile[8][33];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, j = blockIdx.x * 32 + lane;
    const long long n = r[R_ROWS] * groups;
    real total = 0;
    if (j < units) {
        const real rstd = layer ? (real)0 : (real)1 / F(sqrt)(spread[j] + epsilon);
        for (long long i = warp; i < n; i += 8)
            total += dy[i * units + j] * ((x[i * units + j] - mean[layer ? i : j]) * (layer ? spread[i] : rstd));
    }
    total = over_rows(total, tile, warp, lane);
    if (warp == 0 && j < units) {
        out[j] = r[R_FIRST] && !add ? total : out[j] + total;
        if (rstds) rstds[j] = (real)1 / F(sqrt)(spread[j] + epsilon);
    }
}

// Mean and variance of each unit over the batch; multiplier = gamma / sqrt(variance + epsilon).
extern "C" __global__ void __launch_bounds__(256, 1)
batch_statistics(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ gamma,
                 real* __restrict__ mean, real* __restrict__ variance, real* __restrict__ multiplier, int units,
                 int groups, real epsilon) {
    __shared__ real tile[8][33];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, j = blockIdx.x * 32 + lane;
    const long long n = r[R_ROWS] * groups;
    const real share = (real)1 / (real)n;
    real total = 0;
    if (j < units)
        for (long long i = warp; i < n; i += 8) total += x[i * units + j];
    const real m = over_rows(total, tile, warp, lane) * share;
    total = 0;
    if (j < units)
        for (long long i = warp; i < n; i += 8) { const real d = x[i * units + j] - m; total += d * d; }
    const real v = over_rows(total, tile, warp, lane) * share;
    if (warp == 0 && j < units) {
        mean[j] = m;
        variance[j] = v;
        multiplier[j] = (gamma ? gamma[j] : (real)1) / F(sqrt)(v + epsilon);
    }
}

// y = (x - mean) multiplier + beta
extern "C" __global__ void __launch_bounds__(256, 1)
normalize(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ mean,
          const real* __restrict__ multiplier, const real* __restrict__ beta, real* __restrict__ y, int units, int groups) {
    const long long n = r[R_ROWS] * groups * units;
    EACH(e, n) {
        const int j = (int)(e % units);
        y[e] = (x[e] - mean[j]) * multiplier[j] + (beta ? beta[j] : (real)0);
    }
}

// multiplier = gamma / sqrt(variance + epsilon), from given statistics.
extern "C" __global__ void __launch_bounds__(256, 1)
multiplier_of(const long long* __restrict__ r, const real* __restrict__ variance, const real* __restrict__ gamma,
              real* __restrict__ multiplier, int units, real epsilon) {
    EACH(j, units) multiplier[j] = (gamma ? gamma[j] : (real)1) / F(sqrt)(variance[j] + epsilon);
}

// shift = mean of dy, slope = mean of dy (x - mean) / (variance + epsilon), over the batch.
extern "C" __global__ void __launch_bounds__(256, 1)
batch_norm_sums(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
                const real* __restrict__ mean, const real* __restrict__ variance, real* __restrict__ shift,
                real* __restrict__ slope, int units, int groups, real epsilon) {
    __shared__ real tile[8][33];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, j = blockIdx.x * 32 + lane;
    const long long n = r[R_ROWS] * groups;
    const real share = (real)1 / (real)n;
    real total = 0, product = 0;
    if (j < units)
        for (long long i = warp; i < n; i += 8) {
            const real d = dy[i * units + j];
            total += d;
            product += d * (x[i * units + j] - mean[j]);
        }
    total = over_rows(total, tile, warp, lane);
    product = over_rows(product, tile, warp, lane);
    if (warp == 0 && j < units) {
        shift[j] = total * share;
        slope[j] = product * (share / (variance[j] + epsilon));
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
batch_norm_dx(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
              const real* __restrict__ mean, const real* __restrict__ multiplier, const real* __restrict__ shift,
              const real* __restrict__ slope, real* __restrict__ dx, int units, int groups) {
    const long long n = r[R_ROWS] * groups * units;
    EACH(e, n) {
        const int j = (int)(e % units);
        dx[e] = multiplier[j] * (dy[e] - shift[j] - (x[e] - mean[j]) * slope[j]);
    }
}

// Moving statistics: in place, so nothing happens in a run that has stopped.
extern "C" __global__ void __launch_bounds__(256, 1)
batch_norm_update(const long long* __restrict__ r, const real* __restrict__ batch_mean,
                  const real* __restrict__ batch_variance, real* __restrict__ mean, real* __restrict__ variance,
                  int units, real momentum, real rest) {
    if (r[R_STATUS] != 0) return;
    EACH(j, units) {
        mean[j] = mean[j] * momentum + batch_mean[j] * rest;
        variance[j] = variance[j] * momentum + batch_variance[j] * rest;
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
scale_units(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ gamma,
            real* __restrict__ y, int units, int groups) {
    const long long n = r[R_ROWS] * groups * units;
    EACH(e, n) y[e] = x[e] * gamma[e % units];
}

// y = (x - mean) / deviation; without a mean: the gradient, dx = dy / deviation.
extern "C" __global__ void __launch_bounds__(256, 1)
standardize(const long long* __restrict__ r, const real* __restrict__ x, const real* __restrict__ mean,
            const real* __restrict__ variance, real* __restrict__ y, int units, int groups, real least) {
    const long long n = r[R_ROWS] * groups * units;
    EACH(e, n) {
        const int j = (int)(e % units);
        const real root = F(sqrt)(variance[j]), deviation = root < least ? least : root;
        y[e] = (x[e] - (mean ? mean[j] : (real)0)) * ((real)1 / deviation);
    }
}
