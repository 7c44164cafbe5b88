// The memory checker of runtime.cpp: bounds, races, uninitialised shared memory. Included there, after the fibers.
#pragma once

// What is remembered of an item: its last writer and two of its readers. Of each: the thread (0: none), its count of
// __syncwarp(), of barriers, and of barriers of the grid. Two accesses of different threads, one of them a write,
// need a synchronisation between them.
struct Cell {
    uint32_t wg = 0, wc = 0, wb = 0, we = 0;
    uint32_t rg[2] = {0, 0}, rc[2] = {0, 0}, rb[2] = {0, 0}, re[2] = {0, 0};
    uint8_t atomic = 0, init = 0;
};

// Memory that a kernel may touch: an argument, or shared memory; `gran` bytes an item.
struct Region {
    char *a, *b;
    unsigned gran;
    bool shared, writable;
    std::vector<Cell> cells;
    std::string name;
};
static std::vector<Region> regions;
static Region* last;
static char *self_lo, *self_hi;
static int checking;  // 0 off, else bytes a shadow cell of shared memory

#include "profile.h"

static const void* error_pc;
// Fail, and say of which argument, or past the end of which.
static void report(const char* what, const void* addr, const void* pc, Region* r) {
    if (!error.empty()) return;
    Fiber* f = me();
    char b[512];
    if (r)
        snprintf(b, sizeof b, "%s, element %ld of %s", what, (long)(((char*)addr - r->a) / r->gran), r->name.c_str());
    else {
        const Region* n = nullptr;
        long best = 1 << 30;
        for (auto& q : regions) {
            long d = (char*)addr < q.a ? q.a - (char*)addr : (char*)addr - q.b + 1;
            if (d < best) {
                best = d;
                n = &q;
            }
        }
        snprintf(b, sizeof b, "%s%s%s%ld bytes %s %s", what, n ? ", " : "", "", best,
                 n && (char*)addr < n->a ? "before the start of" : "past the end of",
                 n ? n->name.c_str() : "everything");
    }
    fail(f, b);
    error_pc = pc;
}
// Is the earlier access (by thread g at counts c, b, e) before f's next one?
static bool ordered(Fiber* f, uint32_t g, uint32_t c, uint32_t b, uint32_t e) {
    if (g == f->gid || e != grid_epoch) return true;
    uint32_t nt = block_.x * block_.y * block_.z, ob = (g - 1) / nt, ot = (g - 1) % nt;
    if (ob != f->block) return false;
    if (b != f->bclock) return true;
    return ot / 32 == f->tno / 32 && f->vc[ot % 32] >= c;
}
// What the compiler calls at every access. kind: 0 read, 1 write, 2 atomic.
static void access(const void* addr, unsigned size, int kind, const void* pc) {
    Fiber* f = me();
    if (!f || !checking) return;
    ++n_access;
    char* p = (char*)addr;
    if (p >= f->stack && p < f->stack + STACK) return;
    Region* r = last;
    if (!r || p < r->a || p >= r->b) {
        r = nullptr;
        for (auto& q : regions)
            if (p >= q.a && p < q.b) {
                r = &q;
                break;
            }
        if (!r) {
            if ((p >= self_lo && p < self_hi) || (p >= (char*)fs.data() && p < (char*)(fs.data() + fs.size())))
                return;
            report(kind ? "write out of bounds" : "read out of bounds", addr, pc, nullptr);
            wait(WAIT_BLOCK, f->line);
            return;
        }
        last = r;
    }
    if (p + size > r->b) {
        report(kind ? "write out of bounds" : "read out of bounds", r->b, pc, nullptr);
        wait(WAIT_BLOCK, f->line);
        return;
    }
    if (kind && !r->writable) report("write to a read-only argument", addr, pc, r);
    if (profiling && kind != 2) profile_access(f, p, size, kind == 1, pc, r->shared);
    size_t i0 = (p - r->a) / r->gran, i1 = (p + size - 1 - r->a) / r->gran;
    for (size_t i = i0; i <= i1; ++i) {
        Cell& c = r->cells[i];
        const char* a = r->a + i * r->gran;
        if (r->shared && kind != 1 && !c.init)
            report("read of shared memory that nothing has written in this block", a, pc, r);
        bool aw = c.atomic && kind == 2;
        if (c.wg && !aw && !ordered(f, c.wg, c.wc, c.wb, c.we))
            report(kind == 0 ? "race: read of what another thread wrote, no barrier between"
                             : "race: two threads write, no barrier between",
                   a, pc, r);
        if (kind) {
            if (!aw)
                for (int k = 0; k < 2; ++k)
                    if (c.rg[k] && !ordered(f, c.rg[k], c.rc[k], c.rb[k], c.re[k]))
                        report("race: write of what another thread reads, no barrier between", a, pc, r);
            c.wg = f->gid;
            c.wc = f->clock;
            c.wb = f->bclock;
            c.we = grid_epoch;
            c.atomic = kind == 2;
            c.init = 1;
            c.rg[0] = c.rg[1] = 0;
        } else {
            int k = c.rg[0] == f->gid || !c.rg[0] || ordered(f, c.rg[0], c.rc[0], c.rb[0], c.re[0]) ? 0 : 1;
            c.rg[k] = f->gid;
            c.rc[k] = f->clock;
            c.rb[k] = f->bclock;
            c.re[k] = grid_epoch;
        }
    }
    if (!error.empty()) wait(WAIT_BLOCK, f->line);
}
void rmw_hook(const void* p, unsigned n, const void* pc) {
    if (checking) access(p, n, 2, pc);
}
