"""Tests of msavqa/evaluation/."""
