"""What the commands do; ``monitor.cli`` holds their arguments and exit statuses."""
