"""The planner: from a graph to a program, with every temporary placed in memory."""

from __future__ import annotations

from collections.abc import Sequence

from fastnn.graph.fuse import fuse_activations, fuse_backward
from fastnn.graph.fuse_rows import fuse_rows
from fastnn.graph.trace import Graph, Node, Value
from fastnn.ops.activations import ELEMENTWISE
from fastnn.ops.bookkeeping import METRICS
from fastnn.ops.losses import LOSSES
from fastnn.ops.registry import Spec
from fastnn.program import ARRAYS_OF_A_PART, Instruction, Program, Ref, Source, product_flops

#: Up to this many units a layer, blocks are stored (units, rows) and rows fill the vector lanes.
NARROW = 12
#: Ops that know the (units, rows) layout; any other op makes the program row-major.
UNITS_MAJOR_OPS = frozenset(
    "dense dense_dx dense_dw dense_db softmax softmax_grad log_softmax log_softmax_grad dropout "
    "alpha_dropout add subtract multiply maximum maximum_grad minimum minimum_grad scale concatenate slice "
    "slice_grad sum_rows accumulate store activity_penalty_grad".split()
) | {*METRICS, *(f"{name}_grad" for name in LOSSES)}
#: Ops that mix the rows of a batch.
WHOLE_BATCH_OPS = frozenset(["batch_norm_train", "batch_norm_dx"])
_ITEMSIZE = {"float32": 4, "float64": 8}
INT_BYTES = 4
INDEX_BYTES = 8


def plan(
    graph: Graph,
    dtype: str,
    *,
    sources: Sequence[Source],
    outputs: Sequence[Spec] = (),
    accumulators: Sequence[str] = (),
    update: Sequence[Instruction] = (),
    parameters: int,
    gradients: int = 0,
    slots: int = 0,
    in_place: bool = False,
    staged: bool = False,
    row_major: bool = False,
) -> Program:
    """Plan a graph's memory and order.

    Parameters
    ----------
    graph : Graph
        Pruned to what is needed; changed in place by fusion.
    dtype : {'float32', 'float64'}
    sources : sequence of str or tuple of PartSource
        For each graph input the dtype of the caller's array, with ``:strided`` where a row's numbers are
        not adjacent, or the parts that its rows are put together from; batches are converted as they are
        gathered.
    staged : bool
        The inputs will be cut into (units, rows) blocks beforehand if the program wants that layout.
    row_major : bool
        Store blocks ``(rows, units)`` even where all layers are narrow, and leave passes over them in the ops
        they were traced in: for executors that fuse on their own.
    outputs, accumulators, update, parameters, gradients, slots, in_place
        As in :class:`Program`.
    """
    fuse_activations(graph)
    itemsize = _ITEMSIZE[dtype]
    units_major = not row_major and _narrow(graph)
    flops_per_row = _flops(graph.nodes)  # before fusion: what is worth a lane does not depend on it
    if units_major:
        fuse_backward(graph)
        in_place = staged
    elif not row_major:
        fuse_rows(graph)
    memory = _Memory(itemsize)
    used = {value.number for node in graph.nodes for value in node.inputs}
    inputs = [value for value in graph.inputs if value.number in used]
    block = _reads(inputs, sources, memory, in_place)
    parts_row_bytes = memory.keep() if in_place else 0
    last_use = _last_uses(graph)
    for position, node in enumerate(graph.nodes):
        if node.op == "activation_backward" and node.inputs[0].number in last_use.get(position, ()):
            memory.take_over(node.inputs[0], node.outputs[0])
        outs = tuple(memory.place(value) for value in node.outputs)
        ins = tuple(memory.ref(value) for value in node.inputs)
        if "accumulator" in node.attrs:
            outs = (Ref("accumulator", 8 * node.attrs["accumulator"], Spec((), rows=False)),)
        elif node.op == "store":
            ins, outs = _store(node, ins, itemsize, None if in_place else block[0].outputs[0])
        block.append(Instruction(node.op, ins, outs, node.attrs, node.accumulate))
        for number in last_use.get(position, ()):
            memory.release(number)
    return Program(
        block,
        list(update),
        dtype,
        arena_row_bytes=memory.peak,
        parts_row_bytes=parts_row_bytes,
        fixed_bytes=memory.fixed,
        inputs=_arrays(graph.inputs, sources),
        outputs=tuple(outputs),
        accumulators=tuple(accumulators),
        parameters=parameters,
        gradients=gradients,
        slots=slots,
        units_major=units_major,
        in_place=in_place,
        whole_batch=any(node.op in WHOLE_BATCH_OPS for node in graph.nodes),
        flops_per_row=flops_per_row,
    )


def _reads(
    inputs: Sequence[Value], sources: Sequence[Source], memory: _Memory, in_place: bool
) -> list[Instruction]:
    """Place the inputs, and return the instructions that gather those which are not read in place."""
    gathered = [value for value in inputs if not in_place or not isinstance(sources[value.offset], str)]
    block = [_order(memory)] if gathered else []
    for value in inputs:
        source, number = sources[value.offset], _first_array(sources, value.offset)
        if value not in gathered:
            row_bytes = value.spec.size * _bytes_of(value.spec, memory.itemsize)
            memory.refs[value.number] = Ref("input", 0, value.spec, number, row_bytes)
            continue
        destination = memory.place(value)
        order = block[0].outputs[0]
        if isinstance(source, str):
            name, _, layout = source.partition(":")
            attrs: dict = {"source": name, "contiguous": layout != "strided"}
            array = Ref("input", 0, value.spec, number)
            block.append(Instruction("gather", (order, array), (destination,), attrs))
            continue
        column = 0
        for part in source:
            arrays = [Ref("input", 0, value.spec, number + k) for k in range(ARRAYS_OF_A_PART)]
            attrs = {"part": part, "column": column}
            block.append(Instruction("gather_part", (order, *arrays), (destination,), attrs))
            number += ARRAYS_OF_A_PART
            column += part.columns
    return block


def _arrays_of(source: Source) -> int:
    return 1 if isinstance(source, str) else ARRAYS_OF_A_PART * len(source)


def _first_array(sources: Sequence[Source], number: int) -> int:
    """Return which of the caller's arrays is the first of an input."""
    return sum(map(_arrays_of, sources[:number]))


def _arrays(inputs: Sequence[Value], sources: Sequence[Source]) -> tuple[Spec | None, ...]:
    """Return what each of the caller's arrays holds: an input's rows, or (None) what a part is made of."""
    found: list[Spec | None] = []
    for value, source in zip(inputs, sources, strict=True):
        found += [value.spec] if isinstance(source, str) else [None] * _arrays_of(source)
    return tuple(found)


def _store(
    node: Node, ins: tuple[Ref, ...], itemsize: int, order: Ref | None
) -> tuple[tuple[Ref, ...], tuple[Ref, ...]]:
    """Place a write to the caller's array: in order, or (given the order) where the rows came from."""
    spec, index = ins[0].spec, node.attrs["output"]
    if order is None:
        return ins, (Ref("output", 0, spec, index, spec.size * itemsize),)
    return (*ins, order), (Ref("output", 0, spec, index),)


class _Memory:
    """Places temporaries, reusing space after the last reader has run. Offsets are bytes a row."""

    def __init__(self, itemsize: int):
        self.itemsize = itemsize
        self.refs: dict[int, Ref] = {}
        self.free: list[tuple[int, int]] = []  # (offset, size), sorted by offset
        self.sizes: dict[int, tuple[int, int]] = {}
        self.peak = 0
        self.fixed = 0

    def ref(self, value: Value) -> Ref:
        ref = self.refs.get(value.number)
        if ref is None:  # parameters are placed by their owner
            ref = self.refs[value.number] = Ref("parameter", value.offset * self.itemsize, value.spec)
        return ref

    def take_over(self, last: Value, value: Value) -> None:
        """Place a value where one is that its own node reads last, element by element."""
        if last.number in self.sizes:
            self.sizes[value.number] = self.sizes.pop(last.number)
            self.refs[value.number] = self.refs[last.number]._replace(spec=value.spec)

    def place(self, value: Value) -> Ref:
        if value.number in self.refs:
            return self.refs[value.number]
        spec = value.spec
        size = spec.size * _bytes_of(spec, self.itemsize)
        if value.role == "gradient":
            ref = Ref("gradient", value.offset * self.itemsize, spec)
        elif spec.rows:
            ref = Ref("arena", self.take(value.number, size), spec)
        else:
            ref = Ref("fixed", self.fixed, spec)
            self.fixed += -(-size // 64) * 64
        self.refs[value.number] = ref
        return ref

    def take(self, number: int, size: int) -> int:
        size = max(size, 1)
        size += -size % 4  # a row's share stays a multiple of 4 bytes; blocks hold a multiple of 16 rows
        best = -1
        for index, (_, room) in enumerate(self.free):
            if room >= size and (best < 0 or room < self.free[best][1]):
                best = index
        if best >= 0:
            offset, room = self.free.pop(best)
            if room > size:
                self.free.insert(best, (offset + size, room - size))
        else:
            offset = self.peak
            self.peak += size
        self.sizes[number] = (offset, size)
        return offset

    def keep(self) -> int:
        """Never release what has been placed so far; returns its bytes a row."""
        self.sizes.clear()
        return self.peak

    def release(self, number: int) -> None:
        if number not in self.sizes:
            return
        self.free.append(self.sizes.pop(number))
        self.free.sort()
        merged: list[tuple[int, int]] = []
        for offset, size in self.free:
            if merged and merged[-1][0] + merged[-1][1] == offset:
                merged[-1] = (merged[-1][0], merged[-1][1] + size)
            else:
                merged.append((offset, size))
        self.free = merged


def _bytes_of(spec: Spec, itemsize: int) -> int:
    return itemsize if spec.kind == "float" else INT_BYTES


def _order(memory: _Memory) -> Instruction:
    offset = memory.take(-1, INDEX_BYTES)
    return Instruction("order", (), (Ref("arena", offset, Spec((1,), kind="index")),))


def _last_uses(graph: Graph) -> dict[int, list[int]]:
    """Map a node's position to the values whose last reader it is (or that nobody reads)."""
    last: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        for value in (*node.outputs, *node.inputs):
            last[value.number] = position
    found: dict[int, list[int]] = {}
    for number, position in last.items():
        found.setdefault(position, []).append(number)
    return found


def _narrow(graph: Graph) -> bool:
    """Whether every value is narrow, flat, and made by ops that know the (units, rows) layout."""
    for node in graph.nodes:
        if node.op not in UNITS_MAJOR_OPS and node.op.removesuffix("_grad") not in ELEMENTWISE:
            return False
        for value in (*node.inputs, *node.outputs):
            if value.spec.rows and (len(value.spec.shape) > 1 or value.spec.size > NARROW):
                return False
    return True


def _flops(nodes: Sequence[Node]) -> int:
    return sum(
        product_flops(node) or 4 * sum(value.spec.size for value in node.outputs if value.spec.rows)
        for node in nodes
    )
