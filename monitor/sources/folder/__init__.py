"""A folder of recordings as a source: what is there, what comes, and what was read before."""
