"""Tests of msavqa/store/."""
