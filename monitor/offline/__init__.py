"""Recordings instead of live sound: replay and recalibration."""
