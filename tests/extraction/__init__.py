"""Tests of msavqa/extraction/."""
