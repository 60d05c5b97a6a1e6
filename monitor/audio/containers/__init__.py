"""What audio files contain: where their sound begins and ends, and whether all of it is there.

libsndfile trusts a file's header. A header can be stale, wrong or an estimate, and a file can hold
several recordings one after the other. The modules here walk through the file itself.
"""
