// Stands before every source. No includes; `real` is float or double; sizes that tune a kernel come as macros.
// Conventions: `r` are the registers (registers.py); a kernel of rows guards by r[R_ROWS]; row offsets are long long.
typedef REAL real;
typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef long long i64;
#define FULL 0xffffffffu
#ifndef NAN                                     // NVRTC has no <math.h>
#define NAN __int_as_float(0x7fffffff)
#define INFINITY __int_as_float(0x7f800000)
#endif

#if REAL_IS_FLOAT
#define F(name) name##f
#else
#define F(name) name
#endif
__device__ __forceinline__ real r_sigmoid(real x) { return (real)1 / ((real)1 + F(exp)(-x)); }
__device__ __forceinline__ real r_softplus(real x) {              // max(x, 0) + log(1 + exp(-|x|)); a NaN stays
    const real top = x < (real)0 ? (real)0 : x;
    return top + F(log1p)(F(exp)(-F(fabs)(x)));
}

#define EACH(e, n) for (long long e = (long long)blockIdx.x * blockDim.x + threadIdx.x; e < (n); e += (long long)gridDim.x * blockDim.x)

__device__ __forceinline__ real warp_sum(real v) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}
#if REAL_IS_FLOAT
__device__ __forceinline__ double warp_sum(double v) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(FULL, v, o);
    return v;
}
#endif
__device__ __forceinline__ real warp_max(real v) {
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) { const real w = __shfl_xor_sync(FULL, v, o); v = w > v ? w : v; }
    return v;
}

// The sum over a block of 256 threads, in a fixed order; every thread gets it. All threads must call it.
__device__ __forceinline__ double block_sum(double v) {
    __shared__ double part[8];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    v = warp_sum(v);
    __syncthreads();                       // the previous call's readers are done
    if (lane == 0) part[warp] = v;
    __syncthreads();
    double total = 0;
#pragma unroll
    for (int k = 0; k < 8; ++k) total += part[k];
    return total;
}

// ---- random numbers: twins of fastnn.random, bit for bit (Salmon et al. 2011, Philox4x32-7)
struct Words { unsigned x, y, z, w; };
__device__ __forceinline__ Words philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, unsigned k0, unsigned k1) {
#pragma unroll
    for (int i = 0; i < 7; ++i) {
        const unsigned h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
        const unsigned h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0; c1 = l1; c2 = h0 ^ c3 ^ k1; c3 = l0;
        k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
    }
    const Words out = {c0, c1, c2, c3};
    return out;
}
__device__ __forceinline__ unsigned mix(unsigned value, unsigned key) {
    unsigned h = value ^ key;
    h ^= h >> 16; h *= 0x85EBCA6Bu; h ^= h >> 13; h *= 0xC2B2AE35u;
    return h ^ (h >> 16);
}
__device__ __forceinline__ unsigned turn(unsigned side, unsigned other, unsigned key, unsigned modulus) {
    const unsigned moved = side + __umulhi(mix(other, key), modulus);
    return moved >= modulus ? moved - modulus : moved;
}
__device__ __forceinline__ unsigned feistel(unsigned index, const long long* __restrict__ r) {
    const unsigned a = (unsigned)r[R_SIDE_A], b = (unsigned)r[R_SIDE_B];
    unsigned right = index / a, left = index - right * a;
    right = turn(right, left, (unsigned)r[R_KEY0], b);
    left = turn(left, right, (unsigned)r[R_KEY1], a);
    right = turn(right, left, (unsigned)r[R_KEY2], b);
    left = turn(left, right, (unsigned)r[R_KEY3], a);
    return right * a + left;
}
// The data's row at a position of the epoch's order.
__device__ __forceinline__ long long row_at(long long position, const long long* __restrict__ r) {
    if (r[R_SHUFFLE] == 0 || r[R_TOTAL] < 2) return position - r[R_STAGED];
    const unsigned total = (unsigned)r[R_TOTAL];
    unsigned row = (unsigned)position;
    do row = feistel(row, r); while (row >= total);
    return (long long)row;
}
