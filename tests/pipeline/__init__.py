"""Tests of the stages, one by one and under DVC."""
