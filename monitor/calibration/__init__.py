"""Healthy scores to a threshold, and whether a bundle fits the machine."""
