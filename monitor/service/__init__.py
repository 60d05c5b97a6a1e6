"""The daemon: machines, supervision, delivery, learning."""
