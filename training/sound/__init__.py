"""Healthy recordings to a bundle."""
