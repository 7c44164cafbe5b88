// A stack of dense layers over a tile of rows by a block of 256 threads: gather, forward, loss, metrics, backward and the
// gradients of the weights, with everything between them in shared memory. Sizes are macros (see chain.py):
//   LAYERS; SIZES: the width of the input and of each layer; FORMS: the activation of each layer, SAVES: 1 where its
//   derivative is taken at the input; DROPS: 1 dropout, 2 alpha dropout on a layer's input; W_AT, B_AT: where weights and
//   biases (-1: none) begin in the flat vector; TILE: rows of a tile, a multiple of 8; CLASSES: what a target is, 0 numbers,
//   1 shares of classes, 2 a class; ON_LOGITS: the loss reads the last layer before its activation; SOFTMAX: that activation
//   is softmax; SUMS, KINDS, WEIGHTED: the sums over rows, the loss first.
#ifndef LAYERS
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
LIST(size_of, SIZES)
LIST(form_of, FORMS)
LIST(saves_input, SAVES)
LIST(drop_of, DROPS)
LIST(weight_at, W_AT)
LIST(bias_at, B_AT)
LIST(kind_of, KINDS)
LIST(weighted_of, WEIGHTED)

// ---- where the tile's arrays lie. A row's stride is odd, so that lanes on different rows meet different banks.
__device__ constexpr int stride_of(int l) { return size_of(l) | 1; }
// A layer's input; input LAYERS is the output of the last.
__device__ constexpr int in_at(int l) {
    int at = 0;
    for (int i = 0; i < l; ++i) at += TILE * stride_of(i);
    return at;
}
// Whether what a layer's derivative is taken at (for the last: the sum before its activation) has a place of its own.
// A relu needs none before plain dropout: what is kept has its sign, and what is dropped has no gradient.
__device__ constexpr bool apart(int l) {
    if (l == LAYERS - 1) return form_of(l) != FORM_linear || SOFTMAX;
    if (saves_input(l)) return true;
    return drop_of(l + 1) && form_of(l) != FORM_linear && !(form_of(l) == FORM_relu && drop_of(l + 1) == 1);
}
__device__ constexpr int saved_at(int l) {
    if (!apart(l)) return in_at(l + 1);
    int at = in_at(LAYERS + 1);
    for (int i = 0; i < l; ++i) at += apart(i) ? TILE * stride_of(i + 1) : 0;
    return at;
}
// The slope by a layer's sums takes the place of its output, when that has been used; the last has one of its own.
__device__ constexpr int end_of_saved() {
    int at = in_at(LAYERS + 1);
    for (int i = 0; i < LAYERS; ++i) at += apart(i) ? TILE * stride_of(i + 1) : 0;
    return at;
}
__device__ constexpr int slope_at(int l) { return l == LAYERS - 1 ? end_of_saved() : in_at(l + 1); }
__device__ constexpr int target_at() { return end_of_saved() + TILE * stride_of(LAYERS); }
__device__ constexpr int stage_at() { return target_at() + (CLASSES == 2 ? 0 : TILE * stride_of(LAYERS)); }
__device__ constexpr int tile_reals() {
    int most = 0;
    for (int l = 2; l <= LAYERS; ++l) most = stride_of(l) > most ? stride_of(l) : most;
    return stage_at() + STAGE * most;
}
// Which elements of a layer's input are kept by dropout.
__device__ constexpr int kept_at(int l) {
    int at = 0;
    for (int i = 0; i < l; ++i) at += drop_of(i) ? TILE * stride_of(i) : 0;
    return at;
}
__device__ constexpr int kept_count() { return kept_at(LAYERS) ? kept_at(LAYERS) : 1; }

struct Tile {
    real v[tile_reals()];
    double value[SUMS][TILE], total[SUMS];
    long long row[TILE];
    real weight[TILE];
    int label[TILE];
    int kept[kept_count()];
};
// The caller's arrays with their strides in items; no weights: null.
struct Data {
    const X_TYPE* x; const T_TYPE* t; const W_TYPE* w;
    long long x_row, x_column, t_row, t_column, w_row;
};
// Numbers of a layer (activation's a, b, c, dropout's factor and shifts; stream, seed, step, threshold), then the loss's
// (scale, each, its a, b, c; whether it is a mean over the batch).
struct Settings { const double* reals; const long long* ints; };
#define LAYER_REALS 6
#define LAYER_INTS 4

// Dropout of element (row of the batch, j) of layer L's input: the numbers of dropout.cu.
template <int L>
__device__ __forceinline__ real dropped(real x, int& kept, const long long* r, const Settings& set, long long row, int j) {
    const double* c = set.reals + L * LAYER_REALS;
    const long long* n = set.ints + L * LAYER_INTS;
    const long long e = row * size_of(L) + j;
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

// Rows of this chunk into the tile; rows past the end are zeros.
__device__ __forceinline__ void gather_tile(Tile& s, const Data& data, const long long* r, const Settings& set, long long row0) {
    constexpr int K = size_of(0), N = size_of(LAYERS);
    const int tid = threadIdx.x;
    const long long left = r[R_ROWS] - row0;
    if (tid < TILE) s.row[tid] = tid < left ? row_at(r[R_POSITION] + r[R_ROW0] + row0 + tid, r) : -1;
    __syncthreads();
    constexpr int LANES = lanes_for(K), T_LANES = lanes_for(N);
    for (int group = tid / LANES; group < TILE; group += THREADS / LANES) {
        const int i = row_apart<LANES>(group);
        for (int k = tid % LANES; k < K; k += LANES) {
            real x = 0;
            if (i < left) x = (real)data.x[s.row[i] * data.x_row + k * data.x_column];
            if constexpr (drop_of(0) != 0) x = dropped<0>(x, s.kept[kept_at(0) + i * stride_of(0) + k], r, set, r[R_ROW0] + row0 + i, k);
            s.v[in_at(0) + i * stride_of(0) + k] = x;
        }
    }
    if constexpr (CLASSES == 2) {
        if (tid < TILE) s.label[tid] = tid < left ? (int)data.t[s.row[tid] * data.t_row] : 0;
    } else {
        for (int group = tid / T_LANES; group < TILE; group += THREADS / T_LANES) {
            const int i = row_apart<T_LANES>(group);
            for (int j = tid % T_LANES; j < N; j += T_LANES)
                s.v[target_at() + i * stride_of(LAYERS) + j] = i < left ? (real)data.t[s.row[i] * data.t_row + j * data.t_column] : (real)0;
        }
    }
    if (tid < TILE) s.weight[tid] = tid < left && data.w ? (real)data.w[s.row[tid] * data.w_row] : (real)1;
    __syncthreads();
}

// Rows a thread computes at once in a layer of N units: as many as leave all threads some work, at most 8.
__device__ constexpr int rows_at_once(int n) {
    int rows = 1;
    while (rows < 8 && rows < TILE && TILE * n >= 2 * rows * THREADS) rows *= 2;
    return rows;
}

// Layer L and those after it.
template <int L>
__device__ __forceinline__ void forward_from(Tile& s, const real* __restrict__ p, const long long* r, const Settings& set,
                                             long long row0) {
    constexpr int K = size_of(L), N = size_of(L + 1), SK = stride_of(L), SN = stride_of(L + 1), R = rows_at_once(N);
    constexpr bool LAST = L == LAYERS - 1;
    const double* c = set.reals + L * LAYER_REALS;
    const real ca = (real)c[0], cb = (real)c[1], cc = (real)c[2];
    const real* __restrict__ w = p + weight_at(L);
    constexpr int COUNT = TILE / R;      // lanes on different rows meet every bank once in a tile of 32, not in smaller ones
    for (int e = threadIdx.x; e < N * COUNT; e += THREADS) {
        const int j = TILE == 32 ? e / COUNT : e % N, i0 = (TILE == 32 ? e % COUNT : e / N) * R;
        const real* x = s.v + in_at(L) + i0 * SK;
        real acc[R] = {};
#pragma unroll 4
        for (int k = 0; k < K; ++k) {
            const real wk = w[k * N + j];
#pragma unroll
            for (int q = 0; q < R; ++q) acc[q] += x[q * SK + k] * wk;
        }
#pragma unroll
        for (int q = 0; q < R; ++q) {
            const int i = i0 + q;
            real z = acc[q];
            if constexpr (bias_at(L) >= 0) z += p[bias_at(L) + j];
            real y = forward<form_of(L)>(z, ca, cb, cc);
            if constexpr (apart(L)) s.v[saved_at(L) + i * SN + j] = LAST || saves_input(L) ? z : y;
            if constexpr (!LAST) {
                if constexpr (drop_of(L + 1) != 0) y = dropped<L + 1>(y, s.kept[kept_at(L + 1) + i * SN + j], r, set, r[R_ROW0] + row0 + i, j);
            }
            s.v[in_at(L + 1) + i * SN + j] = y;
        }
    }
    __syncthreads();
    if constexpr (!LAST) forward_from<L + 1>(s, p, r, set, row0);
}

__device__ __forceinline__ int first_largest(const real* v, int k) {
    int which = 0;
    for (int j = 1; j < k; ++j) if (v[j] > v[which]) which = j;
    return which;
}

// What row i adds to sum S.
template <int S>
__device__ __forceinline__ double row_value(const Tile& s, int i, real loss) {
    constexpr int KIND = kind_of(S), N = size_of(LAYERS), SN = stride_of(LAYERS);
    const double weight = (double)s.weight[i];
    if constexpr (KIND == SUM_loss) return weighted_of(S) ? (double)loss * weight : (double)loss;
    if constexpr (KIND == SUM_weights) return weight;
    const real* y = s.v + in_at(LAYERS) + i * SN;
    const real* t = s.v + target_at() + i * SN;
    double v = 0;
    if constexpr (KIND == SUM_categorical_accuracy || KIND == SUM_sparse_categorical_accuracy) {
        const int answer = KIND == SUM_sparse_categorical_accuracy ? s.label[i] : first_largest(t, N);
        real bad = y[0];
        for (int j = 1; j < N; ++j) bad = y[j] == y[j] ? bad : y[j];
        v = bad == bad ? (first_largest(y, N) == answer ? 1.0 : 0.0) : (double)bad;
    } else {
        for (int j = 0; j < N; ++j) {
            const double d = (double)y[j] - (double)t[j];
            if constexpr (KIND == SUM_binary_accuracy) {
                const double hit = ((double)y[j] > 0.5 ? 1.0 : 0.0) == (double)t[j] ? 1.0 : 0.0;
                v += y[j] == y[j] ? hit : (double)y[j];
            } else v += KIND == SUM_mean_squared_error ? d * d : fabs(d);
        }
        v /= (double)N;
    }
    return weighted_of(S) ? (weight != 0 ? v * weight : 0.0) : v;
}
template <int S>
__device__ __forceinline__ void row_values(Tile& s, int i, real loss, bool live) {
    s.value[S][i] = live ? row_value<S>(s, i, loss) : 0.0;
    if constexpr (S + 1 < SUMS) row_values<S + 1>(s, i, loss, live);
}

// Loss, metrics, and the slope of the loss by the last layer's sums, a thread a row.
__device__ __forceinline__ void loss_tile(Tile& s, const long long* r, const Settings& set, bool weighted, long long row0) {
    constexpr int N = size_of(LAYERS), SN = stride_of(LAYERS), LAST = LAYERS - 1;
    const double* c = set.reals + LAYERS * LAYER_REALS;
    const double* f = set.reals + LAST * LAYER_REALS;
    const int i = threadIdx.x;
    if (i < TILE) {
        real* d = s.v + slope_at(LAST) + i * SN;
        const real* z = s.v + saved_at(LAST) + i * SN;
        real* y = s.v + in_at(LAYERS) + i * SN;
        const bool live = row0 + i < r[R_ROWS];
        real loss = 0;
        if (!live) {
            for (int j = 0; j < N; ++j) d[j] = 0;
        } else {
            const real mean = (real)(set.ints[LAYERS * LAYER_INTS] ? c[0] / (double)r[R_BATCH] : c[0]);
            const real* t = s.v + target_at() + i * SN;
#if SOFTMAX
            const real top = largest(z, N);
            real mass = 0;
            for (int j = 0; j < N; ++j) mass += F(exp)(z[j] - top);
            const real part = (real)1 / mass;
            for (int j = 0; j < N; ++j) y[j] = F(exp)(z[j] - top) * part;
#endif
            const real* at = ON_LOGITS ? z : y;
#if CLASSES
            const real factor = weighted ? mean * s.weight[i] : mean;
            loss = logits_row(CLASSES == 2 ? s.label + i : (const int*)0, t, at, d, 0, N, (real)c[2], (real)c[3], factor);
#else
            const real each = (real)c[1], factor = weighted ? mean * each * s.weight[i] : mean * each;
            for (int j = 0; j < N; ++j) {
                const Term one = term(t[j], at[j], (real)c[2], (real)c[3], (real)c[4]);
                loss += one.value;
                d[j] = one.slope * factor;
            }
            loss *= each;
#endif
            if constexpr (!ON_LOGITS)
                for (int j = 0; j < N; ++j)
                    d[j] = backward<form_of(LAST)>(d[j], saves_input(LAST) ? z[j] : y[j], (real)f[0], (real)f[1], (real)f[2]);
        }
        row_values<0>(s, i, loss, live);
    }
    __syncthreads();
}

// Gradients of layer L and those before it: into g if first, else added to it.
template <int L>
__device__ __forceinline__ void backward_from(Tile& s, const real* __restrict__ p, real* __restrict__ g, const Settings& set, bool first) {
    constexpr int K = size_of(L), N = size_of(L + 1), SK = stride_of(L), SN = stride_of(L + 1);
    constexpr int AT_ONCE = K * N >= 4 * THREADS ? 4 : 1, GROUPS = (K + AT_ONCE - 1) / AT_ONCE;
    const real* x = s.v + in_at(L);
    const real* dz = s.v + slope_at(L);
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
    if constexpr (L > 0) {
        constexpr int R = TILE / WARPS, SS = N | 1;
        const int lane = threadIdx.x & 31, i0 = (threadIdx.x >> 5) * R;
        real* stage = s.v + stage_at();
        real* dx = s.v + slope_at(L - 1);
        const double* c = set.reals + (L - 1) * LAYER_REALS;
        const real ca = (real)c[0], cb = (real)c[1], cc = (real)c[2], on = (real)c[LAYER_REALS + 3];
        for (int k0 = 0; k0 < K; k0 += STAGE) {
            for (int e = threadIdx.x; e < STAGE * N; e += THREADS) {
                const int k = e / N, j = e % N;
                stage[k * SS + j] = k0 + k < K ? p[weight_at(L) + (k0 + k) * N + j] : (real)0;
            }
            __syncthreads();
            real acc[R] = {};
#pragma unroll 4
            for (int j = 0; j < N; ++j) {
                const real w = stage[lane * SS + j];
#pragma unroll
                for (int q = 0; q < R; ++q) acc[q] += dz[(i0 + q) * SN + j] * w;
            }
            if (k0 + lane < K) {
#pragma unroll
                for (int q = 0; q < R; ++q) {
                    const int at = (i0 + q) * SK + k0 + lane;
                    real d = acc[q];
                    if constexpr (drop_of(L) != 0) d *= s.kept[kept_at(L) + at] ? on : (real)0;
                    dx[at] = backward<form_of(L - 1)>(d, s.v[saved_at(L - 1) + at], ca, cb, cc);
                }
            }
            __syncthreads();
        }
        backward_from<L - 1>(s, p, g, set, first);
    }
}

// A whole tile: gradients into g, sums of its rows added to s.total.
__device__ __forceinline__ void chain_tile(Tile& s, const Data& data, const long long* r, const real* __restrict__ p,
                                           real* __restrict__ g, const Settings& set, long long tile, bool first) {
    const long long row0 = tile * TILE;
    gather_tile(s, data, r, set, row0);
    forward_from<0>(s, p, r, set, row0);
    loss_tile(s, r, set, data.w != 0, row0);
    backward_from<LAYERS - 1>(s, p, g, set, first);
    if (threadIdx.x < SUMS) {
        double total = first ? 0.0 : s.total[threadIdx.x];
        for (int i = 0; i < TILE; ++i) total += s.value[threadIdx.x][i];
        s.total[threadIdx.x] = total;
    }
    __syncthreads();
}
