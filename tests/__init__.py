"""Tests mirror the modules of `msavqa/`: `tests/test_store.py` tests `msavqa/storage/store.py`."""
