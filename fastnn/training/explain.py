"""Where the time of a training step goes, and what this machine would allow at best."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import backends
from fastnn.errors import DeviceError
from fastnn.training.step import target_spec
from fastnn.training.table import read_inputs, read_table
from fastnn.training.trainer import Training

#: Steps run before anything is measured, so that there are data to work on.
STEPS_BEFORE = 5
HEADINGS = ("us", "times", "share", "floor", "reached", "bound by", "instruction", "kernel")


@dataclass(repr=False)
class SpeedReport:
    """A training step's time, instruction by instruction; printed as a table.

    Attributes
    ----------
    rows : list of RowTime
        ``section, op, kernel, times, microseconds, floor, bound, product``, as in
        :class:`fastnn.backends.cpu.profile.RowTime`: one row of the program each, timed alone on one thread.
    batch_size, block, blocks, lanes, threads : int
        Rows of a step and of a block, blocks of a step, shares that threads may take, threads.
    why : dict of str to str
        The rule that chose ``'block'``, ``'lanes'`` and ``'threads'``.
    alone, team : float or None
        Microseconds of a whole step by one thread, and by all `threads` (None where that is one).
    gemm_rate, bandwidth : float
        Of one thread of this machine: operations a second of large products, bytes a second read from memory.
    dtype : str
    name : str
        The model's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(4,))])
    >>> model.compile("sgd", "mse")
    >>> report = model.explain_speed(np.ones((64, 4)), batch_size=16)
    >>> report.blocks, report.lanes, report.threads
    (1, 1, 1)
    >>> [row.op for row in report.rows if row.product]
    ['dense', 'dense_dw']
    """

    name: str
    dtype: str
    batch_size: int
    block: int
    blocks: int
    lanes: int
    threads: int
    why: dict[str, str]
    rows: list[Any]
    alone: float
    team: float | None
    gemm_rate: float
    bandwidth: float

    @property
    def total(self) -> float:
        """Microseconds of all rows, as often as a step runs them."""
        return float(sum(row.times * row.microseconds for row in self.rows))

    @property
    def floor(self) -> float:
        """Microseconds of all rows' floors."""
        return float(sum(row.times * row.floor for row in self.rows))

    @property
    def products(self) -> float:
        """Microseconds of the products of matrices."""
        return float(sum(row.times * row.microseconds for row in self.rows if row.product))

    def _head(self) -> list[str]:
        blocks = f"{self.blocks} block{'s' * (self.blocks > 1)}"
        return [
            f"A training step of {self.name!r} on {self.batch_size:,} rows, {self.dtype}",
            f"  {blocks} of {self.block:,} rows: {self.why['block']}",
            f"  {self.lanes} lane{'s' * (self.lanes > 1)}: {self.why['lanes']}",
            f"  {self.threads} thread{'s' * (self.threads > 1)}: {self.why['threads']}",
        ]

    def _foot(self) -> list[str]:
        total, alone = self.total, self.alone
        lines = [
            f"  {total:,.2f} us in all rows, {_percent(self.products, total)} of it in products, "
            f"{_percent(total - self.products, total)} outside; their floors are {self.floor:,.2f} us "
            f"({_percent(self.floor, total)})",
            f"  {alone:,.2f} us measured for a whole step on one thread: {_difference(alone - total)}",
        ]
        if self.team is not None:
            faster = "the team" if self.team <= alone else "one thread alone"
            lines.append(
                f"  {self.team:,.2f} us with {self.threads} threads: {faster} would be kept "
                "(fit measures both as it goes)"
            )
        lines.append(
            f"  floors: the larger of arithmetic at {self.gemm_rate / 1e9:,.0f} GFLOP/s, this core's best in "
            "products, and bytes at what the nearest cache that holds them was measured to give "
            f"(memory: {self.bandwidth / 1e9:,.0f} GB/s); each was measured on one thread"
        )
        return lines

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                f"{row.microseconds:,.3f}",
                f"{row.times:g}",
                _percent(row.times * row.microseconds, self.total),
                f"{row.floor:,.3f}" if row.bound else "",
                _percent(row.floor, row.microseconds) if row.bound else "",
                row.bound,
                row.op,
                row.kernel,
            )
            for row in self.rows
        ]

    def __str__(self) -> str:
        table = [HEADINGS, *self._cells()]
        widths = [max(len(cells[k]) for cells in table) for k in range(len(HEADINGS))]
        lines = []
        for cells in table:
            aligned = [
                c.rjust(w) if k < 5 else c.ljust(w)
                for k, (c, w) in enumerate(zip(cells, widths, strict=True))
            ]
            lines.append(("  " + "  ".join(aligned)).rstrip())
        return "\n".join([*self._head(), "", *lines, "", *self._foot()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        head, foot = (
            "<br>".join(html.escape(line.strip()) for line in lines) for lines in (self._head(), self._foot())
        )
        titles = "".join(f"<th>{title}</th>" for title in HEADINGS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
            for cells in self._cells()
        )
        table = f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
        return f"<p>{head}</p>{table}<p>{foot}</p>"


def explain(model: Any, x: Any, y: Any, batch_size: int, shuffle: bool, threads: int | None) -> SpeedReport:
    """Measure a training step on copies of the model's weights and state.

    Raises
    ------
    DeviceError
        If the model is not on the CPU.
    """
    if model.device != "cpu":
        raise DeviceError(
            f"explain_speed times the CPU's kernels, expected a model on 'cpu'. Received: {model.name!r} on "
            f"{model.device!r}."
        )
    table = read_table(model, x, _targets(model, len(read_inputs(model, x)[0])) if y is None else y)
    training = Training(model, table, batch_size, shuffle, threads=threads, seed=0, rehearsal=True)
    session, batch = training.session, training.batch_size
    profile = backends.profile(model.device)
    training.rate.set(session.step)
    with session, np.errstate(all="ignore"):
        session.run_as(False, STEPS_BEFORE)
        alone = profile.step_seconds(session, False)
        team = profile.step_seconds(session, True) if session.threads > 1 else None
        rows = profile.rows(session)
    return SpeedReport(
        name=model.name,
        dtype=model.dtype,
        batch_size=batch,
        block=min(session.block, batch),
        blocks=-(-batch // session.block),
        lanes=session.lanes,
        threads=session.threads,
        why=profile.reasons(session, batch, threads),
        rows=rows,
        alone=1e6 * alone,
        team=None if team is None else 1e6 * team,
        gemm_rate=profile.gemm_rate(model.dtype),
        bandwidth=profile.bandwidth(profile.READS[-1]),
    )


def _targets(model: Any, rows: int) -> dict[str, np.ndarray]:
    """Return targets of no meaning, ones and zeros in turn or all classes: times do not depend on them."""
    found = {}
    for name, output, loss in zip(model.output_names, model.outputs, model.compiled.losses, strict=True):
        if loss is not None:
            spec = target_spec(loss, output.spec)
            column = np.arange(rows) % (output.spec.size if loss.sparse_target else 2)
            column = column.astype(np.int32 if loss.sparse_target else model.dtype)
            found[name] = np.broadcast_to(column.reshape(-1, *[1] * len(spec.shape)), (rows, *spec.shape))
    return found


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / max(whole, 1e-12):.0f} %"


def _difference(microseconds: float) -> str:
    if microseconds >= 0:
        return f"{microseconds:,.2f} us more: data from beyond the nearest cache, and the loop"
    return f"{-microseconds:,.2f} us less: rows overlap where the processor looks ahead"
