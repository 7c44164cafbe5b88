"""The CPU backend: Numba kernels called by address from a small compiled interpreter."""
