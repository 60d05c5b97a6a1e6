"""A microphone through PortAudio, read by a child process."""
