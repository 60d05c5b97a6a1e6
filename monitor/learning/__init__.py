"""Commissioning: a machine's healthy sound is collected and learned over days."""
