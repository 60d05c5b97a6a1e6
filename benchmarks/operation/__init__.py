"""Machines that start and stop: the state is right, and a stop is no alert."""
