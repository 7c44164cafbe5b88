"""Figures. matplotlib is imported when a figure is drawn; every function returns its Axes."""

from fastnn.viz.boundary import decision_boundary
from fastnn.viz.curves import loss_curve

__all__ = ["decision_boundary", "loss_curve"]
