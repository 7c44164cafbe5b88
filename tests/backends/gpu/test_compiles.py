"""Every kernel compiles as the user's CuPy will compile it, spills nothing and keeps to its budget.

By default every variant is compiled in float32 for sm_80 and in float64 for sm_90, and one variant of
each kernel file for the other five architectures. FASTNN_LADDER=full compiles everything for all seven
(minutes); so does budget_table.py, which writes the table of budgets anew.
"""

import itertools
import json
import os
import sys
from pathlib import Path

import pytest

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu.variants import launches, variants

sys.path.insert(0, str(Path(__file__).parents[2] / "cuda_on_cpu"))
import distinct
import nvrtc
import occupancy

pytestmark = pytest.mark.skipif(bool(nvrtc.available()), reason=nvrtc.available() or "there")
BUDGETS = json.loads((Path(__file__).parent / "budgets.json").read_text())
FULL = os.environ.get("FASTNN_LADDER") == "full"
WHOLE = [("float32", "80"), ("float64", "90")]
EVERYTHING = list(itertools.product(("float32", "float64"), nvrtc.ARCHITECTURES))
SOURCES = sorted({variant.source for variant in variants(("float32",))})


def compiled(units, architecture):
    """Compile the units of one source; return what each of their kernels needs."""
    source, owners = distinct.together(units)
    _, log = nvrtc.compile_cubin(source, architecture, compiling.OPTIONS)
    found = nvrtc.resources(log)
    assert found.keys() == owners.keys(), "ptxas does not report every kernel"
    return [(*owners[name], needs) for name, needs in found.items()]


def check(variant, kernel, needs, architecture):
    """Hold a kernel to its budget."""
    where = f"{kernel} of {variant} for sm_{architecture}: {needs}"
    assert needs.spills == 0, f"spills: {where}"
    if kernel not in compiling.signatures(variant.source):
        return  # of a source that this one uses: it has a budget there
    budget = BUDGETS[variant.source][kernel][variant.dtype]
    assert needs.registers <= budget["registers"] and needs.shared <= budget["shared"], where
    if not occupancy.available():
        block = compiling.signatures(variant.source)[kernel][0]
        share = occupancy.occupancy(architecture, needs.registers, needs.shared, block)
        assert share >= budget["occupancy"], f"{share:.0%} occupancy: {where}"


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("dtype", "architecture"), EVERYTHING if FULL else WHOLE)
def test_every_variant_compiles_within_its_budget(source, dtype, architecture):
    units = list(distinct.units(v for v in variants((dtype,)) if v.source == source))
    for variant, kernel, needs in compiled(units, architecture):
        check(variant, kernel, needs, architecture)


@pytest.mark.parametrize("architecture", [a for a in nvrtc.ARCHITECTURES if a not in dict(WHOLE).values()])
def test_every_source_compiles_for_every_architecture(architecture):
    for source in SOURCES:
        first = next(v for v in variants(("float32",)) if v.source == source)
        for variant, kernel, needs in compiled(list(distinct.units([first])), architecture):
            check(variant, kernel, needs, architecture)


def test_nvrtc_knows_the_architectures():
    assert {int(name) for name in nvrtc.ARCHITECTURES} <= set(nvrtc.supported())
    assert set(occupancy.DEVICES) == set(nvrtc.ARCHITECTURES)


def test_budgets_name_every_kernel_and_nothing_else():
    kernels = {
        path.stem: set(compiling.signatures(path.stem))
        for path in compiling.FOLDER.glob("*.cu")
        if compiling.signatures(path.stem)
    }
    assert kernels == {source: set(table) for source, table in BUDGETS.items()}


def test_every_kernel_is_launched_by_an_instruction_or_by_the_session():
    launched = {(one.variant.source, one.name) for one in launches(("float32",))}
    session = {("data", "start"), ("data", "tick"), ("data", "next_chunk"), ("data", "set_register")}
    after_cublas = {("activations", "bias_activation")}
    named = {(source, kernel) for source, table in BUDGETS.items() for kernel in table}
    by_size = {(one.source, kernel) for one in variants() for kernel in compiling.signatures(one.source)} & {
        ("fused", "fused"), ("fused", "sum_blocks"), ("resident", "resident"),
    }  # fmt: skip
    assert named == launched | session | after_cublas | by_size


def test_a_spill_and_a_kernel_over_budget_are_found():
    spilling = """extern "C" __global__ void __launch_bounds__(1024, 2) many(float* p) {
        float a[64];
        for (int i = 0; i < 64; ++i) a[i] = p[i * 1024 + threadIdx.x];
        __syncthreads();
        for (int k = 0; k < 8; ++k)
            for (int i = 0; i < 64; ++i) a[i] = a[i] * a[(i * 7 + 3) % 64] + a[63 - i];
        for (int i = 0; i < 64; ++i) p[i * 1024 + threadIdx.x] = a[i];
    }"""
    _, log = nvrtc.compile_cubin(spilling, "80", compiling.OPTIONS)
    (needs,) = nvrtc.resources(log).values()
    assert needs.spills > 0 and needs.registers <= 32
    variant = variants(("float32",))[0]
    kernel = next(iter(BUDGETS[variant.source]))
    budget = BUDGETS[variant.source][kernel]["float32"]
    for wrong in (needs._replace(registers=1), nvrtc.Resources(budget["registers"] + 1, 0, 0, 0)):
        with pytest.raises(AssertionError):
            check(variant, kernel, wrong, "80")


def test_errors_are_the_compilers():
    with pytest.raises(RuntimeError, match="undefined_thing"):
        nvrtc.compile_cubin('extern "C" __global__ void f(float* x) { *x = undefined_thing; }', "80")


def test_machine_code_agrees_with_the_log():
    if nvrtc.cuobjdump() is None:
        pytest.skip("cuobjdump's wheel is missing: pip install nvidia-cuda-cuobjdump")
    variant = next(v for v in variants(("float32",)) if v.source == "reduce")
    cubin, log = nvrtc.compile_cubin(variant.code(), "80", variant.options())
    table = nvrtc.resource_table(cubin)
    assert {name: row[0] for name, row in table.items()} == {
        name: needs.registers for name, needs in nvrtc.resources(log).items()
    }
    assert all(row[3] == 0 for row in table.values()), "local memory"
