"""The programs beside the daemon in the benchmark of many streams."""
