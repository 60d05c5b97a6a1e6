"""Scores to decisions: persistence, threshold, hysteresis, drift."""
