// NVIDIA's own occupancy calculator (cuda_occupancy.h, plain host C++) behind a C function; no driver needed.
#include <cstddef>
#include "cuda_occupancy.h"
extern "C" int occ(int major, int minor, int threads_sm, int regs_sm, int smem_sm, int smem_blk, int smem_optin,
                   int reserved, int regs, int smem_static, int max_threads_blk, int block, int dyn, int* out) {
    cudaOccDeviceProp p;
    p.computeMajor = major;
    p.computeMinor = minor;
    p.maxThreadsPerBlock = 1024;
    p.maxThreadsPerMultiprocessor = threads_sm;
    p.regsPerBlock = 65536;
    p.regsPerMultiprocessor = regs_sm;
    p.warpSize = 32;
    p.sharedMemPerBlock = smem_blk;
    p.sharedMemPerMultiprocessor = smem_sm;
    p.numSms = 1;
    p.sharedMemPerBlockOptin = smem_optin;
    p.reservedSharedMemPerBlock = reserved;
    cudaOccFuncAttributes f;
    f.maxThreadsPerBlock = max_threads_blk;
    f.numRegs = regs;
    f.sharedSizeBytes = smem_static;
    f.partitionedGCConfig = PARTITIONED_GC_OFF;
    f.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    f.maxDynamicSharedSizeBytes = smem_optin - smem_static;
    f.numBlockBarriers = 1;
    cudaOccDeviceState s;
    s.cacheConfig = CACHE_PREFER_NONE;
    s.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
    cudaOccResult r;
    cudaOccError e = cudaOccMaxActiveBlocksPerMultiprocessor(&r, &p, &f, &s, block, dyn);
    out[0] = r.activeBlocksPerMultiprocessor;
    out[1] = r.limitingFactors;
    return (int)e;
}
