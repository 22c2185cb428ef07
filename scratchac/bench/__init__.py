"""Timing: kernels on every backend, updates and training, other libraries beside them."""
