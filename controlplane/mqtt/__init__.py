"""MQTT: orders and desired states in, news out, over somebody else's broker."""
