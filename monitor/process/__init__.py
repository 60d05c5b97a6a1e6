"""What every long-running process needs: its log, its signals, its messages to systemd."""
