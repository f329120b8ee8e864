"""Frozen networks and handcrafted measures run over videos and prompts, once: the cache line."""
