"""Connection to the broker: topics, payloads, delivery of alerts, Home Assistant discovery."""
