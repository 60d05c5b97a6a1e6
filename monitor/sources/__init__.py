"""Sources of sound: microphones, files, folders, programs, log-mel frames, simulated machines."""
