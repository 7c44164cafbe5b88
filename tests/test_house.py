"""The rules of the house, read from the sources: who may import whom, where Numba is spelled out, sizes."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import fastnn

PACKAGE = Path(fastnn.__file__).parent
TESTS = Path(__file__).parent
#: Not a room: the copy of benchmarks/ that a wheel carries. It imports the libraries that it compares with.
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_benchmarks" not in path.parts)
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
each_file = pytest.mark.parametrize("file", TREES)

#: From the ground up; a room may import from rooms below it, not from its neighbours.
FLOORS = [
    ["errors"],
    ["random", "serialization", "gradcheck"],
    ["ops"],
    ["program", "arrays", "io", "rows"],
    ["backends"],
    ["graph"],
    ["activations", "initializers", "regularizers", "constraints", "schedules"],
    ["layers", "losses", "optimizers", "metrics"],
    ["viz"],
    ["callbacks"],
    ["training"],
    ["models"],
    ["data"],
    ["datasets"],
    ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
#: The doors: they open on every room, and no room looks out of them, but for the version.
DOORS = {"__init__.py": "names are imported when first used", "__main__.py": "starts the command line"}
READS_THE_VERSION = {"cli", "models", "training"}

#: Who calls ``importlib.import_module``, and why there is no import statement.
DYNAMIC = {
    "__init__.py": "`import fastnn` costs milliseconds: each name is imported when first used",
    "backends/__init__.py": "a backend brings its compiler along, so it is imported at the first training",
    "backends/cpu/blas.py": "finds SciPy's BLAS without loading the rest of scipy.linalg",
    "cli/__init__.py": "a command imports only what it needs",
    "data/__init__.py": "its transformers derive from classes of scikit-learn, which may be missing",
    "ops/custom.py": "the op table stands below the backends that it tells of a new op",
    "ops/libraries.py": "the op table stands below the backends that it calls",
}
#: Rooms that name the CPU backend itself.
NAMES_THE_CPU = {
    "backends/__init__.py": "finds the backends",
    "cli/cache.py": "describes the kernel cache",
    "cli/doctor.py": "describes BLAS and cores",
    "ops/custom.py": "tells it of a user's op",
    "ops/libraries.py": "finds the backend of an array",
}
#: Packages that may be missing: imported inside functions.
OPTIONAL = {
    *("pandas", "pyarrow", "sklearn", "matplotlib", "cupy", "IPython", "torch", "polars", "h5py"),
    *("tensorboard", "google", "mpl_toolkits", "skfolio", "great_tables", "statsmodels"),
}
#: Modules that are imported only when such a package is used, and import it at their top.
ONLY_WITH = {"data/transformers.py": "sklearn"}
#: Packages that are always there.
REQUIRED = {"numpy", "numba", "llvmlite", "scipy", "threadpoolctl", "tqdm"}

LONG_FILES = {
    "backends/cpu/activations.py": "one short scalar function for each activation and its derivative",
    "backends/gpu/executor.py": "a session from its memory to its launches, in the order it happens",
    "backends/cpu/executor.py": "a session from its memory to its threads, in the order it happens",
    "backends/cpu/vecmath.py": "polynomials of every elementary function in two precisions",
    "ops/loss_reference.py": "the equations of every loss and its gradient",
}
#: Longest function, its docstring not counted, and the exceptions.
LONGEST_FILE, LONGEST_FUNCTION = 400, 50
LONG_FUNCTIONS = {
    ("backends/gpu/executor.py", "__init__"): "the arguments of a session, and its set-up in order",
    ("backends/cpu/activations.py", "softmax"): "both layouts of one kernel, side by side",
    ("ops/activations.py", "elementwise"): "one call registers an op, its gradient and the samples of both",
    ("training/trainer.py", "__init__"): "binds model, data and options to one session of the executor",
    ("graph/plan.py", "plan"): "one pass over the graph with many options to hand on",
}


class Import(NamedTuple):
    module: str
    top: bool
    line: int


def imports(tree: ast.AST) -> Iterator[Import]:
    """Every import statement: the module, and whether it stands outside functions."""
    defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(node) for function in defined for node in ast.walk(function)}
    for node in ast.walk(tree):
        top = id(node) not in inside
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            module = node.module or ""
            if module == "fastnn":
                yield from (Import(f"fastnn.{alias.name}", top, node.lineno) for alias in node.names)
            else:
                yield Import(module, top, node.lineno)


def room_of(module: str) -> str:
    """``fastnn.ops.losses`` is in the room ``ops``; fastnn itself has no name."""
    return module.split(".")[1] if "." in module else ""


def names_in(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Every identifier, attribute and imported name with its line, and every keyword of a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno, False
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno, False
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno, True
        elif isinstance(node, ast.alias):
            yield node.name, node.lineno, False


def strings_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


IMPORTS = {file: list(imports(tree)) for file, tree in TREES.items()}
NAMES = {file: list(names_in(tree)) for file, tree in TREES.items()}
STRINGS = {file: list(strings_in(tree)) for file, tree in TREES.items()}


# --------------------------------------------------------------------------- imports
def test_every_room_has_a_floor():
    rooms = {Path(file).parts[0].removesuffix(".py") for file in TREES} - {"__init__", "__main__"}
    assert rooms <= set(FLOOR), "add the new room to FLOORS, as low as it can stand"


@each_file
def test_imports_point_downwards(file):
    room = Path(file).parts[0].removesuffix(".py")
    for module, _, line in IMPORTS[file]:
        if module.split(".")[0] != "fastnn" or file in DOORS:
            continue
        other = room_of(module)
        if not other:
            assert room in READS_THE_VERSION, f"{file}:{line} imports the whole package"
        else:
            allowed = (
                other == room
                or FLOOR[other] < FLOOR[room]
                or (other not in FLOOR and room in READS_THE_VERSION)
            )
            assert allowed, f"{file}:{line}: {room} stands below {other}, or beside it"


@each_file
def test_modules_of_fastnn_are_imported_at_the_top(file):
    for module, top, line in IMPORTS[file]:
        assert top or module.split(".")[0] != "fastnn", f"{file}:{line} imports {module} inside a function"
    names = {name for name, *_ in NAMES[file]}
    assert ("import_module" in names) == (file in DYNAMIC), DYNAMIC.get(
        file, "hides an import from this test"
    )
    assert "__import__" not in names


@each_file
def test_outside_packages_are_where_they_belong(file):
    for module, top, line in IMPORTS[file]:
        package, where = module.split(".")[0], f"{file}:{line} imports {module}"
        if package == "fastnn" or package in sys.stdlib_module_names:
            continue
        assert package in OPTIONAL | REQUIRED, where
        may_be_missing = package in OPTIONAL and package not in ("cupy", ONLY_WITH.get(file))
        assert not (may_be_missing and top), f"{where} at the top, but it may be missing"
        assert package not in ("numba", "llvmlite") or file.startswith("backends/cpu/"), where
        assert package != "cupy" or file.startswith("backends/gpu/"), where


@each_file
def test_devices_are_named_only_where_they_must_be(file):
    if file.startswith("backends/cpu/"):
        return
    named = {module for module, *_ in IMPORTS[file]} | {text for text, _ in STRINGS[file]}
    assert (file in NAMES_THE_CPU) == any(name.startswith("fastnn.backends.cpu") for name in named)


def test_the_two_backends_do_not_import_each_other():
    for file, found in IMPORTS.items():
        for module, _, line in found:
            for one, other in (("cpu", "gpu"), ("gpu", "cpu")):
                wrong = file.startswith(f"backends/{one}/") and module.startswith(f"fastnn.backends.{other}")
                assert not wrong, f"{file}:{line}"


# --------------------------------------------------------------------------- Numba
DECORATORS = {"njit", "jit", "cfunc", "CFunc", "guvectorize", "stencil", "prange"}
OPTIONS = {"fastmath", "error_model", "nopython", "nogil", "forceinline", "boundscheck", "parallel"}


@each_file
def test_numba_is_spelled_out_in_one_file(file):
    for name, line, is_keyword in NAMES[file]:
        stray = name in (OPTIONS if is_keyword else DECORATORS) and file != "backends/cpu/jit.py"
        assert not stray and name not in ("prange", "parallel"), f"{file}:{line} spells {name}"
    for text, line in STRINGS[file]:
        assert text not in ("nnan", "ninf", "fast"), f"{file}:{line}: {text!r} deletes NaN tests"


def test_numbas_options_are_the_houses():
    from fastnn.backends.cpu import jit

    assert {"reassoc", "contract", "arcp", "nsz", "afn"} == jit.FASTMATH
    calls = [node for node in ast.walk(TREES["backends/cpu/jit.py"]) if isinstance(node, ast.Call)]
    compiled = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "njit"]
    assert compiled
    for call in compiled:
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert options["error_model"] == "'numpy'" and options["fastmath"] in ("FASTMATH", "False"), (
            ast.unparse(call)
        )
    for options in (jit._KERNEL_OPTIONS, jit._EXACT_OPTIONS):
        assert options["error_model"] == "numpy" and options.get("fastmath", jit.FASTMATH) is jit.FASTMATH


#: Modules that files of kernels import and that no kernel holds a constant of.
NOT_COMPILED_IN = {
    "fastnn.errors", "fastnn.program", "fastnn.ops.registry", "fastnn.ops.dispatch", "fastnn.ops.losses",
    "fastnn.ops.bookkeeping",
}  # fmt: skip


def test_the_caches_key_covers_every_source_of_a_kernel():
    from fastnn.backends.cpu.cache import OUTER_SOURCES

    assert all((PACKAGE / name).is_file() for name in OUTER_SOURCES)
    for file, tree in TREES.items():
        for node in ast.walk(tree) if file.startswith("backends/cpu/") else ():
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("fastnn"):
                continue
            packages = ("fastnn", "fastnn.ops", "fastnn.backends.cpu")
            modules = (
                [f"{node.module}.{a.name}" for a in node.names] if node.module in packages else [node.module]
            )
            for module in modules:
                path = module.removeprefix("fastnn.").replace(".", "/") + ".py"
                covered = module.startswith("fastnn.backends.cpu") or path in OUTER_SOURCES
                assert covered or module in NOT_COMPILED_IN, (
                    f"{file}: an edit of {module} would not recompile"
                )


# --------------------------------------------------------------------------- randomness
@each_file
def test_no_global_generator(file):
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            allowed = {"Generator", "PCG64", "SeedSequence", "default_rng"}
            assert node.attr in allowed, f"{file}:{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("default_rng"):
            assert node.args, f"{file}:{node.lineno}: a generator without a seed"
    assert "random" not in {module for module, *_ in IMPORTS[file]}, "Python's global generator"


# --------------------------------------------------------------------------- sizes
def test_files_are_short_or_have_a_reason():
    found = {f for f in TREES if len((PACKAGE / f).read_text(encoding="utf-8").splitlines()) > LONGEST_FILE}
    assert found == set(LONG_FILES), (
        "a file near 400 lines asks for a reason in LONG_FILES; drop those that shrank"
    )


def test_functions_are_short_or_have_a_reason():
    found = set()
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                docstring = ast.get_docstring(node, clean=False) or ""
                lines = node.end_lineno - node.lineno + 1 - (len(docstring.splitlines()))
                if lines > LONGEST_FUNCTION:
                    found.add((file, node.name))
    assert found == set(LONG_FUNCTIONS), "a function near 50 lines asks for a reason; drop those that shrank"


def test_tests_have_names_of_their_own():
    names = [path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py"]
    assert len(set(names)) == len(names), "modules of tests share one namespace"
    assert not list(TESTS.rglob("__init__.py"))
