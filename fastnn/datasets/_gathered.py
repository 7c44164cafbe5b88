"""Stand-in until the engine reads gathered rows."""

from __future__ import annotations

import numpy as np


class Part:
    def __init__(self, array, index, columns=None, low=None, high=None, mean=None, scale=None):
        self.array, self.index, self.columns = array, index, columns
        self.low, self.high, self.mean, self.scale = low, high, mean, scale


class Gathered:
    def __init__(self, parts):
        self.parts = list(parts)

    @property
    def shape(self):
        return len(self), sum(p.array.shape[1] for p in self.parts)

    @property
    def dtype(self):
        return self.parts[0].array.dtype

    ndim = 2

    def __len__(self):
        return len(self.parts[0].index)

    @property
    def columns(self):
        return [name for p in self.parts for name in p.columns]

    def __getitem__(self, rows):
        return Gathered(
            [Part(p.array, p.index[rows], p.columns, p.low, p.high, p.mean, p.scale) for p in self.parts]
        )

    def __array__(self, dtype=None, copy=None):
        blocks = []
        for p in self.parts:
            block = p.array[p.index]
            if p.low is not None:
                block = np.clip(block, p.low, p.high)
            blocks.append(block)
        return np.concatenate(blocks, axis=1).astype(dtype or self.dtype)
