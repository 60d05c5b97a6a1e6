"""What an alert sounds like: spectra against healthy ones, rates, and the faults that they fit."""
