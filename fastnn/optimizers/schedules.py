"""Learning-rate schedules under Keras' name for the module; they are defined in ``fastnn.schedules``."""

from fastnn.schedules import *  # noqa: F403
from fastnn.schedules import __all__ as __all__
