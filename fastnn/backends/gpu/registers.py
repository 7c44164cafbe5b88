"""The numbers every kernel may read, in device memory: where the run stands, and its random streams.

One int64 vector `r` a session. Kernels name its words by these macros; only ``tick`` and ``next_chunk`` of
``cuda/data.cu`` write it, and the two checks that set STATUS.
"""

from __future__ import annotations

NAMES = (
    "ROWS",  # rows in this chunk of the batch
    "ROW0",  # first row of the chunk within the batch
    "BATCH",  # rows in the batch
    "POSITION",  # first row of the batch within the epoch's order
    "FIRST",  # 1 in the first chunk of a batch: gradients are overwritten, then added to
    "STEP",  # training steps since the model was compiled
    "EPOCH",
    "SEED",
    "TOTAL",  # rows of the data
    "SHUFFLE",  # 1 if rows are visited in the epoch's random order
    "SIDE_A",  # sides of the shuffle's rectangle
    "SIDE_B",
    "KEY0",  # the shuffle's four round keys
    "KEY1",
    "KEY2",
    "KEY3",
    "BATCH_SIZE",
    "EPOCH_ROWS",
    "CHUNK",  # most rows of a chunk
    "SKIP",  # 1 if the rest of the update section is to be skipped (gradient accumulation)
    "STATUS",  # 0, or why training stopped: 1 a loss, 2 a gradient is not finite
    "LOGGED",  # epochs that have ended in this call
    "STAGED",  # first position of the rows that are on the device, where the data do not fit
)
INDEX = {name: number for number, name in enumerate(NAMES)}
COUNT = 32


def defines() -> dict[str, int]:
    """Return the macros that name the registers in kernels: ``R_ROWS`` and so on."""
    return {f"R_{name}": number for name, number in INDEX.items()}
