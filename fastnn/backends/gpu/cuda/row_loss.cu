// Loss, metrics and the slope of the loss over a tile of rows, and with it the whole of a tile, whatever chain.cu or net.cu
// has put between its inputs and its output.
__device__ __forceinline__ void gather_targets(Tile& s, const Data& data) {
    constexpr int N = end_width();
    const int tid = threadIdx.x;
    if constexpr (CLASSES == 2) {
        if (tid < TILE) s.label[tid] = s.row[tid] >= 0 ? (int)data.t[s.row[tid] * data.t_row] : 0;
    } else {
        constexpr int LANES = lanes_for(N);
        for (int group = tid / LANES; group < TILE; group += THREADS / LANES) {
            const int i = row_apart<LANES>(group);
            for (int j = tid % LANES; j < N; j += LANES)
                s.v[target_at() + i * end_stride() + j] = s.row[i] >= 0 ? (real)data.t[s.row[i] * data.t_row + j * data.t_column] : (real)0;
        }
    }
    if (tid < TILE) s.weight[tid] = s.row[tid] >= 0 && data.w ? (real)data.w[s.row[tid] * data.w_row] : (real)1;
}

// What row i adds to sum S.
template <int S>
__device__ __forceinline__ double row_value(const Tile& s, int i, real loss) {
    constexpr int KIND = kind_of(S), N = end_width(), SN = end_stride();
    const double weight = (double)s.weight[i];
    if constexpr (KIND == SUM_loss) return weighted_of(S) ? (double)loss * weight : (double)loss;
    if constexpr (KIND == SUM_weights) return weight;
    const real* y = s.v + end_at() + i * SN;
    const real* t = s.v + target_at() + i * SN;
    double v = 0;
    if constexpr (KIND == SUM_categorical_accuracy || KIND == SUM_sparse_categorical_accuracy) {
        const int answer = KIND == SUM_sparse_categorical_accuracy ? s.label[i] : best_of_row(Alone(), t, N).at;
        real bad = y[0];
        for (int j = 1; j < N; ++j) bad = y[j] == y[j] ? bad : y[j];
        v = bad == bad ? (best_of_row(Alone(), y, N).at == answer ? 1.0 : 0.0) : (double)bad;
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
    constexpr int N = end_width(), SN = end_stride();
    const double* c = set.reals + ITEMS * LAYER_REALS;
    const double* f = set.reals + (ITEMS - 1) * LAYER_REALS;
    const int i = threadIdx.x;
    if (i < TILE) {
        real* d = s.v + end_slope_at() + i * SN;
        const real* z = s.v + end_sums_at() + i * SN;
        real* y = s.v + end_at() + i * SN;
        const bool live = row0 + i < r[R_ROWS];
        real loss = 0;
        if (!live) {
            for (int j = 0; j < N; ++j) d[j] = 0;
        } else {
            const real mean = (real)(set.ints[ITEMS * LAYER_INTS] ? c[0] / (double)r[R_BATCH] : c[0]);
            const real* t = s.v + target_at() + i * SN;
#if SOFTMAX
            const real top = best_of_row(Alone(), z, N).value;
            real mass = 0;
            for (int j = 0; j < N; ++j) mass += F(exp)(z[j] - top);
            const real part = (real)1 / mass;
            for (int j = 0; j < N; ++j) y[j] = F(exp)(z[j] - top) * part;
#endif
            const real* at = ON_LOGITS ? z : y;
#if CLASSES
            const real factor = weighted ? mean * s.weight[i] : mean;
            loss = logits_row(Alone(), CLASSES == 2 ? s.label + i : (const int*)0, t, at, d, 0, N, (real)c[2], (real)c[3], factor);
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
                    d[j] = backward<END_FORM>(d[j], END_SAVES_INPUT ? z[j] : y[j], (real)f[0], (real)f[1], (real)f[2]);
        }
        row_values<0>(s, i, loss, live);
    }
    __syncthreads();
}

// A whole tile: gradients into g, sums of its rows added to s.total. Rows past the end have no number.
__device__ __forceinline__ void whole_tile(Tile& s, const Data& data, const long long* r, const real* __restrict__ p,
                                           real* __restrict__ g, const Settings& set, long long tile, bool first) {
    const long long row0 = tile * TILE, row = row0 + threadIdx.x;
    if (threadIdx.x < TILE) s.row[threadIdx.x] = row < r[R_ROWS] ? row_at(r[R_POSITION] + r[R_ROW0] + row, r) : -1;
    __syncthreads();
    gather_inputs(s, data, r, set, row0);
    gather_targets(s, data);
    __syncthreads();
    forward_tile(s, p, r, set, row0);
    loss_tile(s, r, set, data.w != 0, row0);
    backward_tile(s, p, g, set, first);
    if (threadIdx.x < SUMS) {
        double total = first ? 0.0 : s.total[threadIdx.x];
        for (int i = 0; i < TILE; ++i) total += s.value[threadIdx.x][i];
        s.total[threadIdx.x] = total;
    }
    __syncthreads();
}
