"""Tests of msavqa/datasets/."""
