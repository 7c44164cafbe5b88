"""Figures. matplotlib is imported when a figure is drawn; every function returns its Axes."""

from fastnn.viz.boundary import decision_boundary
from fastnn.viz.curves import loss_curve, metric_curve
from fastnn.viz.diagram import network_diagram
from fastnn.viz.hidden import hidden_space, output_plane
from fastnn.viz.quality import predictions_vs_actual, reliability_curve
from fastnn.viz.search import search_heatmap
from fastnn.viz.weights import weight_histograms

__all__ = [
    "decision_boundary",
    "hidden_space",
    "loss_curve",
    "metric_curve",
    "network_diagram",
    "output_plane",
    "predictions_vs_actual",
    "reliability_curve",
    "search_heatmap",
    "weight_histograms",
]
