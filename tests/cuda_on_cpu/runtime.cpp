// Runtime of cuda_shim.h: fibers, barriers, warp operations, launches; checker.h and profile.h are parts of it. Never
// instrumented itself.
//
// A block's threads are fibers on stacks of their own. A fiber runs until it has to wait for others: at a barrier of
// the block, of the grid, or at an operation of its warp. The scheduler then resumes the next one, in the order asked
// for, and releases those who wait when all whom they wait for have come. What CUDA leaves undefined (a barrier that
// some threads never reach, lanes of one mask at different operations, a lane outside its mask) is an error here.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <string>
#include <vector>
#include <map>
#include <unordered_map>
#include <sys/mman.h>
extern "C" {
extern char __start_cu_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_cu_shared[] __attribute__((weak, visibility("hidden")));
}
struct uint3 {
    unsigned x, y, z;
};
namespace cushim {
enum State : uint8_t { FRESH, READY, WAIT_BLOCK, WAIT_WARP, WAIT_GRID, DONE };
enum Op : uint8_t { OP_SHFL, OP_BALLOT, OP_ANY, OP_ALL, OP_SYNCWARP, OP_MATCH, OP_REDADD, OP_MMA };
struct Where {
    uint3 tid, bid;
    unsigned lane;
};
struct Fiber : Where {
    void* sp = nullptr;  // its saved stack pointer
    char* stack = nullptr;
    State st = FRESH;
    Op op{};  // the warp operation it waits at, with the lanes it names, what it gives and what it gets
    uint8_t src = 0, size = 0;
    int line = 0;
    unsigned mask = 0, value = 0, result = 0;
    alignas(16) char val[16];
    char out[16];
    float ma[4], mb[2], mc[4];
    // For the checker: its number in the grid (from 1), its block, its number in the block, how many __syncwarp() and
    // how many barriers it has passed, and up to which __syncwarp() it has seen each lane of its warp.
    uint32_t gid = 0, block = 0, tno = 0, clock = 1, bclock = 1;
    uint32_t* vc = nullptr;
};
struct Config {
    int order = 0;
    uint64_t seed = 1;
    int poison = 1, trap_exit = 1;
} cfg;  // order 0 forward, 1 reverse, 2 random
Where* cur;
uint3 grid_, block_;
char* dyn_base;
static void *sched_sp, *entry_arg;
static void (*entry)(void*);
static std::string error;
static uint64_t n_switch, n_access;
static std::vector<char*> pool;
static std::vector<char> dyn;
static std::vector<Fiber> fs;
static std::vector<uint32_t> vcs;
static size_t dyn_size;
static uint32_t grid_epoch;
constexpr size_t STACK = 1 << 16;

extern "C" void cushim_switch(void** save, void* load);
#if defined(__x86_64__)
asm(".text\n.hidden cushim_switch\n.globl cushim_switch\ncushim_switch:\n pushq %rbp\n pushq %rbx\n pushq %r12\n "
    "pushq %r13\n pushq %r14\n pushq %r15\n"
    " movq %rsp, (%rdi)\n movq %rsi, %rsp\n popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n "
    "ret\n");
#elif defined(__aarch64__)
asm(".text\n.hidden cushim_switch\n.globl cushim_switch\ncushim_switch:\n sub sp, sp, #160\n stp x19, x20, [sp,#0]\n "
    "stp x21, x22, [sp,#16]\n stp x23, x24, [sp,#32]\n"
    " stp x25, x26, [sp,#48]\n stp x27, x28, [sp,#64]\n stp x29, x30, [sp,#80]\n stp d8, d9, [sp,#96]\n stp d10, "
    "d11, [sp,#112]\n stp d12, d13, [sp,#128]\n stp d14, d15, [sp,#144]\n"
    " mov x9, sp\n str x9, [x0]\n mov sp, x1\n ldp x19, x20, [sp,#0]\n ldp x21, x22, [sp,#16]\n ldp x23, x24, "
    "[sp,#32]\n ldp x25, x26, [sp,#48]\n ldp x27, x28, [sp,#64]\n"
    " ldp x29, x30, [sp,#80]\n ldp d8, d9, [sp,#96]\n ldp d10, d11, [sp,#112]\n ldp d12, d13, [sp,#128]\n ldp d14, "
    "d15, [sp,#144]\n add sp, sp, #160\n ret\n");
#else
#error "port cushim_switch (or use ucontext)"
#endif
static Fiber* me() { return static_cast<Fiber*>(cur); }
static void fail(const Fiber* f, const char* what) {
    if (!error.empty()) return;
    char b[600];
    snprintf(b, sizeof b, "block (%u,%u,%u) thread (%u,%u,%u) line %d: %s", f->bid.x, f->bid.y, f->bid.z, f->tid.x,
             f->tid.y, f->tid.z, f->line, what);
    error = b;
}
static void to_scheduler() {
    Fiber* f = me();
    ++n_switch;
    cushim_switch(&f->sp, sched_sp);
}
static void wait(State s, int line) {
    Fiber* f = me();
    f->line = line;
    f->st = s;
    to_scheduler();
    if (!error.empty()) {
        f->st = DONE;
        to_scheduler();
    }  // the launch is being abandoned
}
void block_wait(int line) { wait(WAIT_BLOCK, line); }
void grid_wait(int line) { wait(WAIT_GRID, line); }
static void warp_wait(Op op, int line, unsigned mask) {
    Fiber* f = me();
    f->line = line;
    if (!(mask >> f->lane & 1)) fail(f, "the calling lane is not in the mask it names");
    f->op = op;
    f->mask = mask;
    wait(WAIT_WARP, line);
}
unsigned vote(Op op, int line, unsigned mask, unsigned value) {
    size_t n = (size_t)block_.x * block_.y * block_.z, t0 = me()->tno / 32 * 32, live = std::min<size_t>(32, n - t0);
    if (op == OP_SYNCWARP && mask == ~0u && live < 32) mask = (1u << live) - 1;  // __syncwarp() in a short last warp
    me()->value = value;
    warp_wait(op, line, mask);
    return me()->result;
}
void shfl_bytes(int line, unsigned mask, void* v, unsigned size, int src) {
    Fiber* f = me();
    if (size > 16) {
        f->line = line;
        fail(f, "shuffle of more than 16 bytes");
    }
    f->src = (uint8_t)src;
    f->size = (uint8_t)size;
    memcpy(f->val, v, size);
    warp_wait(OP_SHFL, line, mask);
    memcpy(v, f->out, size);
}
static float tf32(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    u += 0xfffu + ((u >> 13) & 1);
    u &= ~0x1fffu;
    memcpy(&f, &u, 4);
    return f;
}
void mma_bytes(int line, const float* a, const float* b, const float* c, float* d) {
    Fiber* f = me();
    memcpy(f->ma, a, 16);
    memcpy(f->mb, b, 8);
    memcpy(f->mc, c, 16);
    warp_wait(OP_MMA, line, ~0u);
    memcpy(d, f->mc, 16);
}
extern "C" void cushim_main() {
    entry(entry_arg);
    me()->st = DONE;
    to_scheduler();
    __builtin_unreachable();
}
static void resume(Fiber* f) {
    if (f->st == FRESH) {
        if (pool.empty()) {
            void* p =
                mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (p == MAP_FAILED) {
                perror("cushim stack");
                abort();
            }
            pool.push_back((char*)p);
        }
        f->stack = pool.back();
        pool.pop_back();
        void** s = (void**)(f->stack + STACK - 64);
#if defined(__x86_64__)
        *--s = nullptr;
        *--s = (void*)cushim_main;
        s -= 6;
        memset(s, 0, 48);
#else
        s -= 20;
        memset(s, 0, 160);
        s[11] = (void*)cushim_main;
#endif
        f->sp = s;
        f->st = READY;
    }
    cur = f;
    ++n_switch;
    cushim_switch(&sched_sp, f->sp);
    cur = nullptr;
    if (f->st == DONE) {
        pool.push_back(f->stack);
        f->stack = nullptr;
    }
}
static bool release_warp(Fiber* w, unsigned n) {  // release every mask whose lanes have all arrived
    bool any = false;
    for (unsigned l = 0; l < n; ++l) {
        if (w[l].st != WAIT_WARP) continue;
        const unsigned mask = w[l].mask;
        bool ok = true;
        for (unsigned k = 0; k < 32 && ok; ++k)
            if (mask >> k & 1) {
                if (k >= n) {
                    fail(&w[l], "the mask names a lane that does not exist");
                    return false;
                }
                if (w[k].st == DONE) {
                    fail(&w[l], "the mask names a lane that has exited");
                    return false;
                }
                if (w[k].st != WAIT_WARP)
                    ok = false;
                else if (w[k].mask != mask || w[k].op != w[l].op || w[k].line != w[l].line) {
                    fail(&w[l], "lanes of one mask are at different warp operations");
                    return false;
                }
            }
        if (!ok) continue;
        unsigned bal = 0, add = 0;
        for (unsigned k = 0; k < n; ++k)
            if (mask >> k & 1) {
                if (w[k].value) bal |= 1u << k;
                add += w[k].value;
            }
        for (unsigned k = 0; k < n; ++k)
            if (mask >> k & 1) {
                Fiber& f = w[k];
                switch (f.op) {
                    case OP_SHFL:
                        if (f.src >= n || !(mask >> f.src & 1)) {
                            fail(&f, "shuffle reads a lane outside the mask");
                            return false;
                        }
                        memcpy(f.out, w[f.src].val, f.size);
                        break;
                    case OP_BALLOT:
                        f.result = bal;
                        break;
                    case OP_ANY:
                        f.result = bal != 0;
                        break;
                    case OP_ALL:
                        f.result = bal == mask;
                        break;
                    case OP_REDADD:
                        f.result = add;
                        break;
                    case OP_MATCH:
                        f.result = 0;
                        for (unsigned j = 0; j < n; ++j)
                            if ((mask >> j & 1) && w[j].value == f.value) f.result |= 1u << j;
                        break;
                    case OP_SYNCWARP:
                    case OP_MMA:
                        break;
                }
            }
        if (w[l].op == OP_MMA) {
            float A[16][8], B[8][8], D[32][4];
            for (int k = 0; k < 32; ++k) {
                int g = k / 4, t = k % 4;
                for (int q = 0; q < 4; ++q) A[g + (q & 1) * 8][t + (q >> 1) * 4] = tf32(w[k].ma[q]);
                for (int q = 0; q < 2; ++q) B[t + q * 4][g] = tf32(w[k].mb[q]);
            }
            for (int k = 0; k < 32; ++k)
                for (int q = 0; q < 4; ++q) {
                    float s = w[k].mc[q];
                    for (int j = 0; j < 8; ++j) s += A[k / 4 + (q >> 1) * 8][j] * B[j][k % 4 * 2 + (q & 1)];
                    D[k][q] = s;
                }
            for (int k = 0; k < 32; ++k) memcpy(w[k].mc, D[k], 16);
        }
        if (w[l].op == OP_SYNCWARP && w[l].vc) {  // only __syncwarp orders memory; shuffles and votes do not
            uint32_t j[32] = {};
            for (unsigned k = 0; k < n; ++k)
                if (mask >> k & 1) {
                    w[k].vc[k] = w[k].clock;
                    for (int q = 0; q < 32; ++q) j[q] = std::max(j[q], w[k].vc[q]);
                }
            for (unsigned k = 0; k < n; ++k)
                if (mask >> k & 1) {
                    memcpy(w[k].vc, j, sizeof j);
                    ++w[k].clock;
                }
        }
        for (unsigned k = 0; k < n; ++k)
            if (mask >> k & 1) w[k].st = READY;
        any = true;
    }
    return any;
}
struct Rng {
    uint64_t s;
    uint64_t operator()() {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        return s;
    }
};
static void shuffle_order(int* o, int n, Rng& r) {
    for (int i = 0; i < n; ++i) o[i] = cfg.order == 1 ? n - 1 - i : i;
    if (cfg.order == 2)
        for (int i = n - 1; i > 0; --i) std::swap(o[i], o[r() % (i + 1)]);
}
static bool run_block(Fiber* F, int nt, Rng& rng) {  // true: all threads done; false: all wait at a grid barrier
    int nw = (nt + 31) / 32, wo[32], lo[32];
    for (;;) {
        int blockers = 0, done = 0, gridw = 0;
        shuffle_order(wo, nw, rng);
        for (int wi = 0; wi < nw; ++wi) {
            Fiber* w = F + wo[wi] * 32;
            int n = std::min(32, nt - wo[wi] * 32);
            for (;;) {
                shuffle_order(lo, n, rng);
                bool ran = false, waits = false;
                for (int i = 0; i < n; ++i) {
                    Fiber& f = w[lo[i]];
                    if (f.st <= READY) {
                        resume(&f);
                        ran = true;
                        if (!error.empty()) return true;
                    }
                    waits |= f.st == WAIT_WARP;
                }
                if (waits && release_warp(w, n)) continue;
                if (!error.empty()) return true;
                if (!ran) break;
            }
            for (int l = 0; l < n; ++l) {
                blockers += w[l].st == WAIT_BLOCK;
                done += w[l].st == DONE;
                gridw += w[l].st == WAIT_GRID;
                if (w[l].st == WAIT_WARP) {
                    fail(&w[l], "a warp operation that some lane of its mask never reaches");
                    return true;
                }
            }
        }
        if (done == nt) return true;
        if (gridw == nt) return false;
        if (gridw) {
            fail(F, "a grid barrier that some thread of the block never reaches");
            return true;
        }
        Fiber* first = nullptr;
        for (int t = 0; t < nt; ++t)
            if (F[t].st == WAIT_BLOCK) {
                if (!first) first = &F[t];
                if (done && cfg.trap_exit) {
                    fail(&F[t], "__syncthreads() after another thread of the block has exited");
                    return true;
                }
                if (first->line != F[t].line) {
                    fail(&F[t], "divergent __syncthreads()");
                    return true;
                }
            }
        for (int t = 0; t < nt; ++t)
            if (F[t].st == WAIT_BLOCK) {
                F[t].st = READY;
                ++F[t].bclock;
            }
    }
}

#include "checker.h"

// ---- launches

static void begin_block() {
    size_t n = __start_cu_shared ? __stop_cu_shared - __start_cu_shared : 0;
    if (cfg.poison) {
        if (n) memset(__start_cu_shared, 0xFF, n);
        if (dyn_size) memset(dyn.data(), 0xFF, dyn_size);
    }
    if (checking)
        for (auto& r : regions)
            if (r.shared) std::fill(r.cells.begin(), r.cells.end(), Cell{});
}
static const char* run_(const unsigned* g, const unsigned* b, size_t shmem, bool coop) {
    error.clear();
    n_switch = n_access = 0;
    error_pc = nullptr;
    grid_ = {g[0], g[1], g[2]};
    block_ = {b[0], b[1], b[2]};
    grid_epoch = 1;
    last = nullptr;
    size_t nt = (size_t)b[0] * b[1] * b[2], nb = (size_t)g[0] * g[1] * g[2],
           shn = __start_cu_shared ? __stop_cu_shared - __start_cu_shared : 0;
    if (nt > 1024 || nt == 0 || b[2] > 64) return (error = "a block has 1 to 1024 threads, at most 64 in z").c_str();
    if (nb == 0 || g[1] > 65535 || g[2] > 65535)
        return (error = "a grid has at least one block, and at most 65535 in y and z").c_str();
    if (shn + shmem > 232448) return (error = "more than 227 KiB of shared memory").c_str();
    dyn.assign(shmem + 1, (char)0xFF);
    dyn_base = dyn.data();
    dyn_size = shmem;
    while (!regions.empty() && regions.back().shared) regions.pop_back();
    if (checking) {
        if (shn)
            regions.push_back({__start_cu_shared, __stop_cu_shared, (unsigned)checking, true, true,
                               std::vector<Cell>(shn / checking + 1), "static shared memory"});
        if (shmem)
            regions.push_back({dyn_base, dyn_base + shmem, (unsigned)checking, true, true,
                               std::vector<Cell>(shmem / checking + 1), "dynamic shared memory"});
    }
    Rng rng{cfg.seed * 0x9E3779B97F4A7C15ull | 1};
    size_t resident = coop ? nb : 1;
    if (fs.size() < nt * resident) fs.resize(nt * resident);
    if (checking) vcs.assign(nt * resident * 32, 0);
    auto init = [&](size_t bi, size_t at) {
        for (size_t t = 0; t < nt; ++t) {
            Fiber& f = fs[at + t];
            f.st = FRESH;
            f.lane = t % 32;
            f.line = 0;
            f.tno = (uint32_t)t;
            f.block = (uint32_t)bi;
            f.gid = (uint32_t)(bi * nt + t + 1);
            f.clock = f.bclock = 1;
            f.bid = {(unsigned)(bi % g[0]), (unsigned)(bi / g[0] % g[1]), (unsigned)(bi / g[0] / g[1])};
            f.tid = {(unsigned)(t % b[0]), (unsigned)(t / b[0] % b[1]), (unsigned)(t / b[0] / b[1])};
            f.vc = checking ? &vcs[(at + t) * 32] : nullptr;
            if (f.vc) memset(f.vc, 0, 128);
        }
    };
    if (!coop)
        for (size_t i = 0; i < nb && error.empty(); ++i) {
            size_t bi = cfg.order == 1 ? nb - 1 - i : i;
            init(bi, 0);
            begin_block();
            bool fin = run_block(fs.data(), (int)nt, rng);
            if (profiling) profile_block_end();
            if (!fin) error = "grid barrier in a kernel that was not launched as cooperative";
        }
    else {
        struct Saved {
            std::vector<char> m;
            std::vector<std::vector<Cell>> c;
        };
        std::vector<Saved> saved(nb);
        std::vector<char> alive(nb, 1);
        for (size_t i = 0; i < nb; ++i) init(i, i * nt);
        for (size_t left = nb; left && error.empty();) {
            size_t waiting = 0;
            for (size_t j = 0; j < nb && error.empty(); ++j) {
                size_t i = cfg.order == 1 ? nb - 1 - j : j;
                if (!alive[i]) continue;
                if (saved[i].m.empty())
                    begin_block();
                else {
                    if (shn) memcpy(__start_cu_shared, saved[i].m.data(), shn);
                    memcpy(dyn.data(), saved[i].m.data() + shn, dyn_size);
                    size_t k = 0;
                    for (auto& r : regions)
                        if (r.shared) r.cells.swap(saved[i].c[k++]);
                }
                if (run_block(&fs[i * nt], (int)nt, rng)) {
                    alive[i] = 0;
                    --left;
                } else {
                    ++waiting;
                    saved[i].m.resize(shn + dyn_size + 1);
                    if (shn) memcpy(saved[i].m.data(), __start_cu_shared, shn);
                    memcpy(saved[i].m.data() + shn, dyn.data(), dyn_size);
                    saved[i].c.clear();
                    for (auto& r : regions)
                        if (r.shared) saved[i].c.push_back(r.cells);
                }
            }
            if (!error.empty()) break;
            if (waiting && waiting != nb) {
                error = "a grid barrier that some block has exited without reaching";
                break;
            }
            ++grid_epoch;
            for (size_t k = 0; k < nt * nb; ++k)
                if (fs[k].st == WAIT_GRID) {
                    fs[k].st = READY;
                    ++fs[k].bclock;
                }
        }
    }
    if (!error.empty())
        for (auto& f : fs)
            if (f.stack) {
                pool.push_back(f.stack);
                f.stack = nullptr;
                f.st = DONE;
            }
    return error.empty() ? nullptr : error.c_str();
}
const char* run(void (*e)(void*), void* arg, const unsigned* g, const unsigned* b, size_t shmem, int coop) {
    entry = e;
    entry_arg = arg;
    return run_(g, b, shmem, coop);
}
}  // namespace cushim
#include <link.h>
using namespace cushim;
extern "C" {
void cushim_config(int order, uint64_t seed, int poison, int trap) { cfg = {order, seed, poison, trap}; }
uint64_t cushim_switches() { return n_switch; }
uint64_t cushim_accesses() { return n_access; }
const void* cushim_error_pc() { return error_pc ? (const void*)((char*)error_pc - self_lo) : nullptr; }
void cushim_regions_clear() { regions.clear(); }
void cushim_region(char* a, size_t n, unsigned gran, int writable, const char* name) {
    regions.push_back({a, a + n, gran, false, writable != 0, std::vector<Cell>((n + gran - 1) / gran), name});
}
void cushim_profile(int on) {
    profiling = on;
    patterns.clear();
    requests.clear();
    pc_count.clear();
}
int cushim_profile_get(int i, uint64_t* o) {
    for (auto& [pc, t] : patterns)
        if (i-- == 0) {
            uint64_t v[] = {
                (uint64_t)((char*)pc - self_lo), t.requests, t.sectors, t.ideal, t.ways, t.bytes, t.shared, t.write};
            memcpy(o, v, sizeof v);
            return 1;
        }
    return 0;
}
int cushim_check(int on) {
    checking = on;
    dl_iterate_phdr(
        [](dl_phdr_info* i, size_t, void*) {
            char *lo = nullptr, *hi = nullptr;
            for (int k = 0; k < i->dlpi_phnum; ++k)
                if (i->dlpi_phdr[k].p_type == PT_LOAD) {
                    char* a = (char*)i->dlpi_addr + i->dlpi_phdr[k].p_vaddr;
                    char* b = a + i->dlpi_phdr[k].p_memsz;
                    if (!lo) lo = (char*)i->dlpi_addr;
                    hi = b;
                }
            if ((char*)&cfg >= lo && (char*)&cfg < hi) {
                self_lo = lo;
                self_hi = hi;
                return 1;
            }
            return 0;
        },
        nullptr);
    return self_lo != nullptr;
}
#ifdef CUSHIM_CHECK  // what -fsanitize=thread makes the compiler call
#define PC __builtin_return_address(0)
#define RW(n)                                                                 \
    void __tsan_read##n(void* p) { access(p, n, 0, PC); }                     \
    void __tsan_write##n(void* p) { access(p, n, 1, PC); }                    \
    void __tsan_unaligned_read##n(void* p) { access(p, n, 0, PC); }           \
    void __tsan_unaligned_write##n(void* p) { access(p, n, 1, PC); }          \
    void __tsan_volatile_read##n(void* p) { access(p, n, 0, PC); }            \
    void __tsan_volatile_write##n(void* p) { access(p, n, 1, PC); }           \
    void __tsan_unaligned_volatile_read##n(void* p) { access(p, n, 0, PC); }  \
    void __tsan_unaligned_volatile_write##n(void* p) { access(p, n, 1, PC); } \
    void __tsan_read_write##n(void* p) {                                      \
        access(p, n, 0, PC);                                                  \
        access(p, n, 1, PC);                                                  \
    }                                                                         \
    void __tsan_unaligned_read_write##n(void* p) {                            \
        access(p, n, 0, PC);                                                  \
        access(p, n, 1, PC);                                                  \
    }
RW(1) RW(2) RW(4) RW(8) RW(16) void __tsan_read_range(void* p, size_t n) { access(p, (unsigned)n, 0, PC); }
void __tsan_write_range(void* p, size_t n) { access(p, (unsigned)n, 1, PC); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
#endif
}
