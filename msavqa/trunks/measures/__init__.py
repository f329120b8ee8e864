"""Handcrafted measures of frames: what the trunk `statistics` computes."""
