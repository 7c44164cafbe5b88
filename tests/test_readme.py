"""The README's example is the file in examples/, it runs, and what the README points to exists."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/decisions.md",
    "docs/benchmarks.md",
    "benchmarks/README.md",
]


def blocks(name: str) -> list[str]:
    """Return the code blocks that follow the README's comment `name`."""
    return re.findall(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", README, re.DOTALL)


def test_the_example_is_the_file_in_examples():
    (example,) = blocks("examples/quickstart.py")
    assert example == (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert sum(1 for line in example.splitlines() if line.strip()) <= 12


def test_the_example_runs_and_learns(capsys):
    pytest.importorskip("sklearn", reason="the example uses scikit-learn's data")
    variables = runpy.run_path(str(ROOT / "examples" / "quickstart.py"))
    logs = variables["model"].evaluate(variables["X_test"], variables["y_test"], return_dict=True)
    assert logs["accuracy"] > 0.9
    assert "'accuracy'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fit", "test"])
def test_a_command_does_all_of_its_set_up_in_one_line(name):
    (command,) = blocks(f"command:{name}")
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install '.[")
    assert command.count(" && ") == 2  # so that a step that fails ends it


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{document} links to {target}"
