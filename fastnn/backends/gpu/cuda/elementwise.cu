// Ops on equal shapes and along the last axis. OP: 0 add, 1 subtract, 2 multiply, 3 maximum, 4 minimum.
#ifndef OP
#define OP 0
#endif

__device__ __forceinline__ real combine(real a, real b) {
#if OP == 0
    return a + b;
#elif OP == 1
    return a - b;
#elif OP == 2
    return a * b;
#elif OP == 3
    return a != a || a > b ? a : b;           // a NaN on either side stays
#else
    return a != a || a < b ? a : b;
#endif
}

extern "C" __global__ void __launch_bounds__(256, 1)
binary(const long long* __restrict__ r, const real* __restrict__ a, const real* __restrict__ b, real* __restrict__ y,
       int units) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) y[e] = combine(a[e], b[e]);
}

// dx = dy where x was chosen (the greater, or the lesser), half of it at a tie.
extern "C" __global__ void __launch_bounds__(256, 1)
chosen_grad(const long long* __restrict__ r, const real* __restrict__ dy, const real* __restrict__ x,
            const real* __restrict__ other, real* __restrict__ dx, int units, int greater) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) {
        const real a = x[e], b = other[e], d = dy[e];
        dx[e] = (greater ? a > b : a < b) ? d : a == b ? d * (real)0.5 : (real)0;
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
scale(const long long* __restrict__ r, const real* __restrict__ x, real* __restrict__ y, int units, real factor) {
    const long long n = r[R_ROWS] * units;
    EACH(e, n) y[e] = factor * x[e];
}

// Columns from blocks of one width to blocks of another; with `pad` the other columns of y become zero.
#ifndef ITEM
#define ITEM real
#endif
extern "C" __global__ void __launch_bounds__(256, 1)
copy_columns(const long long* __restrict__ r, const ITEM* __restrict__ x, ITEM* __restrict__ y, int width, int y_width,
             int x_start, int y_start, int columns, int groups, int pad) {
    const long long n = r[R_ROWS] * groups * (pad ? y_width : columns);
    EACH(e, n) {
        const int w = pad ? y_width : columns;
        const long long i = e / w;
        const int j = (int)(e - i * w) - (pad ? y_start : 0);
        const bool inside = j >= 0 && j < columns;
        if (inside) y[i * y_width + y_start + j] = x[i * width + x_start + j];
        else y[i * y_width + y_start + j] = (ITEM)0;
    }
}
