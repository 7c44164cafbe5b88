// What a training step of rows in shared memory is made of, whatever joins them (chain.cu, net.cu): the caller's arrays,
// numbers of the layers, dropout, and products of a tile of rows with a weight matrix. Macros:
//   TILE: rows of a tile, a multiple of 8; CLASSES: what a target is, 0 numbers, 1 shares of classes, 2 a class; ON_LOGITS:
//   the loss reads the last layer before its activation; SOFTMAX: that activation is softmax; SUMS, KINDS, WEIGHTED: the
//   sums over rows, the loss first; X_TYPE, X1_TYPE, ...: what the inputs hold, T_TYPE the target, W_TYPE the weights.
#if !defined(LAYERS) && !defined(STEPS)
#define LAYERS 2
#define SIZES 3, 4, 1
#define FORMS FORM_relu, FORM_linear
#define SAVES 0, 0
#define DROPS 0, 0
#define W_AT 0, 32
#define B_AT 16, 48
#define CLASSES 0
#define ON_LOGITS 1
#define SOFTMAX 0
#define SUMS 1
#define KINDS 0
#define WEIGHTED 0
#endif
#ifndef TILE
#define TILE 8
#endif
#ifndef X_TYPE
#define X_TYPE real
#endif
#ifndef X1_TYPE
#define X1_TYPE real
#endif
#ifndef X2_TYPE
#define X2_TYPE real
#endif
#ifndef X3_TYPE
#define X3_TYPE real
#endif
#ifndef T_TYPE
#define T_TYPE real
#endif
#ifndef W_TYPE
#define W_TYPE real
#endif
#define THREADS 256
#define WARPS 8
#define STAGE 32                       // rows of a weight matrix in shared memory at once: a lane each
// What is summed.
#define SUM_loss 0
#define SUM_binary_accuracy 1
#define SUM_mean_squared_error 2
#define SUM_mean_absolute_error 3
#define SUM_categorical_accuracy 4
#define SUM_sparse_categorical_accuracy 5
#define SUM_weights 6

#define LIST(name, ...) __device__ constexpr int name(int at) { constexpr int v[] = {__VA_ARGS__}; return v[at]; }
LIST(form_of, FORMS)
LIST(saves_input, SAVES)
LIST(drop_of, DROPS)
LIST(weight_at, W_AT)
LIST(bias_at, B_AT)
LIST(kind_of, KINDS)
LIST(weighted_of, WEIGHTED)

// A row's stride is odd, so that lanes on different rows meet different banks.
__device__ constexpr int padded(int width) { return width | 1; }

// The caller's arrays with their strides in items; no weights: null.
struct Data {
    const X_TYPE* x; const T_TYPE* t; const W_TYPE* w;
    long long x_row, x_column, t_row, t_column, w_row;
    const X1_TYPE* x1; const X2_TYPE* x2; const X3_TYPE* x3;
    long long x1_row, x1_column, x2_row, x2_column, x3_row, x3_column;
};
// Numbers of a layer or step (activation's a, b, c, dropout's factor and shifts; stream, seed, step, threshold), then the loss's
// (scale, each, its a, b, c; whether it is a mean over the batch).
struct Settings { const double* reals; const long long* ints; };
#define LAYER_REALS 6
#define LAYER_INTS 4

// Dropout of element (row of the batch, j) of rows of WIDTH, by the numbers of layer L: those of dropout.cu.
template <int L, int WIDTH>
__device__ __forceinline__ real dropped(real x, int& kept, const long long* r, const Settings& set, long long row, int j) {
    const double* c = set.reals + L * LAYER_REALS;
    const long long* n = set.ints + L * LAYER_INTS;
    const long long e = row * WIDTH + j;
    const unsigned long long key = (unsigned long long)r[R_SEED] + (unsigned long long)n[1];
    const unsigned long long t = (unsigned long long)r[R_STEP] + (unsigned long long)n[2];
    const int half = (int)(e % 512) / 64;
    const Words w = philox((unsigned)(e / 512 * 64 + e % 64), (unsigned)t, (unsigned)(t >> 32), (unsigned)n[0],
                           (unsigned)key, (unsigned)(key >> 32));
    const unsigned word = half < 2 ? w.x : half < 4 ? w.y : half < 6 ? w.z : w.w;
    const bool keep = (long long)((word >> (half & 1 ? 16 : 0)) & 0xFFFFu) >= n[3];
    const real mask = keep ? (real)c[3] : (real)0;
    kept = keep;
    return drop_of(L) == 2 ? x * mask + (real)(keep ? c[4] : c[5]) : x * mask;
}

// Lanes that read a row of k numbers together.
__device__ constexpr int lanes_for(int k) {
    int lanes = 1;
    while (lanes < 32 && lanes < k) lanes *= 2;
    return lanes;
}

// The rows that a warp's groups of LANES fill are TILE * LANES / 32 apart: a tile of 32 rows with odd strides then meets
// every bank once, where neighbouring rows meet some twice.
template <int LANES>
__device__ __forceinline__ int row_apart(int group) {
    constexpr int GROUPS = 32 / LANES < TILE ? 32 / LANES : TILE;
    return group % GROUPS * (TILE / GROUPS) + group / GROUPS;
}

// Rows a thread computes at once in a layer of N units: as many as leave all threads some work, at most 8.
__device__ constexpr int rows_at_once(int n) {
    int rows = 1;
    while (rows < 8 && rows < TILE && TILE * n >= 2 * rows * THREADS) rows *= 2;
    return rows;
}

// x w for the tile's rows of K numbers SK apart; then(i, j, sum) takes each of the N sums of a row.
template <int K, int N, int SK, class Then>
__device__ __forceinline__ void product_tile(const real* xs, const real* __restrict__ w, const Then& then) {
    constexpr int R = rows_at_once(N), COUNT = TILE / R;
    for (int e = threadIdx.x; e < N * COUNT; e += THREADS) {  // lanes on different rows meet every bank once in a tile of 32
        const int j = TILE == 32 ? e / COUNT : e % N, i0 = (TILE == 32 ? e % COUNT : e / N) * R;
        const real* x = xs + i0 * SK;
        real acc[R] = {};
#pragma unroll 4
        for (int k = 0; k < K; ++k) {
            const real wk = w[k * N + j];
#pragma unroll
            for (int q = 0; q < R; ++q) acc[q] += x[q * SK + k] * wk;
        }
#pragma unroll
        for (int q = 0; q < R; ++q) then(i0 + q, j, acc[q]);
    }
}

// The gradients of layer L's weights and biases: into g if first, else added to it.
template <int L, int K, int N, int SK, int SN>
__device__ __forceinline__ void weights_tile(const real* x, const real* dz, real* __restrict__ g, bool first) {
    constexpr int AT_ONCE = K * N >= 4 * THREADS ? 4 : 1, GROUPS = (K + AT_ONCE - 1) / AT_ONCE;
    for (int e = threadIdx.x; e < GROUPS * N; e += THREADS) {
        const int j = e % N, k0 = e / N * AT_ONCE;
        real acc[AT_ONCE] = {};
#pragma unroll 4
        for (int i = 0; i < TILE; ++i) {
            const real d = dz[i * SN + j];
#pragma unroll
            for (int q = 0; q < AT_ONCE; ++q) acc[q] += x[i * SK + (k0 + q < K ? k0 + q : K - 1)] * d;
        }
#pragma unroll
        for (int q = 0; q < AT_ONCE; ++q)
            if (k0 + q < K) {
                real* at = g + weight_at(L) + (k0 + q) * N + j;
                *at = first ? acc[q] : *at + acc[q];
            }
    }
    if constexpr (bias_at(L) >= 0)
        for (int j = threadIdx.x; j < N; j += THREADS) {
            real total = 0;
            for (int i = 0; i < TILE; ++i) total += dz[i * SN + j];
            real* at = g + bias_at(L) + j;
            *at = first ? total : *at + total;
        }
}

// dz w' for the tile's rows, by rows of w that are staged in shared memory; then(i, k, sum) takes each of the K sums of a row.
template <int K, int N, int SN, class Then>
__device__ __forceinline__ void slopes_tile(const real* dz, const real* __restrict__ w, real* stage, const Then& then) {
    constexpr int R = TILE / WARPS, SS = padded(N);
    const int lane = threadIdx.x & 31, i0 = (threadIdx.x >> 5) * R;
    for (int k0 = 0; k0 < K; k0 += STAGE) {
        for (int e = threadIdx.x; e < STAGE * N; e += THREADS) {
            const int k = e / N, j = e % N;
            stage[k * SS + j] = k0 + k < K ? w[(k0 + k) * N + j] : (real)0;
        }
        __syncthreads();
        real acc[R] = {};
#pragma unroll 4
        for (int j = 0; j < N; ++j) {
            const real wj = stage[lane * SS + j];
#pragma unroll
            for (int q = 0; q < R; ++q) acc[q] += dz[(i0 + q) * SN + j] * wj;
        }
        if (k0 + lane < K) {
#pragma unroll
            for (int q = 0; q < R; ++q) then(i0 + q, k0 + lane, acc[q]);
        }
        __syncthreads();
    }
}
