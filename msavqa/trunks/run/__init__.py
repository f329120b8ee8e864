"""Runs a frozen network over videos or prompts, once, into a store."""
