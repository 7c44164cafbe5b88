"""Recognising a plain stack of dense layers in a program, so that few kernels do its whole training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastnn.backends.gpu import kernels
from fastnn.backends.gpu.chain_parts import Drop, Layer, Loss, Source, Sum
from fastnn.backends.gpu.lowering import Launch, Target
from fastnn.ops.activation_forms import form
from fastnn.ops.activations import ELEMENTWISE
from fastnn.program import Program, Ref

MOST_LAYERS, MOST_WIDTH = 8, 128
#: Metrics that are sums over rows, as chain.cu names them.
_SUMS = {
    "metric_binary_accuracy": "binary_accuracy",
    "metric_mean_squared_error": "mean_squared_error",
    "metric_mean_absolute_error": "mean_absolute_error",
    "metric_categorical_accuracy": "categorical_accuracy",
    "metric_sparse_categorical_accuracy": "sparse_categorical_accuracy",
}
DROPS = {"dropout": 1, "alpha_dropout": 2}


class Unlike(Exception):
    """The program is not what the reader knows; the message says why."""


@dataclass(frozen=True)
class Chain:
    """A stack of dense layers with a loss: one training step but for its update section.

    Attributes
    ----------
    dtype : str
    layers : tuple of Layer
    softmax : bool
        The last layer's activation, for metrics alone.
    loss : Loss
    sums : tuple of Sum
        The loss comes first.
    x, target : Source
    weight : Source or None
    parameters : int
        Length of the flat vectors.
    """

    dtype: str
    layers: tuple[Layer, ...]
    softmax: bool
    loss: Loss
    sums: tuple[Sum, ...]
    x: Source
    target: Source
    weight: Source | None
    parameters: int

    @property
    def inputs(self) -> tuple[Source, ...]:
        """What the kernels read besides target and weight."""
        return (self.x,)

    @property
    def columns(self) -> int:
        """Numbers of a row that are read of the inputs."""
        return self.layers[0].inputs

    @property
    def work(self) -> int:
        """Multiply-adds of a row's forward pass."""
        return self.weights

    @property
    def without_slopes(self) -> int:
        """Elements of the weight matrices whose input needs no gradient."""
        return self.layers[0].inputs * self.layers[0].units

    @property
    def outputs(self) -> int:
        """Width of the last layer."""
        return self.layers[-1].units

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths of the input and of each layer."""
        return (self.layers[0].inputs, *(layer.units for layer in self.layers))

    @property
    def weights(self) -> int:
        """Elements of all weight matrices: the products' share of the arithmetic."""
        return sum(layer.inputs * layer.units for layer in self.layers)


def recognise(program: Program) -> Chain | None:
    """Return the plain stack of dense layers that a training program is, or None."""
    try:
        return Reader(program).read()
    except Unlike:
        return None


@dataclass
class Reader:
    """Reads a plain stack of dense layers: follows what each place in memory holds, step by step."""

    program: Program
    holds: dict[tuple[str, int], Any] = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    gathered: dict[str, Source] = field(default_factory=dict)
    sums: list[Sum] = field(default_factory=list)
    loss: Loss | None = None
    drop: Drop | None = None
    softmax: bool = False
    backward: list[Any] = field(default_factory=list)

    @property
    def item(self) -> int:
        return 4 if self.program.dtype == "float32" else 8

    def read(self) -> Any:
        """Return what the program is.

        Raises
        ------
        Unlike
            If it is something else.
        """
        need(bool(self.program.gradients), "nothing is trained")
        need(not self.program.outputs, "its predictions are kept, for a metric")
        for instruction in self.program.block:
            if self.loss is not None and self._is_backward(instruction):
                self.backward.append(instruction)
                continue
            self._reader_of(instruction.op)(instruction)
        self._check_backward()
        return self.finish()

    def finish(self) -> Any:
        """Check the whole and return it."""
        need(self.loss is not None and self.drop is None and 0 < len(self.layers) <= MOST_LAYERS)
        need(bool(self.sums) and self.sums[0].kind == "loss")
        need(all(0 < width <= MOST_WIDTH for layer in self.layers for width in (layer.inputs, layer.units)))
        return Chain(
            self.program.dtype, tuple(self.layers), self.softmax, self.loss,  # type: ignore[arg-type]
            tuple(self.sums), self.gathered["x"], self.gathered["target"], self.gathered.get("weight"),
            self.program.gradients,
        )  # fmt: skip

    def _reader_of(self, op: str) -> Callable[[Any], None]:
        readers = {
            "order": self._order, "gather": self._gather, "dense": self._dense, "softmax": self._softmax,
            "accumulate": self._accumulate, **dict.fromkeys(ELEMENTWISE, self._activation),
            **dict.fromkeys(DROPS, self._dropped), **dict.fromkeys(_SUMS, self._metric),
        }  # fmt: skip
        reader = readers.get(op, self._loss if op.endswith("_grad") else None)
        need(reader is not None, f"it has the op {op!r} in its forward pass")
        return reader  # type: ignore[return-value]

    # ------------------------------------------------------------------ what a place holds
    def _value(self, ref: Ref) -> Any:
        return self.holds.get((ref.region, ref.offset))

    def _set(self, ref: Ref, value: Any) -> None:
        self.holds[ref.region, ref.offset] = value

    def _end(self) -> tuple[str, int]:
        """Name what the last layer so far gives, or the dropout after it."""
        return ("dropped" if self.drop else "y", len(self.layers))

    # ------------------------------------------------------------------ forward
    def _order(self, instruction: Any) -> None:
        self._set(instruction.outputs[0], ("order", 0))

    def _gather(self, instruction: Any) -> None:
        _, array = instruction.inputs
        self._set(instruction.outputs[0], Source(array.index, instruction.attrs["source"]))

    def _input(self, ref: Ref, role: str) -> None:
        """Take an operand as the chain's input, target or weight."""
        source = self._value(ref)
        need(isinstance(source, Source) and self.gathered.setdefault(role, source) == source)

    def _dense(self, instruction: Any) -> None:
        x, w = instruction.inputs[:2]
        need(self.loss is None and x.spec.size == w.spec.shape[0] and w.region == "parameter")
        if not self.layers and isinstance(self._value(x), Source):
            self._input(x, "x")
        else:
            need(self._value(x) == self._end())
        self.layers.append(self._layer_of(instruction)._replace(drop=self.drop))
        self.drop = None
        self._set(instruction.outputs[0], self._end())

    def _layer_of(self, instruction: Any) -> Layer:
        """Return a dense layer; a fused activation keeps the output alone."""
        _, w, *bias = instruction.inputs
        attrs = instruction.attrs
        kind, constants = form(attrs.get("activation", "linear"), attrs.get("activation_attrs", {}))
        at = bias[0].offset // self.item if bias else -1
        inputs, units = w.spec.shape
        return Layer(inputs, units, w.offset // self.item, at, kind, constants)

    def _activation(self, instruction: Any) -> None:
        (x,), (y,) = instruction.inputs, instruction.outputs
        need(self._value(x) == self._end() and bool(self.layers) and self.drop is None)
        layer = self.layers[-1]
        need(layer.form == "linear" and not self.softmax)
        kind, constants = form(instruction.op, instruction.attrs)
        self.layers[-1] = layer._replace(form=kind, constants=constants, saves=ELEMENTWISE[instruction.op])
        self._set(x, ("z", len(self.layers)))
        self._set(y, self._end())

    def _softmax(self, instruction: Any) -> None:
        (x,), (y,) = instruction.inputs, instruction.outputs
        need(self._value(x) == self._end() and bool(self.layers) and self.layers[-1].form == "linear")
        self.softmax = True
        self._set(x, ("z", len(self.layers)))
        self._set(y, self._end())

    def _dropped(self, instruction: Any) -> None:
        (x,) = instruction.inputs
        need(self.drop is None and self.loss is None and not self.softmax)
        if not self.layers and isinstance(self._value(x), Source):
            self._input(x, "x")
        else:
            need(self._value(x) == self._end())
        self.drop = self._drop_of(instruction)
        self._set(instruction.outputs[0], self._end())

    def _drop_of(self, instruction: Any) -> Drop:
        numbers = kernels.lower(instruction, Target(self.program.dtype))[0].arguments[-7:]
        return Drop(DROPS[instruction.op], *numbers)

    # ------------------------------------------------------------------ loss and metrics
    def _loss(self, instruction: Any) -> None:
        need(self.loss is None, "it has several losses")
        need(len(instruction.inputs) in (2, 3) and self.drop is None, "its loss is unlike others")
        target, prediction, *weight = instruction.inputs
        held = self._value(prediction)
        last = len(self.layers)
        need(
            bool(self.layers) and held in (("y", last), ("z", last)), "its loss does not follow a dense layer"
        )
        on_logits = held == ("z", last) or self.layers[-1].form == "linear"
        need(on_logits or not self.softmax)
        need(not (self.softmax and held == ("y", last)), "its loss is computed from softmax's output")
        launches = kernels.lower(instruction, Target(self.program.dtype))
        need(len(launches) == 1, f"its loss takes several kernels: {instruction.op}")
        self.loss = _loss_of(launches[0], on_logits)
        labels = self.loss.name == "labels"
        need(labels == (target.spec.kind == "int") and (labels or target.spec.size == prediction.spec.size))
        self._input(target, "target")
        if weight:
            self._input(weight[0], "weight")
        slope, rows = instruction.outputs
        self._set(slope, ("slope", last))
        self._set(rows, ("rows", 0))

    def _accumulate(self, instruction: Any) -> None:
        values, *weight = instruction.inputs
        number = instruction.outputs[0].offset // 8
        if self._value(values) == ("rows", 0):
            need(not self.sums)
            kind = "loss"
        else:
            need(not weight)
            self._input(values, "weight")
            kind = "weights"
        if weight:
            self._input(weight[0], "weight")
        self.sums.append(Sum(kind, number, bool(weight)))

    def _metric(self, instruction: Any) -> None:
        target, prediction, *weight = instruction.inputs
        need(self.loss is not None and self._value(prediction) == self._end())
        self._input(target, "target")
        if weight:
            self._input(weight[0], "weight")
        kind, number = _SUMS[instruction.op], instruction.outputs[0].offset // 8
        need(("sparse" in kind) == (target.spec.kind == "int"))
        self.sums.append(Sum(kind, number, bool(weight)))

    # ------------------------------------------------------------------ backward
    @staticmethod
    def _is_backward(instruction: Any) -> bool:
        op = instruction.op
        return op.startswith("dense_") or op == "multiply" or op.removesuffix("_grad") in ELEMENTWISE

    def _check_backward(self) -> None:
        """Check that the backward pass is that of the chain, all of it: every layer is trained."""

        def places(op: str) -> list[int]:
            return sorted(i.outputs[0].offset // self.item for i in self.backward if i.op == op)

        need(not any(i.accumulate for i in self.backward))
        need(places("dense_dw") == sorted(layer.weights for layer in self.layers))
        need(places("dense_db") == sorted(layer.bias for layer in self.layers if layer.bias >= 0))
        need(sum(i.op == "dense_dx" for i in self.backward) == len(self.layers) - 1)
        drops = sum(layer.drop is not None for layer in self.layers[1:])
        need(sum(i.op == "multiply" for i in self.backward) == drops)


def need(condition: bool, why: str = "it is no plain stack of dense layers") -> None:
    """Raise Unlike, saying why, unless a condition holds."""
    if not condition:
        raise Unlike(why)


def _loss_of(launch: Launch, on_logits: bool) -> Loss:
    """Read a loss off the launch that it is otherwise lowered to."""
    defines = dict(launch.variant.defines)
    if launch.name == "columns":
        _, _, _, _, _, _, _, scale, mean, each, a, b, c = launch.arguments
        name = str(defines["LOSS"]).removeprefix("LOSS_")
        return Loss(name, on_logits, int(defines.get("BALANCED", 0)), mean, (scale, each, a, b, c))
    need(launch.name == "logits", f"its loss is of a kind of its own: {launch.name}")
    labels, scale, mean, a, b = launch.arguments[1], *launch.arguments[8:12]
    return Loss("labels" if labels is not None else "shares", on_logits, 0, mean, (scale, 1.0, a, b, 0.0))
