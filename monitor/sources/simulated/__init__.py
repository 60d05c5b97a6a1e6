"""A simulated rotating machine with faults."""
