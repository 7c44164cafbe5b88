"""Benchmarks: one workload description, one file per rival, one runner. See README.md."""
