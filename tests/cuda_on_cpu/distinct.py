"""The distinct kernels among many variants of the same sources.

A macro that picks an activation leaves most kernels of its file as they were. Compiling each kernel once for
each text that it and the functions it calls can have proves as much as compiling every variant whole.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import shim

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_NAME = re.compile(r"(\w+)\s*\(")


class Parts(NamedTuple):
    """A variant after its macros.

    Attributes
    ----------
    variant
    kernels : dict of str to str
        The text of each kernel.
    closures : dict of str to str
        The text of each kernel and of all that it names, directly or not.
    others : list of str
        Everything that is no kernel.
    """

    variant: Any
    kernels: dict[str, str]
    closures: dict[str, str]
    others: list[str]


class Unit(NamedTuple):
    """Kernels of a variant that no variant before it had, and a source of just these."""

    variant: Any
    kernels: tuple[str, ...]
    source: str


def preprocessed(code: str, options: Iterable[str]) -> str:
    """Return the text after its macros."""
    macros = [option for option in options if option.startswith("-D")]
    done = subprocess.run(
        [shim.compiler(), "-E", "-P", "-x", "c++", *macros, "-"], input=code, capture_output=True, text=True
    )
    if done.returncode:
        raise shim.KernelError(done.stderr)
    return done.stdout


def chunks(text: str) -> Iterator[str]:
    """Split at the declarations and definitions of the top level."""
    depth = start = 0
    for at, character in enumerate(text):
        depth += (character in "{(") - (character in "})")
        ends = character == "}" and not text[at + 1 :].lstrip().startswith(";")
        if depth == 0 and (character == ";" or (ends and "(" in text[start:at])):
            yield text[start : at + 1].strip()
            start = at + 1


def name_of(chunk: str) -> str:
    """Return the name of a function, or the last word before a brace or semicolon."""
    head = re.sub(r"__launch_bounds__\s*\([^)]*\)", "", chunk.split("{")[0])
    found = _NAME.search(head)
    return found[1] if found else _IDENTIFIER.findall(head)[-1]


def parts(variant: Any) -> Parts:
    """Take a variant's text apart."""
    found = list(chunks(preprocessed(variant.code(), variant.options())))
    kernels = {name_of(part): part for part in found if "__global__" in part}
    others = [part for part in found if "__global__" not in part]
    named: dict[str, list[str]] = {}
    for part in others:
        named.setdefault(name_of(part), []).append(part)
    return Parts(variant, kernels, {name: _closure(body, named) for name, body in kernels.items()}, others)


def units(several: Iterable[Parts]) -> Iterator[Unit]:
    """Yield what has to be compiled so that every kernel of every variant has been, once."""
    seen: set[tuple[str, str]] = set()
    for one in several:
        keys = {name: (f"{one.variant.source}/{name}", text) for name, text in one.closures.items()}
        fresh = [name for name, key in keys.items() if key not in seen]
        seen.update(keys.values())
        if fresh:
            yield Unit(one.variant, tuple(fresh), "\n".join([*one.others, *map(one.kernels.get, fresh)]))  # type: ignore[list-item]


def together(several: Sequence[Unit]) -> tuple[str, dict[str, tuple[Any, str]]]:
    """Return one source for several units, each in a namespace, and whose its kernels are.

    Starting the compiler takes longer than compiling most kernels.
    """
    texts, owners = [], {}
    for number, unit in enumerate(several):
        source = unit.source
        for kernel in unit.kernels:
            renamed = f"{kernel}_{number}"
            source = re.sub(rf"\b{kernel}(?=\s*\()", renamed, source)
            owners[renamed] = (unit.variant, kernel)
        texts.append(f"namespace v{number} {{\n{source}\n}}")
    return "\n".join(texts), owners


def _closure(body: str, named: dict[str, list[str]]) -> str:
    """Return the text of a kernel and of everything it names, directly or not."""
    found, todo = {}, [body]
    while todo:
        for word in _IDENTIFIER.findall(todo.pop()):
            if word in named and word not in found:
                found[word] = named[word]
                todo += named[word]
    return "\n".join([body, *(text for word in sorted(found) for text in found[word])])
