"""Tests of msavqa/check/."""
