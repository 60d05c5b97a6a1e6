"""Text that others wrote, made fit for each output: escaped and without secrets."""
