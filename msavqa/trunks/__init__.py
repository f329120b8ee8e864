"""Frozen networks, run once: kinds of network, what runs them, and handcrafted measures."""
