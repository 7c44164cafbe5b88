"""Coalescing and bank conflicts from the CPU run: per source line, warp-wide requests, 32-byte sectors a request against the fewest possible, bank-conflict ways."""

import ctypes, os, re, subprocess, sys, numpy as np, shim


def report(lib, launch):
    lib.cushim_profile(1)
    launch()
    o = (ctypes.c_uint64 * 8)()
    rows = {}
    i = 0
    while lib.cushim_profile_get(i, o):
        i += 1
        a = subprocess.run(
            ["addr2line", "-i", "-e", lib.path, hex(o[0] - 1)], capture_output=True, text=True
        ).stdout.split("\n")
        m = re.search(r":(\d+)", a[0])
        k = (int(m[1]) if m else 0, bool(o[6]), bool(o[7]))
        r = rows.setdefault(k, [0] * 5)
        for j, x in enumerate(o[1:6]):
            r[j] += x
    lib.cushim_profile(0)
    return rows


def show(rows, src):
    lines = src.split("\n")
    for (line, shared, write), (req, sec, ideal, ways, byt) in sorted(rows.items()):
        what = (
            f"{ways / max(ideal, 1):5.2f} x bank-conflict ways"
            if shared
            else f"{sec / req:5.1f} sectors/request, fewest {ideal / req:4.1f} ({ideal / max(sec, 1):4.0%})"
        )
        print(
            f"  line {line:3d} {'shared' if shared else 'global'} {'store' if write else 'load '} {req:7d} requests {what:52s} {lines[line - 1].strip()[:70]}"
        )


if __name__ == "__main__":
    src = open("kernels.cu").read()
    f = np.float32
    rng = np.random.default_rng(0)

    def go(src, name, grid, block, args):
        lib, b, _ = shim.build(src, mode="check")
        k = shim.Kernel(lib, name, name, b[name])
        keep = [np.array([x.ctypes.data], np.uint64) if x.ndim else np.array([x]) for x in args]
        regs = [
            (x.ctypes.data, x.nbytes, x.itemsize, s[0] == "P", f"argument {i}")
            for i, (x, s) in enumerate(zip(args, k.sig))
            if x.ndim
        ]
        print(name)
        show(report(lib, lambda: k.launch(grid, block, [p.ctypes.data for p in keep], regions=regs)), src)

    al = lambda *s: np.frombuffer(bytearray(int(np.prod(s)) * 4 + 64), np.uint8)

    def arr(*s):
        raw = np.empty(int(np.prod(s)) * 4 + 512, np.uint8)
        o = -raw.ctypes.data % 512
        a = raw[o : o + int(np.prod(s)) * 4].view(f).reshape(s)
        a[...] = rng.standard_normal(s)
        return a  # CuPy's pool aligns to 512 bytes

    M, N, K = 256, 64, 64
    go(
        src,
        "dense_bias_act",
        (1, M // 64),
        (256,),
        (arr(M, K), arr(K, N), arr(N), arr(M, N), np.int32(M), np.int32(N), np.int32(K)),
    )
    bad = src.replace("As[TK][TM + 4]", "As[TK][TM]").replace(
        "int r = e / TK, c = e % TK;", "int r = e % TM, c = e / TM;"
    )
    print("-- variant: tile load walks down the rows, no padding")
    go(
        bad,
        "dense_bias_act",
        (1, M // 64),
        (256,),
        (arr(M, K), arr(K, N), arr(N), arr(M, N), np.int32(M), np.int32(N), np.int32(K)),
    )
    n = 4096
    go(
        src,
        "adam_update",
        (4,),
        (256,),
        (arr(n), arr(n), arr(n), abs(arr(n)), np.int64(n), f(1e-3), f(0.9), f(0.999), f(1e-8)),
    )
