"""Commands of operators to the running daemon: a local socket, its client, the operator log."""
