"""What every kernel needs on every architecture: measures what has changed, and writes budgets.json anew.

`budgets`: the most that each kernel may need in each dtype, over all its variants and architectures.
`variants`: the SHA-256 of each variant's text and options as CuPy compiles it, and its kernels.
`kernels`: registers, bytes of shared memory and bytes of spills of each distinct kernel, a number for each of
`architectures`, or one where they agree. A kernel's last word is the hash of the text that it depends on.

A kernel is compiled when its own text, or that of a function it names, is not in the record. A change of the
table is a change that a reader sees: run this file and look at the diff.
"""

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import sys
from pathlib import Path

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu.variants import variants

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "cuda_on_cpu"))
import distinct  # noqa: E402
import nvrtc  # noqa: E402
import occupancy  # noqa: E402
import shim  # noqa: E402

FILE = HERE / "budgets.json"
COMMAND = "python tests/backends/gpu/budget_table.py"
#: Registers are allotted by eights.
STEP = 8
#: Digits of a hash that tell the texts of a kernel apart.
DIGITS = 12


def _hash(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def fingerprint(variant):
    """Return the SHA-256 of what CuPy compiles for a variant, but for the architecture."""
    return _hash(variant.code(), *nvrtc.CUPY_OPTIONS, *variant.options())


def kernel_keys(parts):
    """Return the name in the record of each kernel of a variant."""
    variant, options = parts.variant, (*nvrtc.CUPY_OPTIONS, *compiling.OPTIONS)
    return {
        name: f"{variant.source}/{name}/{variant.dtype}/{_hash(text, *options)[:DIGITS]}"
        for name, text in parts.closures.items()
    }


def spread(numbers):
    """Return one number for each architecture."""
    return numbers if isinstance(numbers, list) else [numbers] * len(nvrtc.ARCHITECTURES)


def problems(record, asked):
    """Return what is wrong with a record of the variants that Python asks for."""
    prints = {fingerprint(variant): variant for variant in asked}
    found = [f"not in the record, or changed: {v}" for p, v in prints.items() if p not in record["variants"]]
    found += [
        f"in the record, but nobody asks for it any more: {keys}"
        for p, keys in record["variants"].items()
        if p not in prints
    ]
    if record["architectures"] != list(nvrtc.ARCHITECTURES):
        found.append(f"the record is of {record['architectures']}, not of {nvrtc.ARCHITECTURES}")
    for key, needs in record["kernels"].items():
        source, kernel, dtype, _ = key.split("/")
        registers, shared, spills = map(spread, needs)
        if any(spills):
            found.append(f"spills: {key}, {spills} bytes on {nvrtc.ARCHITECTURES}")
        budget = record["budgets"].get(source, {}).get(kernel, {}).get(dtype)
        if budget and (max(registers) > budget["registers"] or max(shared) > budget["shared"]):
            found.append(f"over its budget: {key}, {registers} registers, {shared} bytes of shared memory")
    used = {key for keys in record["variants"].values() for key in keys}
    return found + [f"never measured, or of no variant: {key}" for key in used ^ set(record["kernels"])]


def _measured(task):
    """Compile the units of one source for one architecture; return what each of their kernels needs.

    The compiler's reports are kept with the tools' other files, so that a table that was broken off goes on.
    """
    group, architecture = task
    text, owners = distinct.together(group)

    def report(out):
        out.write_text(nvrtc.compile_cubin(text, architecture, compiling.OPTIONS)[1])

    log = shim.cached((text, architecture, nvrtc.version(), *compiling.OPTIONS), ".log", report).read_text()
    found = nvrtc.resources(log)
    assert found.keys() == owners.keys(), "ptxas does not report every kernel"
    return {owners[name]: needs for name, needs in found.items()}


def _text_of(key):
    """Return a kernel's name in the record without its dtype: the same text may serve both."""
    source, kernel, _, digest = key.split("/")
    return source, kernel, digest


def measure(several):
    """Compile the kernels of variants that were taken apart; return the record's entries."""
    keys = {(one.variant, name): key for one in several for name, key in kernel_keys(one).items()}
    units = sorted(distinct.units(several), key=lambda unit: unit.variant[:2])
    groups = [list(group) for _, group in itertools.groupby(units, key=lambda unit: unit.variant[:2])]
    tasks = list(itertools.product(groups, nvrtc.ARCHITECTURES))
    pools = concurrent.futures.ProcessPoolExecutor(os.cpu_count()) if len(groups) > 2 else None
    found = {}
    with pools or contextlib.nullcontext():
        results = (pools.map if pools else map)(_measured, tasks)
        for (_, architecture), needs in zip(tasks, results, strict=True):
            for owner, need in needs.items():
                found.setdefault(_text_of(keys[owner]), {})[architecture] = need
    names = ("registers", "shared", "spills")
    return {key: [_together(found[_text_of(key)], name) for name in names] for key in keys.values()}


def _together(needs, name):
    numbers = [getattr(needs[architecture], name) for architecture in nvrtc.ARCHITECTURES]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def budgets(kernels):
    """Return the most that each kernel of each source needs, and its least occupancy."""
    table = {}
    for key, needs in sorted(kernels.items()):
        source, kernel, dtype, _ = key.split("/")
        if kernel not in compiling.signatures(source):
            continue  # of a source that this one uses: it has a budget there
        block = compiling.signatures(source)[kernel][0]
        entry = table.setdefault(source, {}).setdefault(kernel, {})
        old = entry.get(dtype, {"registers": 0, "shared": 0, "occupancy": 1.0})
        registers, shared, _ = map(spread, needs)
        share = min(
            map(occupancy.occupancy, nvrtc.ARCHITECTURES, registers, shared, [block] * len(registers))
        )
        entry[dtype] = {
            "registers": max(old["registers"], -(-max(registers) // STEP) * STEP),
            "shared": max(old["shared"], *shared),
            "occupancy": min(old["occupancy"], int(share * 1000) / 1000),
        }
    return table


def _without(one, measured):
    """Leave out of a variant the kernels that have been measured."""
    keys = kernel_keys(one)
    return one._replace(
        closures={name: text for name, text in one.closures.items() if keys[name] not in measured}
    )


def renew(record, asked):
    """Return the record of these variants; only kernels that the old record does not have are compiled."""
    version, architectures = nvrtc.version(), list(nvrtc.ARCHITECTURES)
    same = record.get("nvrtc") == version and record.get("architectures") == architectures
    known, measured = (record["variants"], record["kernels"]) if same else ({}, {})
    prints = {variant: fingerprint(variant) for variant in asked}
    changed = [distinct.parts(variant) for variant in asked if prints[variant] not in known]
    keys = {prints[one.variant]: sorted(kernel_keys(one).values()) for one in changed}
    keys.update({print_: known[print_] for print_ in prints.values() if print_ in known})
    wanted = {key for several in keys.values() for key in several}
    new = measure([_without(one, measured) for one in changed])
    print(f"{len(changed)} of {len(prints)} variants are new; {len(new)} kernels compiled by NVRTC {version}")
    kernels = {key: new.get(key) or measured[key] for key in sorted(wanted)}
    order = {print_: keys[print_] for print_ in prints.values()}
    return {
        "nvrtc": version, "architectures": architectures, "budgets": budgets(kernels), "kernels": kernels,
        "variants": order,
    }  # fmt: skip


def written(record):
    """Return the record as text, a line for each thing that may change."""
    lines = []
    for source, table in record["budgets"].items():
        rows = ",\n".join(f'   "{kernel}": {json.dumps(table[kernel])}' for kernel in table)
        lines.append(f'  "{source}": {{\n{rows}\n  }}')
    head = "".join(f' "{key}": {json.dumps(record[key])},\n' for key in ("nvrtc", "architectures"))
    tables = []
    for part in ("kernels", "variants"):
        rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record[part].items())
        tables.append(f' "{part}": {{\n{rows}')
    budgets_ = ' "budgets": {\n' + ",\n".join(lines)
    return "{\n" + head + "\n },\n".join([budgets_, *tables]) + "\n }\n}\n"


def read():
    """Return the committed record."""
    return json.loads(FILE.read_text())


if __name__ == "__main__":
    renewed = renew(read() if FILE.exists() else {}, variants())
    FILE.write_text(written(renewed))
    wrong = problems(renewed, variants())
    print("\n".join(wrong))
    sys.exit(bool(wrong))
