"""The web page: a process of its own that reads the state folder and asks the daemon."""
