"""Tests of msavqa/learning/."""
