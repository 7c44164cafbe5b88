"""Every kernel compiles as the user's CuPy will compile it, spills nothing and keeps to its budget.

What each needs on each of the seven architectures is in budgets.json, with the hash of what was compiled.
Here the hashes are made again, and a sample is compiled, to see that the record tells the truth: a variant of
each kernel file for one architecture; which ones depends on the record. FASTNN_LADDER=full compiles every
variant for all seven (many minutes).
"""

import hashlib
import itertools
import json
import os
import sys
from pathlib import Path

import budget_table
import pytest

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu.variants import launches, variants

sys.path.insert(0, str(Path(__file__).parents[2] / "cuda_on_cpu"))
import distinct
import nvrtc
import occupancy

pytestmark = pytest.mark.skipif(bool(nvrtc.available()), reason=nvrtc.available() or "there")
RECORD = budget_table.read()
BUDGETS = RECORD["budgets"]
ASKED = variants()
FULL = os.environ.get("FASTNN_LADDER") == "full"


def sample():
    """Return a variant of each source and an architecture, drawn by the record."""
    seed = hashlib.sha256(json.dumps(RECORD).encode()).hexdigest()

    def drawn(*words):
        return hashlib.sha256("/".join([seed, *map(str, words)]).encode()).hexdigest()

    found = []
    for _, group in itertools.groupby(sorted(ASKED), key=lambda variant: variant.source):
        pairs = itertools.product(group, nvrtc.ARCHITECTURES)
        found.append(min(pairs, key=lambda pair: drawn(*pair)))
    return found


def compiled(variant, architecture):
    """Compile a variant as CuPy does; return what each of its kernels needs."""
    _, log = nvrtc.compile_cubin(variant.code(), architecture, variant.options())
    return nvrtc.resources(log)


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


def test_the_record_is_of_these_kernels_and_none_spills():
    wrong = budget_table.problems(RECORD, ASKED)
    assert not wrong, "\n".join([*wrong[:5], f"{len(wrong)} in all. Run: {budget_table.COMMAND}"])


def test_the_budgets_are_those_of_the_record():
    if occupancy.available():
        pytest.skip(occupancy.available())
    assert budget_table.budgets(RECORD["kernels"]) == BUDGETS


@pytest.mark.parametrize(
    ("variant", "architecture"),
    list(itertools.product(ASKED, nvrtc.ARCHITECTURES)) if FULL else sample(),
    ids=lambda given: given if isinstance(given, str) else f"{given.source}-{given.dtype}",
)
def test_the_record_tells_the_truth(variant, architecture):
    """By the compiler that made the record the same numbers; by another within the budget, and no spills."""
    keys = budget_table.kernel_keys(distinct.parts(variant))
    found = compiled(variant, architecture)
    assert found.keys() == keys.keys(), "ptxas does not report every kernel"
    at = nvrtc.ARCHITECTURES.index(architecture)
    for kernel, needs in found.items():
        check(variant, kernel, needs, architecture)
        recorded = tuple(budget_table.spread(numbers)[at] for numbers in RECORD["kernels"][keys[kernel]])
        if nvrtc.version() == RECORD["nvrtc"]:
            assert (needs.registers, needs.shared, needs.spills) == recorded, f"{kernel} of {variant}"


def test_what_is_wrong_with_a_record_is_said(monkeypatch):
    some = ASKED[:3]
    good = budget_table.renew(RECORD, some)
    assert not budget_table.problems(good, some)
    key = next(key for key in good["kernels"] if key.startswith("activations/flat_forward/float32"))

    def said(text, asked=some, **changes):
        assert any(text in one for one in budget_table.problems({**good, **changes}, asked))

    said("not in the record, or changed", asked=ASKED[:4])
    said("nobody asks for it any more", asked=ASKED[:2])
    said("spills", kernels={**good["kernels"], key: [[40] * 7, 0, [0, 0, 0, 8, 0, 0, 0]]})
    said("over its budget", kernels={**good["kernels"], key: [200, 0, 0]})
    said("never measured", kernels={name: needs for name, needs in good["kernels"].items() if name != key})
    said("the record is of", architectures=["80", "90"])
    text = compiling.text
    monkeypatch.setattr(compiling, "text", lambda source: text(source) + "\n")
    said("not in the record, or changed")


def test_only_what_has_changed_is_compiled(monkeypatch):
    """A comment changes no kernel; a change of one kernel has that one measured again."""
    source = next(variant for variant in ASKED if variant.source == "reduce")
    asked = [variant for variant in ASKED if variant.source == "reduce"]
    good, text, tasks = budget_table.renew(RECORD, asked), compiling.text, []
    right = budget_table._measured
    monkeypatch.setattr(budget_table, "_measured", lambda task: tasks.append(task) or right(task))
    assert budget_table.renew(good, asked) == good and not tasks
    monkeypatch.setattr(compiling, "text", lambda name: text(name) + "// more\n")
    again = budget_table.renew(good, asked)
    assert not tasks and again["kernels"] == good["kernels"] and again["variants"] != good["variants"]
    old, new = "lane == 0) y[i] = total / divisor", "lane == 0) y[i] = total * divisor"
    assert old in source.code()
    monkeypatch.setattr(compiling, "text", lambda name: text(name).replace(old, new))
    changed = budget_table.renew(good, asked)["kernels"].keys() - good["kernels"].keys()
    assert {key.rsplit("/", 1)[0] for key in changed} == {
        "reduce/reduce_sum/float32",
        "reduce/reduce_sum/float64",
    }
    assert {kernel for group, _ in tasks for unit in group for kernel in unit.kernels} == {"reduce_sum"}


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
