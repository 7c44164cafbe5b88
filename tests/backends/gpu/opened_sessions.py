"""Trainings on the stand-in for a device, with the sessions that they opened."""

import contextlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "cuda_on_cpu"))
import fakecupy

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import executor, fused
from fastnn.optimizers import Adam

BATCH = 32
SIZE_OF = 'extern "C" __global__ void size_of_tile(int* __restrict__ out) { *out = (int)sizeof(Tile); }'


@contextlib.contextmanager
def stand_in():
    """Put the stand-in in the place of CuPy; FAKECUPY_MODE=check has every memory access checked."""
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "cupy"}
    compiling.forget()
    fakecupy.install()
    try:
        yield fakecupy
    finally:
        fakecupy.order[0] = 0
        for name in [name for name in sys.modules if name.split(".")[0] == "cupy"]:
            del sys.modules[name]
        sys.modules.update(before)
        compiling.forget()


class Planned(Exception):
    """The program that a training would run is known."""


class Opened:
    """The sessions of trainings, opened with the keywords that a test puts in here."""

    def __init__(self, monkeypatch):
        self.sessions, self.keywords, self.only_program = [], {}, False
        real = executor.Session

        def open_(program, **options):
            if self.only_program:
                raise Planned(program)
            keywords = self.keywords if program.gradients else {}
            self.sessions.append(real(program, **options, **keywords))
            return self.sessions[-1]

        monkeypatch.setattr(executor, "Session", open_)

    def fit(self, build, x, y, device="gpu", epochs=2, batch_size=BATCH, **options):
        """Train on a device; regime and capture go to the session, what `compile` knows to `compile`."""
        self.keywords = {key: options.pop(key) for key in ("regime", "capture") if key in options}
        compiled = {"loss": "binary_crossentropy", "metrics": ["accuracy"], "optimizer": Adam(0.01)}
        compiled |= {key: options.pop(key) for key in compiled if key in options}
        if callable(compiled["optimizer"]):
            compiled["optimizer"] = compiled["optimizer"]()
        model = build()
        model.compile(**compiled)
        model.device = device
        history = model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, **options).history
        return model.get_weights(), history

    def program(self, build, x, y, **options):
        """Plan a training on the GPU, and do no more."""
        self.only_program = True
        with pytest.raises(Planned) as planned:
            self.fit(build, x=x, y=y, **options)
        self.only_program = False
        return planned.value.args[0]

    @property
    def trained(self):
        return next(s for s in reversed(self.sessions) if s.program.gradients)


def largest(a, b):
    return max(float(np.abs(p - q).max()) for p, q in zip(a, b, strict=True))


def counted(session, steps):
    """Return what a call of so many steps asked of the device."""
    before = dict(fakecupy.stats)
    session.run(steps, 10**6)
    return {key: fakecupy.stats[key] - before.get(key, 0) for key in fakecupy.stats}


def room_of_a_tile(stack, tile):
    """Return the bytes of the struct Tile of the fused kernel of a stack or network."""
    variant = fused.variant(stack, tile)
    module = fakecupy.RawModule(code=f"{variant.code()}\n{SIZE_OF}", options=variant.options())
    out = fakecupy.zeros(1, np.int32)
    module.get_function("size_of_tile")((1,), (1,), (out,))
    return int(out.get()[0])
