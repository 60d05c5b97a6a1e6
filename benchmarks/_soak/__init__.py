"""Sound with known scores, for the soak benchmark."""
