"""Tests of msavqa/ground/."""
