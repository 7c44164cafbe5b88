"""fastnn with `compile(..., device='gpu')`; otherwise as on the CPU."""

from benchmarks.rivals import fastnn_
from benchmarks.rivals.fastnn_ import deviation

__all__ = ["PACKAGES", "Model", "deviation"]
PACKAGES = (*fastnn_.PACKAGES, "cupy-cuda13x", "nvidia-cuda-nvrtc", "nvidia-cublas")


class Model(fastnn_.Model):
    device = "gpu"
