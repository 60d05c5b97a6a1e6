"""What happened to each machine, kept on the disk: values of each minute, and events."""
