"""``fastnn bench``: where it finds the benchmarks, and a run of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fastnn import cli
from fastnn.cli import bench
from fastnn.errors import FastnnError

linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks pin processes to cores")


def make(folder: Path) -> None:
    (folder / "benchmarks").mkdir(parents=True)
    (folder / "benchmarks" / "run.py").touch()


def test_the_copy_in_the_package_comes_first(tmp_path):
    make(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    package = tmp_path / "fastnn"
    assert bench.find_benchmarks(package) == tmp_path
    make(package / "_benchmarks")
    assert bench.find_benchmarks(package) == package / "_benchmarks"


def test_another_packages_benchmarks_are_not_ours(tmp_path):
    make(tmp_path)  # as in site-packages: no pyproject.toml beside it
    with pytest.raises(FastnnError, match=r"neither in .*_benchmarks nor beside"):
        bench.find_benchmarks(tmp_path / "fastnn")


def test_this_installation_has_them():
    assert (bench.find_benchmarks(bench.PACKAGE) / "benchmarks" / "rivals" / "fastnn_.py").is_file()


def test_bad_arguments_are_refused_before_anything_runs(capsys, tmp_path):
    assert cli.main(["bench", "--threads", "0"]) == 2
    assert "--threads must be at least 1. Received: 0." in capsys.readouterr().err
    assert cli.main(["bench", "--figure", str(tmp_path / "no" / "x.png")]) == 2
    assert cli.main(["bench", "--figure", str(tmp_path / "x.exe")]) == 2


@linux
@pytest.mark.slow
def test_a_table_a_figure_and_a_file(capfd, tmp_path):
    out, figure = tmp_path / "r.json", tmp_path / "f.png"
    words = ["bench", "--quick", "--workloads", "simplechains_24_8_2", "--rivals", "fastnn", "numpy"]
    assert cli.main([*words, "--out", str(out), "--figure", str(figure)]) == 0
    printed = capfd.readouterr().out
    assert "x ours" in printed and f"figure: {figure}" in printed and figure.stat().st_size > 5_000
    result = json.loads(out.read_text())
    assert [(r["rival"], r["verdict"]) for r in result["rows"]] == [("fastnn", "ok"), ("numpy", "ok")]
    for row in result["rows"]:
        assert len(row["repeats_us"]) == 3 and row["peak_mb"] > 10
        assert row["fraction_of_floor"] > 0 and row["floor_us"] > 0
    assert result["not_run"] == [] and result["limits"]["cache_bytes"] > 2**16
