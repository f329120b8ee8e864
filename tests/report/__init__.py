"""Tests of msavqa/report/."""
