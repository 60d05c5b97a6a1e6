"""What an operator asks of the running daemon: a local socket, its client, the operator log."""
