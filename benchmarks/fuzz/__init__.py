"""Fuzzing of all input from outside: ``python -m benchmarks.fuzzing``."""
