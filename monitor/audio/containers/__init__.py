"""Containers of audio files: where their sound begins and ends, and whether it is complete.

libsndfile trusts a file's header. A header can be stale, wrong or an estimate, and a file can hold
several recordings one after the other. The modules here walk through the file itself.
"""
