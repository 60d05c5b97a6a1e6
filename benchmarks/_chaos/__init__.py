"""The parts of the chaos benchmark: sound, daemon, network, subscriber, ledger."""
