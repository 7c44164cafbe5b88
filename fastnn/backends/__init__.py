"""Executors: how the ops are computed fast. One folder a device, the same file names in each."""
