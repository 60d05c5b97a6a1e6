"""Where bundles of a machine are trained. Never in the process that monitors."""
