"""Fuzzing of everything that comes from outside; ``python -m benchmarks.fuzzing``."""
