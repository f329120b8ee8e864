"""A file that DVC linked into its cache is replaced, not overwritten."""

from pathlib import Path

from msavqa.machine import files


def test_writing_again_leaves_the_cached_copy_as_it_was(tmp_path: Path) -> None:
    cached, out = tmp_path / "cached", tmp_path / "new" / "out"
    cached.write_text("the run before", encoding="utf-8")
    cached.chmod(0o444)
    files.fresh(out).hardlink_to(cached)
    files.fresh(out).write_text("this run", encoding="utf-8")
    assert cached.read_text(encoding="utf-8") == "the run before"
    assert out.read_text(encoding="utf-8") == "this run"
    assert not files.fresh(str(out)).exists()
