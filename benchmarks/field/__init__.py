"""Faults of the field, made by code: files, names, recording chains, training sets."""
