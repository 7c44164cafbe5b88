"""docs/benchmarks.md is what the generator makes of the committed results; what is not equal is void."""

from __future__ import annotations

import copy
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def checkout_on_the_path():
    """The benchmarks are no part of the package: they are found in the checkout."""
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


@pytest.fixture
def page(checkout_on_the_path):
    from benchmarks import page

    return page


@pytest.fixture
def result(page):
    return copy.deepcopy(page.read_results())


def test_the_page_is_made_from_the_committed_results(page, result):
    made = page.generate(result, page.read_remarks())
    assert made == page.PAGE.read_text(encoding="utf-8"), "run `python -m benchmarks.page`"


def test_the_readme_has_the_table_of_the_committed_results(page, result):
    from benchmarks.readme import README, renewed

    text = README.read_text(encoding="utf-8")
    assert renewed(text, result, page.read_remarks()["readme"]) == text, "run `python -m benchmarks.page`"


def test_an_aim_is_judged_by_its_worst_row(page, result):
    from benchmarks.aims import Aim, met, reached, worst

    def row(workload, threads, rival, us, **more):
        return {"workload": workload, "threads": threads, "rival": rival, "median_us": us, **more}

    rows = [
        row("a", 1, "fastnn", 1.0, fraction_of_floor=0.5), row("a", 1, "torch", 30.0),
        row("a", 1, "jax:scan", 4.0), row("a", 1, "numpy", 2.0, verdict="void: final loss 9"),
        row("a", 1, "sklearn", 2.0, deviation="other"),
        row("a", 2, "fastnn", 2.0), row("a", 2, "torch", 30.0), row("b", 1, "fastnn", 1.0),
    ]  # fmt: skip
    best = reached(Aim("", 10, ("a", "b")), rows)
    assert [(r.value, r.threads, r.rival) for r in best] == [(4.0, 1, "jax:scan"), (15.0, 2, "torch")]
    assert worst(Aim("", 10, ("a",)), best).value == 4.0
    assert [met(Aim("", 10, ("a",)), r) for r in best] == [False, True]
    assert reached(Aim("", 10, ("a",), rivals=("jax",)), rows)[0].rival == "jax:scan"
    assert [r.value for r in reached(Aim("", 1, ("a", "b"), kind="threads"), rows)] == [0.5]
    assert [r.value for r in reached(Aim("", 1, ("a",), kind="floor"), rows)] == [0.5]
    slow = [
        row("c", 1, "fastnn", 1.0, cache=cache, total_s=total)
        for cache, total in (("warm", 0.5), ("empty", 9))
    ]
    aim = Aim("", 8, ("c",), kind="seconds", cache="empty")
    assert reached(aim, slow)[0].value == 9 and not met(aim, reached(aim, slow)[0])


def test_a_missed_aim_needs_a_remark(page, result):
    remarks = page.read_remarks()
    name = next(iter(page.missed(result) - {r["workload"] for r in page.winners(result["rows"])}))
    remarks.pop(name, None)
    with pytest.raises(ValueError, match="an aim is missed at"):
        page.generate(result, remarks)


def test_the_figures_are_drawn_from_the_committed_results(page, result):
    for name in page.figures_of(result):
        drawn = (page.FIGURES / name).read_bytes()
        assert result["fingerprint"].encode() in drawn, f"{name}: run `python -m benchmarks.page`"


def test_a_rival_that_wins_needs_a_remark(page, result):
    remarks = page.read_remarks()
    winner = next(r for r in result["rows"] if page.winners([r]))
    del remarks[winner["workload"]]
    with pytest.raises(ValueError, match=f"a rival wins at {winner['workload']}"):
        page.generate(result, remarks)


def test_a_void_row_wins_nothing(page, result):
    winner = next(r for r in result["rows"] if page.winners([r]))
    winner["verdict"] = "void: final loss 9"
    assert not page.winners([winner])
    assert page.cells(winner)[4] == "-" and "void" in page.cells(winner)[-1]


def test_the_newest_run_of_a_workload_counts_whole(page, tmp_path):
    import json

    def write(name, date, rivals, **more):
        rows = [{"workload": "w", "threads": 1, "rival": rival, "median_us": 1.0} for rival in rivals]
        (tmp_path / name).write_text(
            json.dumps({"machine": {"date": date}, "rows": rows, "workloads": {"w": {}}, **more})
        )

    write("new.json", "2026-02-01", ["fastnn"])
    write("old.json", "2026-01-01", ["fastnn", "torch"])
    write("gpu.json", "2026-03-01", ["fastnn", "jax:scan"], device="gpu")
    rows = page.read_results(tmp_path)["rows"]
    assert [(r["rival"], r["file"]) for r in rows] == [("fastnn", "new.json")]


def measured_like(w, threads, rival, us):
    return {"workload": w.name, "threads": threads, "rival": rival, "median_us": us, "iqr_us": 0.1 * us,
            "verdict": "ok", "final_loss": 0.6, "held_out_loss": 0.6, "peak_mb": 100.0,
            "file": "x.json"}  # fmt: skip


def test_all_sections_and_figures_of_a_full_result(page, result, tmp_path):
    """A made-up result with every workload: what the committed ones lack so far is exercised too."""
    from benchmarks import figures
    from benchmarks.report import add_limits, compare
    from benchmarks.workloads import WORKLOADS

    limits = {"gflops": {"float32": 100.0, "float64": 50.0}, "exp_per_ns": {"float32": 3.0, "float64": 1.0},
              "gb_per_s": {"1": 10.0, "2": 15.0}, "cache_bytes": 2**25}  # fmt: skip
    workloads = {w.name: w.describe() for w in WORKLOADS.values()}
    rows = []
    for w in WORKLOADS.values():
        for threads in w.threads:
            us = 10.0 * (w.sweep[1] or 1) / threads
            group = [measured_like(w, threads, "fastnn", us), measured_like(w, threads, "torch", 3 * us)]
            compare(group)
            rows += group
    add_limits(rows, workloads, limits)
    full = result | {"rows": rows, "workloads": workloads, "limits": limits}
    text = page.generate(full, page.read_remarks())
    assert (
        "Not measured yet" not in text and "| width | fastnn | 1 | 8 to 2048 | 80 | 20,480 | 1.00 |" in text
    )
    assert "| returns_b32 | 2 | 10 | 5 | 2.00 | -1.00 |" in text
    assert set(page.figures_of(full)) == {"bench_ratios.png", "bench_roofline.png", "bench_scaling.png"}
    for name in page.figures_of(full):
        draw = getattr(figures, name.removeprefix("bench_").removesuffix(".png"))
        assert Path(draw(full, tmp_path / name, "f1")).stat().st_size > 5_000


def test_floor_of_a_step_by_hand(checkout_on_the_path):
    from benchmarks.limits import floor_us
    from benchmarks.workloads import WORKLOADS

    limits = {"gflops": {"float32": 100.0}, "exp_per_ns": {"float32": 2.0}, "gb_per_s": {"1": 10.0},
              "cache_bytes": 2**25}  # fmt: skip
    w = WORKLOADS["returns_b32"].describe()
    products = 45 * 64 + 64 * 64 + 64
    flops = 2 * 32 * (3 * products - 45 * 64)
    assert w["step_flops"] == flops and w["step_exps"] == 32 * 2
    assert floor_us(w, 1, limits) == pytest.approx(flops / 1e5 + 64 / 2e3)
    # A table of 320 MB does not fit the cache: its rows come from memory.
    rows = WORKLOADS["rows_1e7"].describe()
    assert floor_us(rows, 1, limits | {"gb_per_s": {"1": 1e-3}}) == pytest.approx(1024 * 8 * 4 / 1.0)
    assert floor_us(rows, 1, limits | {"gb_per_s": {"1": 1e-3}, "cache_bytes": 2**30}) < 100


def test_slope_of_a_power():
    from benchmarks.report import slope

    assert slope([(x, 3 * x**1.5) for x in (8, 32, 128, 2048)]) == pytest.approx(1.5)


def test_the_judge_voids_other_losses_and_wrong_predictions(checkout_on_the_path):
    from benchmarks.report import judge

    rows = [{"final_loss": loss, "start_loss": 1.0, "deviation": ""} for loss in (0.5, 0.501, 0.6, math.nan)]
    judge(rows, 0.01)
    assert [r["verdict"].partition(":")[0] for r in rows] == ["ok", "ok", "void", "void"]
    rows = [{"prediction_error": error, "deviation": ""} for error in (1e-7, 1e-3, math.nan)]
    judge(rows, 1e-5)
    assert [r["verdict"].partition(":")[0] for r in rows] == ["ok", "void", "void"]


@pytest.mark.parametrize(
    "name", ["returns_b32", "simplechains_4_32_16_4", "simplechains_24_8_2", "eight_b32"]
)
def test_our_training_is_the_one_by_hand(checkout_on_the_path, name):
    """fastnn and the NumPy loop, from the same weights on the same rows, reach the same loss."""
    from dataclasses import replace

    from benchmarks.rivals import fastnn_, numpy_
    from benchmarks.workloads import WORKLOADS, evaluate, initial_weights, make_data

    w = WORKLOADS[name]
    rows = min(w.rows, 4_096)
    w = replace(w, rows=rows, batch_size=min(w.batch_size, rows), dropout=0.0)
    (X, y), start = make_data(w), initial_weights(w)
    losses = []
    for module in (fastnn_, numpy_):
        model = module.Model(w, X, y, start, 1, "")
        model.train(5)
        losses.append(evaluate(w, model.weights(), X, y))
    assert losses[0] < evaluate(w, start, X, y)
    assert losses[0] == pytest.approx(losses[1], abs=1e-4 if not w.shuffle else 0.02)


def test_predictions_are_those_of_the_judge(checkout_on_the_path):
    from dataclasses import replace

    from benchmarks.rivals import fastnn_, numpy_
    from benchmarks.workloads import WORKLOADS, initial_weights, make_data, prediction_error

    w = replace(WORKLOADS["predict_100"], rows=300)
    (X, y), start = make_data(w), initial_weights(w)
    for module in (fastnn_, numpy_):
        answers = module.Model(w, X, y, start, 1, "").predict(X)
        assert prediction_error(w, start, X, answers) < 1e-6
        assert prediction_error(w, start, X, answers + 0.01) == pytest.approx(0.01, abs=1e-5)


def test_matrix_exponential(checkout_on_the_path):
    from scipy.linalg import expm

    from benchmarks.workloads import matrix_exponential

    X, Y = matrix_exponential(np.random.default_rng(0), 5, (4, 4))
    for a, e in zip(X, Y, strict=True):
        assert np.allclose(expm(a.reshape(2, 2)).ravel(), e, rtol=1e-12)


def test_every_rival_has_a_module_and_an_environment(checkout_on_the_path):
    from benchmarks.rivals import RIVALS
    from benchmarks.workloads import QUICK, WORKLOADS

    for rival in RIVALS.values():
        assert (ROOT / "benchmarks" / "rivals" / f"{rival.module}.py").is_file()
        assert (ROOT / "benchmarks" / "env" / f"{rival.env}.txt").is_file()
    named = {name for w in WORKLOADS.values() for name in w.rivals}
    assert named <= set(RIVALS) and set(QUICK) <= set(WORKLOADS)
