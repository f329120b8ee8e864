"""Tests of msavqa/score/."""
