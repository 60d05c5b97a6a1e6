"""The parts of the soak benchmark: sounds whose scores are known, and measurements."""
