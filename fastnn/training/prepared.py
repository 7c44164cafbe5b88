"""What predictions of a model share: programs, and sessions bound to memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import backends
from fastnn.layers import revision
from fastnn.program import Program, Source
from fastnn.training.step import predict_plan

#: Sessions kept of a model: more are made for more threads at once, and not kept.
KEPT_SESSIONS = 8
_NEVER = -1


class Prepared:
    """Programs and sessions of one structure of a model.

    A session serves one thread at a time: it is taken out of a pool and put back. Pools are deques, whose
    methods are atomic, so there is no lock that a forked child could inherit held. Sessions hold the model's
    parameter buffer, whose values at the time of a prediction count, and no array of the caller.

    Attributes
    ----------
    revision : int
        The number of :mod:`fastnn.layers.revision` when the model was looked at.
    device : str
        The model's then.
    few : dict of dtype to deque
        Sessions for few rows, by the dtype of the input.
    """

    def __init__(self, model: Any = None):
        self.revision, self.device = _NEVER, ""
        self.few: dict[np.dtype, deque[Any]] = {}
        if model is None:
            return
        number = revision.number  # before the model is looked at: a change in the meantime counts
        self.device = model.device
        self._model_dtype, self._parameters = model.dtype, model.storage.array
        self._flat = len(model.inputs) == 1 and len(model.inputs[0].spec.shape) == 1
        self._programs: dict[Any, Program] = {}
        self._free: deque[tuple[Any, Any]] = deque(maxlen=KEPT_SESSIONS)
        # A layer of the user's own may read whatever it likes when it is traced: look again every time.
        if all(type(layer).__module__.startswith("fastnn.") for layer in (*model.layers, *_sources(model))):
            self.revision = number

    def holds(self, model: Any) -> bool:
        """Whether the model is as it was."""
        return self.revision == revision.number and self.device == model.device

    def few_rows(self, model: Any, x: Any) -> np.ndarray | None:
        """Predict a few rows of an array by the shortest way; None if this must be done in another.

        Then either nothing is prepared for such an array, or it holds a number that is not finite.
        """
        if self.revision != revision.number or self.device is not model.device or type(x) is not np.ndarray:
            return None
        try:
            sessions = self.few[x.dtype]
            session = sessions.pop()
        except (KeyError, IndexError):
            return None
        y = None
        shape = x.shape
        if shape == session.shape or (
            len(shape) == 2 and shape[1] == session.width and session.resize(shape[0])
        ):
            session.x[...] = x
            if session.run():
                y = session.y.copy()
        sessions.append(session)
        return y

    def prepare_few_rows(self, model: Any, x: Any) -> None:
        """Make a session for arrays like `x`, which has been predicted, if they are few rows."""
        if not (type(x) is np.ndarray and x.ndim == 2 and self._flat and self.revision == revision.number):
            return
        sources = (x.dtype.name,)
        in_place = x.dtype.name == self._model_dtype
        if model.inputs[0].spec.kind != "float" or x.dtype not in _PREPARED:
            return
        bound = backends.bound()
        program = self.program(model, sources, in_place)
        rows = bound.most_rows(program, x.dtype.name)
        if len(x) <= rows:
            session = bound.OneBlock(program, self._parameters, x.dtype.name, rows)
            self.few.setdefault(x.dtype, deque(maxlen=KEPT_SESSIONS)).append(session)

    def program(self, model: Any, sources: Sequence[Source], in_place: bool) -> Program:
        """Return the program, which looks for numbers that are not finite."""
        key = (tuple(sources), in_place)
        program = self._programs.get(key)
        if program is None:
            program = predict_plan(model, sources, in_place, checked=True).program
            self._programs[key] = program
        return program

    def run(
        self,
        model: Any,
        sources: Sequence[Source],
        in_place: bool,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        threads: int | None,
    ) -> bool:
        """Predict all rows in one pass; returns False if an input holds a number that is not finite."""
        rows = len(outputs[0])
        key = (tuple(sources), in_place, rows, threads)
        session = self._take(key)
        if session is None:
            program = self.program(model, sources, in_place)
            session = backends.bound().Reused(program, self._parameters, inputs, outputs, rows, threads)
        fine = session.run_on(inputs, outputs)
        self._free.append((key, session))
        return fine

    def _take(self, key: Any) -> Any:
        """Take a session out of the pool; None if there is none."""
        for _ in range(len(self._free)):
            try:
                found = self._free.popleft()
            except IndexError:  # another thread took it
                return None
            if found[0] == key and found[1].fits():
                return found[1]
            self._free.append(found)
        return None


#: What a OneBlock is prepared for; others are rare, and cost some 20 us more.
_PREPARED = (np.dtype(np.float32), np.dtype(np.float64))


def _sources(model: Any) -> list[Any]:
    return [symbol.layer for symbol in (*model.inputs, *model.calls)]
