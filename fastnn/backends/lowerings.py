"""Which function lowers which op: the table that each backend's kernel files fill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from fastnn.errors import DeviceError

#: What an instruction is lowered to: a row of the CPU's table, a launch on the GPU.
Piece = TypeVar("Piece")


class Lowerings(Generic[Piece]):
    """Functions ``(instruction, target) -> pieces`` by op.

    Parameters
    ----------
    device : str
        For messages.
    """

    def __init__(self, device: str):
        self._device = device
        self._functions: dict[str, Callable[[Any, Any], Sequence[Piece]]] = {}

    def lowers(self, *ops: str) -> Callable[[Callable], Callable]:
        """Register the function that lowers these ops."""

        def decorator(function: Callable) -> Callable:
            for op in ops:
                self._functions[op] = function
            return function

        return decorator

    def unregister(self, *ops: str) -> None:
        """Forget how these ops are lowered."""
        for op in ops:
            self._functions.pop(op, None)

    def has_lowering(self, op: str) -> bool:
        """Whether this backend has a kernel for the op."""
        return op in self._functions

    def lower(self, instruction: Any, target: Any) -> Sequence[Piece]:
        """Return what an instruction is lowered to."""
        function = self._functions.get(instruction.op)
        if function is None:
            raise DeviceError(f"The {self._device} backend has no kernel for op {instruction.op!r}.")
        return function(instruction, target)
