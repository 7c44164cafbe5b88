// The access profile of runtime.cpp: coalescing and bank conflicts. Included there, after the fibers.
#pragma once

// The k-th time that the lanes of a warp execute one access counts as one warp-wide request. Patterns add them up by
// the address of the code.
struct Pattern {
    uint64_t requests = 0, sectors = 0, ideal = 0, ways = 0, bytes = 0;
    bool shared = false, write = false;
};
struct Request {
    uint64_t addr[32];
    uint32_t mask = 0, size = 0;
    const void* pc = nullptr;
    bool shared = false, write = false;
};
static bool profiling;
static std::map<const void*, Pattern> patterns;
static std::unordered_map<uint64_t, Request> requests;
static std::unordered_map<uint64_t, uint32_t> pc_count;
static void profile_access(Fiber* f, const void* p, unsigned size, bool write, const void* pc, bool shared) {
    uint32_t k = pc_count[((uint64_t)pc << 11) ^ f->tno]++;
    Request& r = requests[((uint64_t)pc * 0x9E3779B97F4A7C15ull) ^ ((uint64_t)(f->tno / 32) << 40) ^ k];
    r.addr[f->lane] = (uint64_t)p;
    r.mask |= 1u << f->lane;
    r.size = size;
    r.pc = pc;
    r.shared = shared;
    r.write = write;
}
static void profile_block_end() {
    for (auto& [key, r] : requests) {
        Pattern& t = patterns[r.pc];
        t.shared = r.shared;
        t.write = r.write;
        ++t.requests;
        if (r.shared) {  // banks: 4 bytes wide, 32 of them; 8- and 16-byte accesses go in 2 and 4 phases
            unsigned phases = r.size <= 4 ? 1 : r.size / 4, lanes = 32 / phases;
            uint64_t ways = 0;
            for (unsigned ph = 0; ph < phases; ++ph) {
                uint64_t words[32 * 4];
                unsigned n = 0, per[32] = {}, m = 0;
                for (unsigned l = ph * lanes; l < (ph + 1) * lanes; ++l)
                    if (r.mask >> l & 1)
                        for (unsigned w = 0; w < (r.size + 3) / 4; ++w) {
                            uint64_t x = r.addr[l] / 4 + w;
                            if (std::find(words, words + n, x) == words + n) {
                                words[n++] = x;
                                m = std::max(m, ++per[x % 32]);
                            }
                        }
                ways += m;
            }
            t.ways += ways;
            t.ideal += phases;
        } else {
            uint64_t sec[64];
            unsigned n = 0;
            uint64_t bytes = 0;
            for (unsigned l = 0; l < 32; ++l)
                if (r.mask >> l & 1) {
                    bytes += r.size;
                    for (uint64_t x = r.addr[l] / 32; x <= (r.addr[l] + r.size - 1) / 32 && n < 64; ++x)
                        if (std::find(sec, sec + n, x) == sec + n) sec[n++] = x;
                }
            t.sectors += n;
            t.bytes += bytes;
            t.ideal += (bytes + 31) / 32;
        }
    }
    requests.clear();
    pc_count.clear();
}
