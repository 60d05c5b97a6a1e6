"""Many machines and long archives: the work of one command, over processes or a cluster."""
