"""The sound of a machine as a picture that moves, for those who look at it now."""
