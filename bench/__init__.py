"""Benchmarks: accuracy, speed and memory, beside the libraries that the product uses."""
