"""Programs that keep one system busy, each in that system's own environment. They know nothing of ours but `loop`."""
