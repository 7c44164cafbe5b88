// A network of a few steps over a tile of rows by a block of 256 threads: what chain.cu does for a plain stack, for layers that
// are joined in any order. A value is a block of columns of a tile in shared memory; concatenation is where values lie. The
// slopes by the values lie in tiles of their own; they start as zeros and every reader of a value adds to its slope.
//   STEPS; STEP_KINDS; READS, READS_TOO: the values a step reads (of numbers and an embedding READS is the input); WRITES: the
//   value it gives; VALUES; WIDTHS; HOMES: in which value's tile each lies (its own: a tile), from COLUMNS on; SLOPED: 1 where
//   a slope is wanted; TABLES,
//   DIMENSIONS: of an embedding's table; FORMS, SAVES, DROPS, W_AT, B_AT: as in chain.cu, of each step.
// The last step is a dense layer; the loss follows it. Loops over a tile stay loops: unrolled they took half as many registers
// more and each is a few turns.
#ifdef STEPS
#define ITEMS STEPS
#define STEP_numbers 0
#define STEP_embedding 1
#define STEP_dense 2
#define STEP_add 3
#define STEP_activation 4
#define STEP_drop 5
LIST(step_of, STEP_KINDS)
LIST(read_of, READS)
LIST(also_read, READS_TOO)
LIST(write_of, WRITES)
LIST(width_of, WIDTHS)
LIST(home_of, HOMES)
LIST(column_of, COLUMNS)
LIST(sloped, SLOPED)
LIST(table_of, TABLES)
LIST(dimension_of, DIMENSIONS)

// ---- where things lie
__device__ constexpr int stride_of(int v) { return padded(width_of(home_of(v))); }
__device__ constexpr int home_at(int v) {
    int at = 0;
    for (int i = 0; i < v; ++i) at += home_of(i) == i ? TILE * stride_of(i) : 0;
    return at;
}
__device__ constexpr int value_at(int v) { return home_at(home_of(v)) + column_of(v); }
__device__ constexpr int slope_home(int v) {
    int at = home_at(VALUES);
    for (int i = 0; i < v; ++i) at += home_of(i) == i && sloped(i) ? TILE * stride_of(i) : 0;
    return at;
}
__device__ constexpr int slope_at(int v) { return slope_home(home_of(v)) + column_of(v); }
// The sums before an activation: where its derivative is taken at them, and of the last layer.
__device__ constexpr bool apart(int s) {
    return step_of(s) == STEP_dense && (saves_input(s) || (s == STEPS - 1 && (form_of(s) != FORM_linear || SOFTMAX)));
}
__device__ constexpr int sums_at(int s) {
    int at = slope_home(VALUES);
    for (int i = 0; i < s; ++i) at += apart(i) ? TILE * padded(width_of(write_of(i))) : 0;
    return at;
}
__device__ constexpr int target_at() { return sums_at(STEPS); }
__device__ constexpr int stage_at() { return target_at() + (CLASSES == 2 ? 0 : TILE * stride_of(write_of(STEPS - 1))); }
__device__ constexpr int tile_reals() {
    int most = 0;
    for (int s = 0; s < STEPS; ++s) {
        const int width = step_of(s) == STEP_dense && sloped(read_of(s)) ? padded(width_of(write_of(s))) : 0;
        most = width > most ? width : most;
    }
    return stage_at() + STAGE * most;
}
__device__ constexpr int indices_of(int s) { return width_of(write_of(s)) / dimension_of(s); }
// Which elements dropout keeps, and the rows of its table that an embedding reads.
__device__ constexpr int kept_at(int s) {
    int at = 0;
    for (int i = 0; i < s; ++i) at += drop_of(i) ? TILE * width_of(write_of(i)) : 0;
    return at;
}
__device__ constexpr int index_at(int s) {
    int at = 0;
    for (int i = 0; i < s; ++i) at += step_of(i) == STEP_embedding ? TILE * indices_of(i) : 0;
    return at;
}

struct Tile {
    real v[tile_reals()];
    double value[SUMS][TILE], total[SUMS];
    long long row[TILE];
    real weight[TILE];
    int label[TILE];
    int kept[kept_at(STEPS) ? kept_at(STEPS) : 1];
    int index[index_at(STEPS) ? index_at(STEPS) : 1];
};
// The output, the sums before its activation and their slopes: what row_loss.cu works on.
#define END_FORM form_of(STEPS - 1)
#define END_SAVES_INPUT saves_input(STEPS - 1)
__device__ constexpr int end_value() { return write_of(STEPS - 1); }
__device__ constexpr int end_width() { return width_of(end_value()); }
__device__ constexpr int end_stride() { return stride_of(end_value()); }
__device__ constexpr int end_at() { return value_at(end_value()); }
__device__ constexpr int end_sums_at() { return apart(STEPS - 1) ? sums_at(STEPS - 1) : end_at(); }
__device__ constexpr int end_slope_at() { return slope_at(end_value()); }

// Element e of a tile's W columns: in a tile of 32 neighbouring lanes take neighbouring rows, and so every bank once.
__device__ __forceinline__ int row_of(int e, int w) { return TILE == 32 ? e % TILE : e / w; }
__device__ __forceinline__ int column_of_row(int e, int w) { return TILE == 32 ? e / TILE : e % w; }

// Element (i, j) of an input.
template <int INPUT, class To>
__device__ __forceinline__ To item(const Data& data, long long i, int j) {
    if constexpr (INPUT == 0) return (To)data.x[i * data.x_row + j * data.x_column];
    if constexpr (INPUT == 1) return (To)data.x1[i * data.x1_row + j * data.x1_column];
    if constexpr (INPUT == 2) return (To)data.x2[i * data.x2_row + j * data.x2_column];
    if constexpr (INPUT == 3) return (To)data.x3[i * data.x3_row + j * data.x3_column];
}

// What step S and those after it read of the inputs; rows past the end are zeros, and rows -1 of a table.
template <int S>
__device__ __forceinline__ void gather_from(Tile& s, const Data& data) {
    constexpr int IN = read_of(S), OUT = write_of(S), W = width_of(OUT), LANES = lanes_for(W);
    if constexpr (step_of(S) == STEP_numbers)
#pragma unroll 1
        for (int group = threadIdx.x / LANES; group < TILE; group += THREADS / LANES) {
            const int i = row_apart<LANES>(group);
            for (int j = threadIdx.x % LANES; j < W; j += LANES)
                s.v[value_at(OUT) + i * stride_of(OUT) + j] = s.row[i] >= 0 ? item<IN, real>(data, s.row[i], j) : (real)0;
        }
    if constexpr (step_of(S) == STEP_embedding) {
        constexpr int M = indices_of(S);
#pragma unroll 1
        for (int e = threadIdx.x; e < TILE * M; e += THREADS)
            s.index[index_at(S) + e] = s.row[e / M] >= 0 ? item<IN, int>(data, s.row[e / M], e % M) : -1;
    }
    if constexpr (S + 1 < STEPS) gather_from<S + 1>(s, data);
}
__device__ __forceinline__ void gather_inputs(Tile& s, const Data& data, const long long*, const Settings&, long long) {
    gather_from<0>(s, data);
#pragma unroll 1
    for (int e = home_at(VALUES) + threadIdx.x; e < slope_home(VALUES); e += THREADS) s.v[e] = 0;
}

// Step S and those after it.
template <int S>
__device__ __forceinline__ void forward_from(Tile& s, const real* __restrict__ p, const long long* r, const Settings& set, long long row0) {
    constexpr int KIND = step_of(S), IN = read_of(S), OUT = write_of(S), W = width_of(OUT), SN = stride_of(OUT);
    const double* c = set.reals + S * LAYER_REALS;
    const real ca = (real)c[0], cb = (real)c[1], cc = (real)c[2];
    real* y = s.v + value_at(OUT);
    if constexpr (KIND == STEP_dense) {
        product_tile<width_of(IN), W, stride_of(IN)>(s.v + value_at(IN), p + weight_at(S), [&](int i, int j, real z) {
            if constexpr (bias_at(S) >= 0) z += p[bias_at(S) + j];
            if constexpr (apart(S)) s.v[sums_at(S) + i * padded(W) + j] = z;
            y[i * SN + j] = forward<form_of(S)>(z, ca, cb, cc);
        });
    } else if constexpr (KIND != STEP_numbers) {
#pragma unroll 1
        for (int e = threadIdx.x; e < TILE * W; e += THREADS) {
            const int i = row_of(e, W), j = column_of_row(e, W);
            real v = 0;
            if constexpr (KIND == STEP_embedding) {
                constexpr int D = dimension_of(S);
                const int row = s.index[index_at(S) + i * indices_of(S) + j / D];
                if (row >= 0) v = p[weight_at(S) + row * D + j % D];
            } else {
                v = s.v[value_at(IN) + i * stride_of(IN) + j];
                if constexpr (KIND == STEP_add) v += s.v[value_at(also_read(S)) + i * stride_of(also_read(S)) + j];
                if constexpr (KIND == STEP_activation) v = forward<form_of(S)>(v, ca, cb, cc);
                if constexpr (KIND == STEP_drop) v = dropped<S, W>(v, s.kept[kept_at(S) + e], r, set, r[R_ROW0] + row0 + i, j);
            }
            y[i * SN + j] = v;
        }
    }
    if constexpr (KIND != STEP_numbers) __syncthreads();
    if constexpr (S + 1 < STEPS) forward_from<S + 1>(s, p, r, set, row0);
}

// The gradient of an embedding's table: each number by one thread, over the rows in their order.
template <int S>
__device__ __forceinline__ void table_tile(const Tile& s, real* __restrict__ g, bool first) {
    constexpr int OUT = write_of(S), D = dimension_of(S), M = indices_of(S);
#pragma unroll 1
    for (int e = threadIdx.x; e < table_of(S) * D; e += THREADS) {
        const int row = e / D, j = e % D;
        real total = 0;
#pragma unroll 4
        for (int k = 0; k < TILE * M; ++k)
            if (s.index[index_at(S) + k] == row) total += s.v[slope_at(OUT) + k / M * stride_of(OUT) + k % M * D + j];
        real* at = g + weight_at(S) + e;
        *at = first ? total : *at + total;
    }
}

// Slopes by what step S reads, and its gradients, by the slope of what it gives; then those of the steps before it.
template <int S>
__device__ __forceinline__ void backward_from(Tile& s, const real* __restrict__ p, real* __restrict__ g, const Settings& set, bool first) {
    constexpr int KIND = step_of(S), IN = read_of(S), OUT = write_of(S), W = width_of(OUT), SN = stride_of(OUT);
    const double* c = set.reals + S * LAYER_REALS;
    const real ca = (real)c[0], cb = (real)c[1], cc = (real)c[2];
    real* dy = s.v + slope_at(OUT);
    if constexpr (KIND == STEP_dense) {
        constexpr int K = width_of(IN), SK = stride_of(IN);
        if constexpr (S < STEPS - 1 && form_of(S) != FORM_linear) {
#pragma unroll 1
            for (int e = threadIdx.x; e < TILE * W; e += THREADS) {
                const int i = row_of(e, W), j = column_of_row(e, W);
                const real at = s.v[apart(S) ? sums_at(S) + i * padded(W) + j : value_at(OUT) + i * SN + j];
                dy[i * SN + j] = backward<form_of(S)>(dy[i * SN + j], at, ca, cb, cc);
            }
            __syncthreads();
        }
        weights_tile<S, K, W, SK, SN>(s.v + value_at(IN), dy, g, first);
        if constexpr (sloped(IN))
            slopes_tile<K, W, SN>(dy, p + weight_at(S), s.v + stage_at(), [&](int i, int k, real d) {
                s.v[slope_at(IN) + i * SK + k] += d;
            });
    } else if constexpr (KIND == STEP_embedding) {
        table_tile<S>(s, g, first);
    } else if constexpr (sloped(OUT)) {
#pragma unroll 1
        for (int e = threadIdx.x; e < TILE * W; e += THREADS) {
            const int i = row_of(e, W), j = column_of_row(e, W);
            real d = dy[i * SN + j];
            if constexpr (KIND == STEP_activation)
                d = backward<form_of(S)>(d, s.v[saves_input(S) ? value_at(IN) + i * stride_of(IN) + j : value_at(OUT) + i * SN + j], ca, cb, cc);
            if constexpr (KIND == STEP_drop) d *= s.kept[kept_at(S) + e] ? (real)c[3] : (real)0;
            if constexpr (sloped(IN)) s.v[slope_at(IN) + i * stride_of(IN) + j] += d;
            if constexpr (KIND == STEP_add && sloped(also_read(S))) s.v[slope_at(also_read(S)) + i * stride_of(also_read(S)) + j] += d;
        }
        __syncthreads();
    }
    if constexpr (S > 0) backward_from<S - 1>(s, p, g, set, first);
}

__device__ __forceinline__ void forward_tile(Tile& s, const real* __restrict__ p, const long long* r, const Settings& set, long long row0) {
    forward_from<0>(s, p, r, set, row0);
}
__device__ __forceinline__ void backward_tile(Tile& s, const real* __restrict__ p, real* __restrict__ g, const Settings& set, bool first) {
    backward_from<STEPS - 1>(s, p, g, set, first);
}
#endif
