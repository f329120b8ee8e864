"""Datasets that are made here: the embedded sample world."""
