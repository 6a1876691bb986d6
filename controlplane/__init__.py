"""How orders come in and news goes out: HTTP now; MQTT, webhooks and consoles later.
No rule of business lives here, only its edges."""
