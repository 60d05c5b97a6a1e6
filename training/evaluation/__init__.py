"""Figures of bundles that need the trainer: pictures, and the layout of DCASE Task 2."""
