"""A number that is new after every change of a layer or of how layers are connected.

What was made from a model's structure (a program, memory bound to it) holds as long as the number stays. The
number is one for all models: telling whose layer was changed would cost more than making such things again.
"""

from __future__ import annotations

import itertools

_count = itertools.count(1)
number = 0


def changed() -> None:
    """Note a change, after it was made."""
    global number
    number = next(_count)
