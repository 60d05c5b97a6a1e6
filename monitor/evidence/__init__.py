"""The sound around alerts: kept for a time, within limits, and read by the web page."""
