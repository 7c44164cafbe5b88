// A stack of dense layers over a tile of rows by a block of 256 threads: gather, forward, backward and the gradients of the
// weights, with everything between them in shared memory. Sizes are macros (see chain.py, tiles.cu):
//   LAYERS; SIZES: the width of the input and of each layer; FORMS: the activation of each layer, SAVES: 1 where its
//   derivative is taken at the input; DROPS: 1 dropout, 2 alpha dropout on a layer's input; W_AT, B_AT: where weights and
//   biases (-1: none) begin in the flat vector.
#ifndef STEPS
#define ITEMS LAYERS
LIST(size_of, SIZES)

// ---- where the tile's arrays lie.
__device__ constexpr int stride_of(int l) { return padded(size_of(l)); }
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
// The output, the sums before its activation and their slopes: what row_loss.cu works on.
#define END_FORM form_of(LAYERS - 1)
#define END_SAVES_INPUT saves_input(LAYERS - 1)
__device__ constexpr int end_width() { return size_of(LAYERS); }
__device__ constexpr int end_stride() { return stride_of(LAYERS); }
__device__ constexpr int end_at() { return in_at(LAYERS); }
__device__ constexpr int end_sums_at() { return saved_at(LAYERS - 1); }
__device__ constexpr int end_slope_at() { return slope_at(LAYERS - 1); }

// The input's rows into the tile; rows past the end are zeros.
__device__ __forceinline__ void gather_inputs(Tile& s, const Data& data, const long long* r, const Settings& set, long long row0) {
    constexpr int K = size_of(0), LANES = lanes_for(K);
    const int tid = threadIdx.x;
    for (int group = tid / LANES; group < TILE; group += THREADS / LANES) {
        const int i = row_apart<LANES>(group);
        for (int k = tid % LANES; k < K; k += LANES) {
            real x = 0;
            if (s.row[i] >= 0) x = (real)data.x[s.row[i] * data.x_row + k * data.x_column];
            if constexpr (drop_of(0) != 0) x = dropped<0, K>(x, s.kept[kept_at(0) + i * stride_of(0) + k], r, set, r[R_ROW0] + row0 + i, k);
            s.v[in_at(0) + i * stride_of(0) + k] = x;
        }
    }
}

// Layer L and those after it.
template <int L>
__device__ __forceinline__ void forward_from(Tile& s, const real* __restrict__ p, const long long* r, const Settings& set,
                                             long long row0) {
    constexpr int K = size_of(L), N = size_of(L + 1), SN = stride_of(L + 1);
    constexpr bool LAST = L == LAYERS - 1;
    const double* c = set.reals + L * LAYER_REALS;
    const real ca = (real)c[0], cb = (real)c[1], cc = (real)c[2];
    product_tile<K, N, stride_of(L)>(s.v + in_at(L), p + weight_at(L), [&](int i, int j, real z) {
        if constexpr (bias_at(L) >= 0) z += p[bias_at(L) + j];
        real y = forward<form_of(L)>(z, ca, cb, cc);
        if constexpr (apart(L)) s.v[saved_at(L) + i * SN + j] = LAST || saves_input(L) ? z : y;
        if constexpr (!LAST) {
            if constexpr (drop_of(L + 1) != 0) y = dropped<L + 1, N>(y, s.kept[kept_at(L + 1) + i * SN + j], r, set, r[R_ROW0] + row0 + i, j);
        }
        s.v[in_at(L + 1) + i * SN + j] = y;
    });
    __syncthreads();
    if constexpr (!LAST) forward_from<L + 1>(s, p, r, set, row0);
}

// Gradients of layer L and those before it: into g if first, else added to it.
template <int L>
__device__ __forceinline__ void backward_from(Tile& s, const real* __restrict__ p, real* __restrict__ g, const Settings& set, bool first) {
    constexpr int K = size_of(L), N = size_of(L + 1), SK = stride_of(L), SN = stride_of(L + 1);
    const real* dz = s.v + slope_at(L);
    weights_tile<L, K, N, SK, SN>(s.v + in_at(L), dz, g, first);
    if constexpr (L > 0) {
        real* dx = s.v + slope_at(L - 1);
        const double* c = set.reals + (L - 1) * LAYER_REALS;
        const real ca = (real)c[0], cb = (real)c[1], cc = (real)c[2], on = (real)c[LAYER_REALS + 3];
        slopes_tile<K, N, SN>(dz, p + weight_at(L), s.v + stage_at(), [&](int i, int k, real d) {
            const int at = i * SK + k;
            if constexpr (drop_of(L) != 0) d *= s.kept[kept_at(L) + at] ? on : (real)0;
            dx[at] = backward<form_of(L - 1)>(d, s.v[saved_at(L - 1) + at], ca, cb, cc);
        });
        backward_from<L - 1>(s, p, g, set, first);
    }
}

__device__ __forceinline__ void forward_tile(Tile& s, const real* __restrict__ p, const long long* r, const Settings& set, long long row0) {
    forward_from<0>(s, p, r, set, row0);
}
__device__ __forceinline__ void backward_tile(Tile& s, const real* __restrict__ p, real* __restrict__ g, const Settings& set, bool first) {
    backward_from<LAYERS - 1>(s, p, g, set, first);
}
#endif
