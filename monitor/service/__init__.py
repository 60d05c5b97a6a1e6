"""The daemon: machines, supervision, delivery, systemd, logs."""
