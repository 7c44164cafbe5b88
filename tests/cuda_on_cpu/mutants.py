"""Planted bugs: a change of one kernel file each, which the tests have to find.

`Mutant.scenario` names the function of tests/backends/gpu/test_mutants.py that runs what the bug is in.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A bug.

    Attributes
    ----------
    name, source : str
        What it is, and the kernel file it is in.
    old, new : str
        The text and what replaces it, at its first place.
    scenario : str
    """

    name: str
    source: str
    old: str
    new: str
    scenario: str


BARRIER = "        __syncthreads();\n        multiply_tile"
AFTER = "multiply_tile(As, Bs, acc, tx, ty);\n        __syncthreads();"

MUTANTS = [
    # ---- barriers and shared memory
    Mutant("no barrier after a tile is loaded", "linear", BARRIER, "        multiply_tile", "dense"),
    Mutant(
        "no barrier before the next tile", "linear", AFTER, "multiply_tile(As, Bs, acc, tx, ty);", "dense"
    ),
    Mutant("a barrier in a branch", "linear", BARRIER, "        if (tid < 128)" + BARRIER[7:], "dense"),
    Mutant(
        "a barrier that some threads never reach",
        "linear",
        "    for (int k0 = 0; k0 < K; k0 += TK) {",
        "    if (tid >= 224) return;\n    for (int k0 = 0; k0 < K; k0 += TK) {",
        "dense",
    ),
    Mutant(
        "no barrier before the sum of a block",
        "prelude",
        "    if (lane == 0) part[warp] = v;\n    __syncthreads();",
        "    if (lane == 0) part[warp] = v;",
        "penalty",
    ),
    Mutant(
        "a warp's share of a block's sum left out",
        "prelude",
        "if (lane == 0) part[warp] = v;",
        "if (lane == 0 && warp < 7) part[warp] = v;",
        "penalty",
    ),
    Mutant(
        "no barrier between a column's parts and their sum",
        "linear",
        "    column[warp][lane] = total;\n    __syncthreads();",
        "    column[warp][lane] = total;",
        "dense_db",
    ),
    Mutant(
        "no barrier between two sums over rows",
        "normalization",
        "    __syncthreads();\n    tile[warp][lane] = mine;",
        "    tile[warp][lane] = mine;",
        "batch_norm",
    ),
    Mutant(
        "the scalars of an update read too early",
        "updates",
        "    __syncthreads();\n    real c[6];",
        "    real c[6];",
        "adam",
    ),
    Mutant(
        "a block half stopped before its barrier",
        "updates",
        "    __syncthreads();\n    real c[6];",
        "    if (threadIdx.x > 99 && n < 200) return;\n    __syncthreads();\n    real c[6];",
        "adam",
    ),
    # ---- warps
    Mutant(
        "half a warp's mask",
        "prelude",
        "__shfl_xor_sync(FULL, v, o)",
        "__shfl_xor_sync(0xffffu, v, o)",
        "reduce_sum",
    ),
    Mutant(
        "a shuffle that some lanes never reach",
        "reduce",
        "        total = warp_sum(total);",
        "        if (lane < width) total = warp_sum(total);",
        "reduce_sum",
    ),
    Mutant(
        "a reduction over half a warp",
        "prelude",
        "for (int o = 16; o > 0; o >>= 1) v +=",
        "for (int o = 8; o > 0; o >>= 1) v +=",
        "reduce_sum",
    ),
    Mutant(
        "lanes without a row that leave before the shuffle",
        "rows",
        "        live = i < rows;\n",
        "        if (i >= rows) return false;\n",
        "crossentropy",
    ),
    # ---- bounds
    Mutant(
        "a row past the last for lanes that have none",
        "rows",
        "        if (!live) i = rows - 1;\n",
        "        live = true;\n",
        "crossentropy",
    ),
    Mutant("one column too many", "linear", "if (m < M && n < N) Y[", "if (m < M && n <= N) Y[", "dense"),
    Mutant("rows of a tile not guarded", "linear", "row0 + i < M && k0 + k < K ?", "k0 + k < K ?", "dense"),
    Mutant(
        "the inner edge of a tile not guarded",
        "linear",
        "row0 + i < M && k0 + k < K ?",
        "row0 + i < M ?",
        "dense",
    ),
    Mutant(
        "an update past the end",
        "updates",
        "    EACH(i, n) {\n        real x",
        "    EACH(i, n + 1) {\n        real x",
        "adam",
    ),
    Mutant(
        "a loop of one element too few",
        "activations",
        "EACH(e, n) y[e] = forward(x[e]",
        "EACH(e, n - 1) y[e] = forward(x[e]",
        "relu",
    ),
    Mutant(
        "two threads for one element",
        "activations",
        "EACH(e, n) y[e] = forward(x[e]",
        "EACH(q, 2 * n) for (long long e = q / 2, once = 1; once; once = 0) y[e] = forward(x[e]",
        "relu",
    ),
    Mutant(
        "a class for each row but the last",
        "loss_softmax",
        "OVER_COLUMNS(j, k) {\n        const real z",
        "OVER_COLUMNS(j, k - 1) {\n        const real z",
        "crossentropy",
    ),
    # ---- what is read and written
    Mutant(
        "a write to an input",
        "elementwise",
        "y[e] = factor * x[e];",
        "y[e] = ((real*)x)[e] *= factor;",
        "scale",
    ),
    Mutant(
        "gradients overwritten in every chunk",
        "linear",
        "fresh = r[R_FIRST] && !add",
        "fresh = !add",
        "dense_db",
    ),
    Mutant(
        "gradients added to what was there",
        "linear",
        "fresh = r[R_FIRST] && !add",
        "fresh = false",
        "dense_db",
    ),
    Mutant(
        "a table's gradient overwritten",
        "embedding",
        "fresh = r[R_FIRST] && !add",
        "fresh = true",
        "embedding_grad",
    ),
    Mutant(
        "a row of a table written by two warps",
        "embedding",
        "dtable[at] = fresh",
        "dtable[at - (row & 1) * width] = fresh",
        "embedding_grad",
    ),
    Mutant(
        "+= by every thread of a block",
        "update_gradients",
        "if (threadIdx.x == 0) *sum += total * (double)r[R_BATCH];",
        "*sum += total * (double)r[R_BATCH];",
        "penalty",
    ),
    # ---- what a stopped run may do
    Mutant(
        "an update after a stop",
        "updates",
        "    if (r[R_STATUS] != 0 || r[R_SKIP] != 0) return;               // the whole grid\n",
        "",
        "stopped",
    ),
    Mutant(
        "an infinity that stops nothing",
        "update_gradients",
        "!(F(fabs)(g[i]) < (real)INFINITY)",
        "g[i] != g[i]",
        "stopped",
    ),
    # ---- arithmetic
    Mutant(
        "a mask of the other sign",
        "dropout",
        "const bool keep = number >= threshold;",
        "const bool keep = number < threshold;",
        "dropout",
    ),
    Mutant(
        "a NaN that is lost",
        "elementwise",
        "return a != a || a > b ? a : b; ",
        "return a > b ? a : b; ",
        "maximum",
    ),
    # ---- networks in shared memory
    Mutant(
        "no barrier between the steps of a network",
        "net",
        "    if constexpr (KIND != STEP_numbers) __syncthreads();\n",
        "",
        "net",
    ),
    Mutant(
        "a slope read before it is the sum's",
        "net",
        "            }\n            __syncthreads();\n        }\n        weights_tile",
        "            }\n        }\n        weights_tile",
        "net",
    ),
    Mutant(
        "a value read twice, with the slope of one reader",
        "net",
        "s.v[slope_at(IN) + i * SK + k] += d;",
        "s.v[slope_at(IN) + i * SK + k] = d;",
        "net",
    ),
    Mutant("a table's gradient from its first index alone", "net", "k % M * D + j];", "j];", "net"),
]
