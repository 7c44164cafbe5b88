// uses: scalars
// Dense products over row-major memory: 64 x 64 tiles by 8 warps; a warp has 8 rows, a lane the columns `lane` and
// `lane + 32` of them. So global memory is met in runs of 32 numbers, and the odd stride of the tiles in shared memory
// leaves no two lanes on one bank. Wide layers go to cuBLAS; these serve inside captured graphs, where it may not be called.
#define TM 64
#define TN 64
#define TK 32
#define ROWS_EACH 8
#define COLUMNS_EACH 2

// Tiles of op(A) (TK x TM, k-major) and op(B) (TK x TN); elements outside are zero.
__device__ __forceinline__ void multiply_tile(const real (*As)[TM + 1], const real (*Bs)[TN + 1], real (*acc)[COLUMNS_EACH],
                                              int tx, int ty) {
#pragma unroll 8
    for (int k = 0; k < TK; ++k) {
        real a[ROWS_EACH], b[COLUMNS_EACH];
#pragma unroll
        for (int i = 0; i < ROWS_EACH; ++i) a[i] = As[k][ty * ROWS_EACH + i];
#pragma unroll
        for (int j = 0; j < COLUMNS_EACH; ++j) b[j] = Bs[k][tx + 32 * j];
#pragma unroll
        for (int i = 0; i < ROWS_EACH; ++i)
#pragma unroll
            for (int j = 0; j < COLUMNS_EACH; ++j) acc[i][j] += a[i] * b[j];
    }
}

// A tile of A[M, K] B, where B is [K, N] or, TURNED, the transpose of what lies there as [N, K].
template <bool TURNED>
__device__ __forceinline__ void product(const real* __restrict__ A, const real* __restrict__ B, real (*acc)[COLUMNS_EACH],
                                        long long M, int K, int N, long long row0, int col0) {
    __shared__ real As[TK][TM + 1], Bs[TK][TN + 1];
    const int tid = threadIdx.x, tx = tid % 32, ty = tid / 32;
    for (int k0 = 0; k0 < K; k0 += TK) {
        for (int e = tid; e < TM * TK; e += 256) {
            const int i = e / TK, k = e % TK;
            As[k][i] = row0 + i < M && k0 + k < K ? A[(row0 + i) * K + k0 + k] : (real)0;
        }
        for (int e = tid; e < TK * TN; e += 256) {
            const int k = TURNED ? e % TK : e / TN, j = TURNED ? e / TK : e % TN;
            const long long at = TURNED ? (long long)(col0 + j) * K + k0 + k : (long long)(k0 + k) * N + col0 + j;
            Bs[k][j] = k0 + k < K && col0 + j < N ? B[at] : (real)0;
        }
        __syncthreads();
        multiply_tile(As, Bs, acc, tx, ty);
        __syncthreads();
    }
}

// Y[M, N] = f(X[M, K] W[K, N] + bias[N])
extern "C" __global__ void __launch_bounds__(256, 1)
dense(const long long* __restrict__ r, const real* __restrict__ X, const real* __restrict__ W,
      const real* __restrict__ bias, real* __restrict__ Y, int K, int N, int groups, real a, real b, real c) {
    const long long M = r[R_ROWS] * groups, row0 = (long long)blockIdx.y * TM;
    const int col0 = blockIdx.x * TN, tx = threadIdx.x % 32, ty = threadIdx.x / 32;
    real acc[ROWS_EACH][COLUMNS_EACH] = {};
    product<false>(X, W, acc, M, K, N, row0, col0);
#pragma unroll
    for (int i = 0; i < ROWS_EACH; ++i)
#pragma unroll
        for (int j = 0; j < COLUMNS_EACH; ++j) {
            const long long m = row0 + ty * ROWS_EACH + i;
            const int n = col0 + tx + 32 * j;
            if (m < M && n < N) Y[m * N + n] = forward(bias ? acc[i][j] + bias[n] : acc[i][j], a, b, c);
        }
}

// dX[M, K] = dY[M, N] W[K, N]^T
extern "C" __global__ void __launch_bounds__(256, 1)
dense_dx(const long long* __restrict__ r, const real* __restrict__ dY, const real* __restrict__ W,
         real* __restrict__ dX, int K, int N, int groups) {
    const long long M = r[R_ROWS] * groups, row0 = (long long)blockIdx.y * TM;
    const int col0 = blockIdx.x * TN, tx = threadIdx.x % 32, ty = threadIdx.x / 32;
    real acc[ROWS_EACH][COLUMNS_EACH] = {};
    product<true>(dY, W, acc, M, N, K, row0, col0);
#pragma unroll
    for (int i = 0; i < ROWS_EACH; ++i)
#pragma unroll
        for (int j = 0; j < COLUMNS_EACH; ++j) {
            const long long m = row0 + ty * ROWS_EACH + i;
            const int k = col0 + tx + 32 * j;
            if (m < M && k < K) dX[m * K + k] = acc[i][j];
        }
}

// part[s, K, N] = X[rows of share s]^T dY[rows of share s]: the rows are shared by gridDim.z blocks.
extern "C" __global__ void __launch_bounds__(256, 1)
dense_dw_part(const long long* __restrict__ r, const real* __restrict__ X, const real* __restrict__ dY,
              real* __restrict__ part, int K, int N, int groups) {
    __shared__ real As[TK][TM + 1], Bs[TK][TN + 1];
    const int tid = threadIdx.x, tx = tid % 32, ty = tid / 32;
    const long long M = r[R_ROWS] * groups, share = (M + gridDim.z - 1) / gridDim.z;
    const long long low = blockIdx.z * share, high = low + share < M ? low + share : M;
    const int k0 = blockIdx.y * TM, n0 = blockIdx.x * TN;
    real acc[ROWS_EACH][COLUMNS_EACH] = {};
    for (long long m0 = low; m0 < high; m0 += TK) {
        for (int e = tid; e < TM * TK; e += 256) {
            const int m = e / TM, k = e % TM;
            As[m][k] = m0 + m < high && k0 + k < K ? X[(m0 + m) * K + k0 + k] : (real)0;
        }
        for (int e = tid; e < TK * TN; e += 256) {
            const int m = e / TN, n = e % TN;
            Bs[m][n] = m0 + m < high && n0 + n < N ? dY[(m0 + m) * N + n0 + n] : (real)0;
        }
        __syncthreads();
        multiply_tile(As, Bs, acc, tx, ty);
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < ROWS_EACH; ++i)
#pragma unroll
        for (int j = 0; j < COLUMNS_EACH; ++j) {
            const int k = k0 + ty * ROWS_EACH + i, n = n0 + tx + 32 * j;
            if (k < K && n < N) part[((long long)blockIdx.z * K + k) * N + n] = acc[i][j];
        }
}

// db parts: part[s, n] = the sum of dY over the rows of share s, a warp a column.
extern "C" __global__ void __launch_bounds__(256, 1)
dense_db_part(const long long* __restrict__ r, const real* __restrict__ dY, real* __restrict__ part, int N, int groups) {
    const int lane = threadIdx.x & 31, n = blockIdx.x * 32 + lane, warp = threadIdx.x >> 5;
    __shared__ real column[8][33];
    const long long M = r[R_ROWS] * groups, share = (M + gridDim.y - 1) / gridDim.y;
    const long long low = blockIdx.y * share, high = low + share < M ? low + share : M;
    real total = 0;
    if (n < N)
        for (long long m = low + warp; m < high; m += 8) total += dY[m * N + n];
    column[warp][lane] = total;
    __syncthreads();
    if (warp == 0 && n < N) {
#pragma unroll
        for (int w = 1; w < 8; ++w) total += column[w][lane];
        part[(long long)blockIdx.y * N + n] = total;
    }
}

// gradient = (what is there, unless this is the first chunk) + the sum of the shares, in order.
extern "C" __global__ void __launch_bounds__(256, 1)
sum_parts(const long long* __restrict__ r, const real* __restrict__ part, real* __restrict__ gradient, int size,
          int shares, int add) {
    const bool fresh = r[R_FIRST] && !add;
    EACH(e, size) {
        real total = part[e];
        for (int s = 1; s < shares; ++s) total += part[(long long)s * size + e];
        gradient[e] = fresh ? total : gradient[e] + total;
    }
}
