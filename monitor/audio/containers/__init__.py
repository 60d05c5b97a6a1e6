"""Containers of audio files: where their sound begins and ends, and whether it is complete.

libsndfile uses a file's header without checking it. A header can be stale, wrong or an estimate,
and a file can contain several recordings one after the other. These modules read the whole file.
"""
