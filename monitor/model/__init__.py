"""The bundle: network, head, scorer, and the score of a recording."""
