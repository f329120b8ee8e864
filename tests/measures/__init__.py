"""Tests of msavqa/measures/."""
