"""Timing of kernels on every backend, of updates and training, and of other libraries for comparison."""
