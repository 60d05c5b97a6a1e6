"""Samples to log-mel windows."""
