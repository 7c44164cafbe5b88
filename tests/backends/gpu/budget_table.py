"""Compile every variant for every architecture and write budgets.json: what each kernel needs at most.

A change of the table is a change that a reader sees: run this file and look at the diff.
"""

import itertools
import json
import sys
from pathlib import Path

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu.variants import variants

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "cuda_on_cpu"))
import distinct  # noqa: E402
import nvrtc  # noqa: E402
import occupancy  # noqa: E402

#: Registers are allotted by eights.
STEP = 8


def main(architectures):
    table = {}
    for dtype in ("float32", "float64"):
        units = list(distinct.units(variants((dtype,))))
        for source, group in itertools.groupby(units, lambda unit: unit.variant.source):
            text, owners = distinct.together(list(group))
            for architecture in architectures:
                _, log = nvrtc.compile_cubin(text, architecture, compiling.OPTIONS)
                for name, needs in nvrtc.resources(log).items():
                    _, kernel = owners[name]
                    if kernel not in compiling.signatures(source):
                        continue  # of a source that this one uses
                    if needs.spills:
                        print(f"sm_{architecture} {owners[name]} spills {needs.spills} bytes")
                    block = compiling.signatures(source)[kernel][0]
                    share = occupancy.occupancy(architecture, needs.registers, needs.shared, block)
                    entry = table.setdefault(source, {}).setdefault(kernel, {})
                    old = entry.get(dtype, {"registers": 0, "shared": 0, "occupancy": 1.0})
                    entry[dtype] = {
                        "registers": max(old["registers"], -(-needs.registers // STEP) * STEP),
                        "shared": max(old["shared"], needs.shared),
                        "occupancy": min(old["occupancy"], int(share * 1000) / 1000),
                    }
    lines = []
    for source in sorted(table):
        rows = ",\n".join(f'  "{kernel}": {json.dumps(table[source][kernel])}' for kernel in table[source])
        lines.append(f' "{source}": {{\n{rows}\n }}')
    (HERE / "budgets.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or nvrtc.ARCHITECTURES)
