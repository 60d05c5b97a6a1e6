"""The durable queue of alerts until the broker acknowledges them."""
