"""Sound before features: files, channels, resampling, signal check, level."""
