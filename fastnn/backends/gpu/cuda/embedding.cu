// Embedding: gathering rows of a table, and adding to them.
extern "C" __global__ void __launch_bounds__(256, 1)
embedding(const long long* __restrict__ r, const int* __restrict__ index, const real* __restrict__ table,
          real* __restrict__ y, int indices, int width) {
    const long long n = r[R_ROWS] * indices * width;
    EACH(e, n) {
        const long long i = e / width;
        y[e] = table[(long long)index[i] * width + (e - i * width)];
    }
}

// dtable[index] += dy. A warp a row of the table: it reads all indices and adds the rows it finds in their order,
// so the sum does not depend on which thread came first (an atomic add would).
extern "C" __global__ void __launch_bounds__(256, 1)
embedding_grad(const long long* __restrict__ r, const int* __restrict__ index, const real* __restrict__ dy,
               real* __restrict__ dtable, int indices, int width, int size, int add) {
    const int lane = threadIdx.x & 31;
    const long long n = r[R_ROWS] * indices;
    const bool fresh = r[R_FIRST] && !add;
    for (int row = blockIdx.x * 8 + (threadIdx.x >> 5); row < size; row += gridDim.x * 8)
        for (int j0 = 0; j0 < width; j0 += 32) {
            const int j = j0 + lane;
            real total = 0;
            for (long long i0 = 0; i0 < n; i0 += 32) {
                const bool mine = i0 + lane < n && index[i0 + lane] == row;
                unsigned found = __ballot_sync(FULL, mine);
                while (found) {
                    const int k = __ffs(found) - 1;
                    found &= found - 1;
                    if (j < width) total += dy[(i0 + k) * width + j];
                }
            }
            if (j < width) {
                const long long at = (long long)row * width + j;
                dtable[at] = fresh ? total : dtable[at] + total;
            }
        }
}
