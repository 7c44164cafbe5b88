"""Metadata lives in pyproject.toml. Here: a wheel carries the benchmarks, for ``fastnn bench``.

They stay a folder of their own, because they import the libraries they compare with; what measures is copied
beside the package's modules. A later release builds the Cython inference runtime here, too.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = (
    *("__init__", "aims", "environment", "figures", "limits", "profile_step", "report", "run", "worker"),
    "workloads",
)


class BuildWithBenchmarks(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # a checkout has them beside the package
            return
        for source, target in self._carried():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode=True):
        carried = [] if self.editable_mode else [str(target) for _, target in self._carried()]
        return [*super().get_outputs(include_bytecode), *carried]

    def _carried(self):
        sources = [Path("benchmarks", f"{name}.py") for name in CARRIED]
        sources += sorted(Path("benchmarks", "rivals").glob("*.py"))
        home = Path(self.build_lib, "fastnn", "_benchmarks")
        return [(source, home / source) for source in sources]


setup(cmdclass={"build_py": BuildWithBenchmarks})
