"""Makes the rivals' environments: `python -m benchmarks.make_envs DIR [--only torch jax] [-- PIP ARGS]`.

Each is DIR/bench-NAME with exactly the packages pinned in env/NAME.txt. Arguments after `--` go to pip; for
example an index that serves PyTorch's CPU builds (any build of the pinned version will do, the others are
only larger).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

PINS = {path.stem: path for path in sorted((Path(__file__).parent / "env").glob("*.txt"))}


def make(folder: Path, name: str, pip_args: list[str]) -> None:
    target = folder / f"bench-{name}"
    print(f"{target}: {PINS[name].name}", flush=True)
    if not (target / "bin" / "python").exists():
        venv.create(target, with_pip=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    if not PINS[name].read_text().startswith("# with dependencies"):
        pip.append("--no-deps")
    subprocess.run([*pip, "--requirement", str(PINS[name]), *pip_args], check=True)
    subprocess.run([str(target / "bin" / "python"), "-m", "pip", "check"], check=True)


def main() -> None:
    arguments, pip_args = sys.argv[1:], []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, pip_args = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_envs", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PINS), help="by default those of the CPU")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args(arguments)
    for name in args.only or [name for name in PINS if name.endswith("-gpu") == (args.device == "gpu")]:
        make(args.folder, name, pip_args)


if __name__ == "__main__":
    main()
