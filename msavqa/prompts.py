"""A prompt's row id in a store of prompts: the SHA-256 of its text, so that equal prompts share one row."""

import hashlib


def prompt_id(prompt: str) -> str:
    """64 hex digits; the text is taken as it stands, double spaces and case included."""
    return hashlib.sha256(prompt.encode("utf-8")).hexdigest()
