"""Recognising a network of few steps in a program: dense layers, embeddings, sums and concatenations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastnn.backends.gpu.chain import MOST_LAYERS, MOST_WIDTH, Chain, Reader, need
from fastnn.backends.gpu.chain import recognise as plain
from fastnn.backends.gpu.chain_parts import Layer, Loss, Source, Sum
from fastnn.ops.activation_forms import form
from fastnn.ops.activations import ELEMENTWISE
from fastnn.program import Program, Ref

#: Every step is code of its own in the kernel; a table's gradient is summed number by number.
MOST_STEPS, MOST_INPUTS, MOST_TABLE = 24, 4, 1 << 14


class Step(NamedTuple):
    """One step of a network.

    Attributes
    ----------
    kind : {'numbers', 'embedding', 'dense', 'add', 'activation', 'drop'}
    reads : tuple of int
        Values; of numbers and an embedding the number of the input.
    writes : int
        The value that it gives.
    layer : Layer
        Its numbers: of an embedding `inputs` are the rows of the table, which begins at `weights`, and
        `units` its columns; of what has no weights both are its width.
    """

    kind: str
    reads: tuple[int, ...]
    writes: int
    layer: Layer


class Value(NamedTuple):
    """A block of columns of a tile.

    Attributes
    ----------
    width : int
    home : int
        The value in whose tile it lies; its own number if the tile is its own.
    column : int
        Where in it.
    sloped : bool
        Whether the slope by it is wanted.
    """

    width: int
    home: int
    column: int
    sloped: bool


@dataclass(frozen=True)
class Net:
    """A network with a loss: one training step but for its update section.

    Attributes
    ----------
    dtype : str
    steps : tuple of Step
        The last is a dense layer.
    values : tuple of Value
    softmax, loss, sums, target, weight, parameters
        As of a Chain.
    inputs : tuple of Source
    """

    dtype: str
    steps: tuple[Step, ...]
    values: tuple[Value, ...]
    softmax: bool
    loss: Loss
    sums: tuple[Sum, ...]
    inputs: tuple[Source, ...]
    target: Source
    weight: Source | None
    parameters: int

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The numbers of each step."""
        return tuple(step.layer for step in self.steps)

    @property
    def weights(self) -> int:
        """Elements of all weight matrices: the products' share of the arithmetic."""
        return sum(s.layer.inputs * s.layer.units for s in self.steps if s.kind == "dense")

    @property
    def work(self) -> int:
        """Multiply-adds of a row's forward pass; a number of a table is compared with every index."""
        tables = [s for s in self.steps if s.kind == "embedding"]
        return self.weights + sum(s.layer.inputs * s.layer.units * self.indices(s) for s in tables)

    @property
    def without_slopes(self) -> int:
        """Elements of the weight matrices whose input needs no gradient."""
        dense = [s for s in self.steps if s.kind == "dense" and not self.values[s.reads[0]].sloped]
        return sum(s.layer.inputs * s.layer.units for s in dense)

    @property
    def columns(self) -> int:
        """Numbers of a row that are read of the inputs."""
        widths = {s.reads[0]: self.indices(s) for s in self.steps if s.kind in ("numbers", "embedding")}
        return sum(widths.values())

    @property
    def outputs(self) -> int:
        """Width of the last layer."""
        return self.steps[-1].layer.units

    def indices(self, step: Step) -> int:
        """Return the columns of its input that a step reads."""
        width = self.values[step.writes].width
        return width // step.layer.units if step.kind == "embedding" else width


@dataclass
class NetReader(Reader):
    """Follows what each place in memory holds; dense layers are ('y', number), all else ('v', value)."""

    steps: list[Step] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    #: The value that a dense layer gives.
    given: list[int] = field(default_factory=list)
    #: Values that a step has read, so that nothing more may happen to them.
    used: set[int] = field(default_factory=set)

    def finish(self) -> Net:
        """Check the whole and return it."""
        need(self.loss is not None, "it has no loss")
        need(bool(self.sums) and self.sums[0].kind == "loss", "its loss is not summed")
        need(0 < len(self.layers) <= MOST_LAYERS, f"it has more than {MOST_LAYERS} dense layers")
        need(len(self.steps) <= MOST_STEPS, f"it has more than {MOST_STEPS} steps")
        need(self.steps[-1].writes == self.given[-1], "its loss does not follow its last dense layer")
        need(all(value.width <= MOST_WIDTH for value in self.values), f"it is wider than {MOST_WIDTH}")
        numbers = sorted(role for role in self.gathered if role.startswith("x"))
        return Net(
            self.program.dtype, tuple(self._with_layers()), tuple(self.values), self.softmax, self.loss,  # type: ignore[arg-type]
            tuple(self.sums), tuple(self.gathered[role] for role in numbers), self.gathered["target"],
            self.gathered.get("weight"), self.program.gradients,
        )  # fmt: skip

    def _with_layers(self) -> list[Step]:
        """Return the steps; what is known of dense layers in the end, with the activations that they got."""
        layers = dict(zip(self.given, self.layers, strict=True))
        return [s._replace(layer=layers.get(s.writes, s.layer)) for s in self.steps]

    def _reader_of(self, op: str) -> Any:
        readers = {
            "embedding": self._embedding, "reshape": self._reshape, "concatenate": self._concatenate,
            "add": self._add,
        }  # fmt: skip
        return readers.get(op) or super()._reader_of(op)

    # ------------------------------------------------------------------ values
    def _new(self, width: int, sloped: bool) -> int:
        self.values.append(Value(width, len(self.values), 0, sloped))
        return len(self.values) - 1

    def _input_number(self, source: Source) -> int:
        """Return the number of one of the caller's arrays among the inputs."""
        known = [role for role, one in self.gathered.items() if one == source and role.startswith("x")]
        role = known[0] if known else f"x{sum(r.startswith('x') for r in self.gathered)}"
        self.gathered[role] = source
        need(int(role[1:]) < MOST_INPUTS, f"it has more than {MOST_INPUTS} inputs")
        return int(role[1:])

    def _read(self, ref: Ref) -> int:
        """Return the value that an operand is; numbers of an input become one."""
        held = self._value(ref)
        if isinstance(held, Source):
            need(ref.spec.kind == "float", "integers are read as numbers")
            value = self._new(ref.spec.size, False)
            self._step("numbers", (self._input_number(held),), value)
            self._set(ref, ("v", value))
            held = ("v", value)
        need(isinstance(held, tuple) and held[0] in "yv", "an operand is not one of the network's values")
        value = self.given[held[1] - 1] if held[0] == "y" else held[1]
        self.used.add(value)
        return value

    def _step(self, kind: str, reads: tuple[int, ...], writes: int, layer: Layer | None = None) -> None:
        width = self.values[writes].width
        self.steps.append(Step(kind, reads, writes, layer or Layer(width, width, -1, -1)))

    def _sloped(self, *values: int) -> bool:
        return any(self.values[value].sloped for value in values)

    # ------------------------------------------------------------------ forward
    def _dense(self, instruction: Any) -> None:
        x, w = instruction.inputs[:2]
        inputs, units = w.spec.shape
        need(self.loss is None and not self.softmax, "a layer follows the loss")
        need(x.spec.size == inputs and w.region == "parameter", "a dense layer works on several vectors")
        value = self._read(x)
        self.layers.append(self._layer_of(instruction))
        self.given.append(self._new(units, True))
        self._step("dense", (value,), self.given[-1])
        self._set(instruction.outputs[0], self._end())

    def _embedding(self, instruction: Any) -> None:
        index, table = instruction.inputs
        source = self._value(index)
        need(isinstance(source, Source) and table.region == "parameter", "an index is computed")
        need(table.spec.size <= MOST_TABLE, f"a table has more than {MOST_TABLE} numbers")
        rows, columns = table.spec.shape
        value = self._new(instruction.outputs[0].spec.size, True)
        layer = Layer(rows, columns, table.offset // self.item, -1)
        self._step("embedding", (self._input_number(source),), value, layer)
        self._set(instruction.outputs[0], ("v", value))

    def _reshape(self, instruction: Any) -> None:
        held = self._value(instruction.inputs[0])
        if not isinstance(held, Source):
            self._read(instruction.inputs[0])  # a second name: an activation of it is a step of its own
        self._set(instruction.outputs[0], held)

    def _concatenate(self, instruction: Any) -> None:
        need(all(len(ref.spec.shape) == 1 for ref in instruction.inputs), "matrices are joined")
        parts = [self._read(ref) for ref in instruction.inputs]
        whole = self._new(sum(self.values[part].width for part in parts), self._sloped(*parts))
        column = 0
        for part in parts:
            need(self.values[part].home == part, "a value is in two concatenations")
            self._move(part, whole, column)
            column += self.values[part].width
        self._set(instruction.outputs[0], ("v", whole))

    def _move(self, part: int, whole: int, column: int) -> None:
        """Let a value, with those that lie in it, lie in another."""
        for number, value in enumerate(self.values):
            if value.home == part:
                self.values[number] = value._replace(home=whole, column=column + value.column)

    def _add(self, instruction: Any) -> None:
        reads = tuple(self._read(ref) for ref in instruction.inputs)
        value = self._new(instruction.outputs[0].spec.size, self._sloped(*reads))
        self._step("add", reads, value)
        self._set(instruction.outputs[0], ("v", value))

    def _activation(self, instruction: Any) -> None:
        """Take an activation: a dense layer's own where nothing else reads its sums, else a step."""
        (x,), (y,) = instruction.inputs, instruction.outputs
        fresh = self._value(x) == self._end() and bool(self.layers) and self.given[-1] not in self.used
        if fresh and self.layers[-1].form == "linear":
            super()._activation(instruction)
            return
        value = self._read(x)
        kind, constants = form(instruction.op, instruction.attrs)
        out, width = self._new(x.spec.size, self._sloped(value)), x.spec.size
        saves = ELEMENTWISE[instruction.op]
        self._step("activation", (value,), out, Layer(width, width, -1, -1, kind, constants, saves))
        self._set(y, ("v", out))

    def _dropped(self, instruction: Any) -> None:
        (x,) = instruction.inputs
        need(self.loss is None and not self.softmax, "dropout follows the loss")
        value, width = self._read(x), x.spec.size
        out = self._new(width, self._sloped(value))
        self._step("drop", (value,), out, Layer(width, width, -1, -1, drop=self._drop_of(instruction)))
        self._set(instruction.outputs[0], ("v", out))

    # ------------------------------------------------------------------ backward
    @staticmethod
    def _is_backward(instruction: Any) -> bool:
        return instruction.op in ("add", "slice", "reshape", "embedding_grad") or Reader._is_backward(
            instruction
        )

    def _check_backward(self) -> None:
        """Check that every layer and table is trained, by this pass alone."""

        def places(*ops: str) -> list[int]:
            return sorted(i.outputs[0].offset // self.item for i in self.backward if i.op in ops)

        need(not any(i.accumulate for i in self.backward), "weights are shared")
        weights = [step.layer.weights for step in self.steps if step.kind == "embedding"]
        weights += [layer.weights for layer in self.layers]
        biases = [layer.bias for layer in self.layers if layer.bias >= 0]
        need(places("dense_dw", "embedding_grad") == sorted(weights), "not every layer is trained")
        need(places("dense_db") == sorted(biases), "not every bias is trained")
        back = sum(i.op == "dense_dx" for i in self.backward)
        need(
            back == sum(s.kind == "dense" and self._sloped(*s.reads) for s in self.steps),
            "a gradient is stopped",
        )


def recognise(program: Program) -> Chain | Net:
    """Return the plain stack of dense layers, or else the network, that a training program is.

    Raises
    ------
    Unlike
        If it is neither; says why.
    """
    chain = plain(program)
    return NetReader(program).read() if chain is None else chain
