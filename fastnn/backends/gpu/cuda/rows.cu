// Who works on a row. A kernel names it `row`, and in it:
//     count, lane     so many threads share the row, and this is number `lane` of them
//     live            false past the last row: no columns, nothing written

// A thread has a row by itself: the tiles of chain.cu and net.cu, in shared memory.
struct Alone { static constexpr int count = 1, lane = 0; static constexpr bool live = true; };

// As many lanes as the columns need, 32 at most, side by side in them. A warp has the rows that follow each other, so
// what its lanes read and write together lies in whole sectors. Its lanes all stay to its last row, for the shuffles:
// those past the end are given the last row, and are not live.
struct Lanes {
    int count, lane;
    bool live;
    long long first, rows;                      // the warp's next row, and of all rows the number
    __device__ __forceinline__ Lanes(const long long* __restrict__ r, int k) {
        count = k > 16 ? 32 : k > 8 ? 16 : k > 4 ? 8 : k > 2 ? 4 : k;
        lane = threadIdx.x & (count - 1);
        live = true;
        first = (long long)(blockIdx.x * 8 + (threadIdx.x >> 5)) * (32 / count);
        rows = r[R_ROWS];
    }
    __device__ __forceinline__ bool next(long long& i) {
        if (first >= rows) return false;
        i = first + (threadIdx.x & 31) / count;
        live = i < rows;
        if (!live) i = rows - 1;
        first += (long long)gridDim.x * 8 * (32 / count);
        return true;
    }
};
#define EACH_ROW(i) for (long long i; row.next(i);)
#define OVER_COLUMNS(j, k) for (int j = row.lane; j < (row.live ? (k) : 0); j += row.count)
#define FIRST_LANE (row.live && row.lane == 0)
#define OVER_ROW(v) sum_of_row(row, v)
template <class Row, class T>
__device__ __forceinline__ T sum_of_row(const Row& row, T v) {
    for (int o = row.count >> 1; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}

// A number and its column; of a row's the largest, the first of equals. All begin with column 0's, so a NaN stays.
struct Best { real value; int at; };
template <class Row>
__device__ __forceinline__ Best best_of_lanes(const Row& row, Best best) {
    for (int o = row.count >> 1; o > 0; o >>= 1) {
        const real value = __shfl_xor_sync(FULL, best.value, o);
        const int at = __shfl_xor_sync(FULL, best.at, o);
        if (value > best.value || (value == best.value && at < best.at)) { best.value = value; best.at = at; }
    }
    return best;
}
template <class Row>
__device__ __forceinline__ Best best_of_row(const Row& row, const real* __restrict__ p, int k) {
    Best best = {p[0], 0};
    OVER_COLUMNS(j, k) { const real v = p[j]; if (v > best.value) { best.value = v; best.at = j; } }
    return best_of_lanes(row, best);
}
