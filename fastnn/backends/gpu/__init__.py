"""The GPU backend: CUDA C++ kernels compiled and launched through CuPy."""
