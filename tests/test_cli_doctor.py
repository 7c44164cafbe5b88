"""``fastnn warmup`` and ``fastnn doctor``."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import backends
from fastnn.cli import machine


def test_warmup_shows_progress_and_names_the_folder(run, monkeypatch, tmp_path):
    def warmup(progress):
        for number in range(3):
            progress(number + 1, 3)
        return 3

    monkeypatch.setattr(backends, "warmup", warmup)
    status, out, err = run("warmup")
    assert status == 0 and "3 kernels ready in" in out and "writable" in out and "3/3" in err
    assert run("warmup", "--quiet")[2] == ""


def test_doctor_shows_versions_machine_and_cache(run, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    status, out, err = run("doctor", "--quick")
    assert (status, err) == (0, "")
    for word in (
        "python",
        "numba",
        "llvmlite",
        "scipy",
        "processor",
        "cores",
        "threads",
        "BLAS",
        "GFLOP/s",
        "GB/s",
        "cache",
        "kernel",
    ):
        assert word in out
    assert np.__version__ in out and "first fit" not in out and "OPENBLAS_CORETYPE" not in out


def test_doctor_says_what_is_slow(run, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setenv("NUMBA_OPT", "0")
    monkeypatch.setattr(machine, "core_quota", lambda: 0.5)
    monkeypatch.setattr(machine, "load", lambda: 1e3)
    monkeypatch.setattr(machine, "processor", lambda: ("an old one", {"sse2"}))
    monkeypatch.setattr("fastnn.backends.cpu.cache.cache_folder", lambda: None)
    monkeypatch.setattr(machine, "first_fit", lambda cache: 100.0)
    hints = run("doctor")[1].partition("what is slow and why")[2]
    for word in (
        "OPENBLAS_CORETYPE=Prescott",
        "NUMBA_OPT=0",
        "grants 0.5",
        "load 1000",
        "no AVX2",
        "FASTNN_CACHE_DIR",
    ):
        assert word in hints
    assert "took 1 min 40 s; 8 s is usual" in hints and "`fastnn warmup`" in hints


@pytest.mark.slow
def test_doctor_times_the_first_fit_of_a_new_process(tmp_path):
    cold = machine.first_fit(str(tmp_path))
    warm = machine.first_fit(str(tmp_path))
    assert 0 < warm < cold
    assert list(tmp_path.glob("*/*.o"))


def test_a_first_fit_that_fails_is_an_error_in_words(monkeypatch):
    monkeypatch.setattr(machine, "FIRST_FIT", "raise RuntimeError('no kernels today')")
    with pytest.raises(OSError, match="could not train: RuntimeError: no kernels today"):
        machine.first_fit()


def test_machine_facts():
    assert machine.version_of("numpy") == np.__version__
    assert machine.version_of("no-such-package-here") == "not installed"
    assert machine.vector_width({"avx2", "avx512f"}).startswith("AVX-512")
    assert machine.vector_width({"asimd"}).startswith("NEON")
    assert machine.vector_width(set()) == "unknown"
    assert machine.processor()[0]
