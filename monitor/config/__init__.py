"""``config.toml`` and environment variables to validated settings."""
