"""What is compiled: where its machine code is kept, who imports numba, and values at ranks among many."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msavqa.ground import sources
from msavqa.trunks.measures import compiled
from msavqa.trunks.measures.pictures import at_ranks, block_means

LOOPS = sorted((sources.ROOT / "msavqa" / "trunks" / "measures").glob("*loops.py"))


@given(seed=st.integers(0, 99), parts=st.integers(1, 4), size=st.integers(1, 300), levels=st.integers(1, 9))
def test_values_at_ranks_are_those_of_sorting(seed: int, parts: int, size: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    values = random.gamma(0.5, 20, (parts, size)).astype(np.float32)
    values[random.random(values.shape) < 0.5] = random.integers(0, levels)  # ties, and zeros

    def fill(out: np.ndarray) -> Iterator[None]:
        for part in values:
            out[:] = part
            yield

    ranks = sorted(random.integers(0, values.size, 5).tolist())
    np.testing.assert_array_equal(at_ranks(fill, size=size, ranks=ranks), np.sort(values.ravel())[ranks])


def test_blocks_are_whole_and_a_smaller_picture_is_one() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (19, 21)).astype(np.float32)
    expected = picture[:16, :16].reshape(2, 8, 2, 8).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(block_means(picture, 8), expected, rtol=1e-6)
    np.testing.assert_allclose(block_means(picture[:3].copy(), 32), [picture[:3].mean()], rtol=1e-6)


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("cannot cache function 'f': no locator available for file 'f.py'"),
        OSError(28, "No space"),
    ],
    ids=["read-only", "full"],
)
def test_without_a_place_for_machine_code_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    compile = numba.njit

    def without(signature: Any, *, cache: bool = False, **options: Any) -> Any:
        if cache:
            raise problem
        return compile(signature, **options)

    monkeypatch.setattr(numba, "njit", without)

    @compiled.compiled(compiled.DOUBLE, returns=compiled.DOUBLE)
    def twice(value: float) -> float:
        return 2 * value

    assert twice(2.0) == 4.0
    assert twice.signatures  # it is machine code


def test_another_mistake_in_a_loop_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*given: Any, **options: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(numba, "njit", failing)
    with pytest.raises(RuntimeError, match="something else"):
        compiled.compiled(compiled.DOUBLE)(lambda value: None)


@pytest.mark.parametrize("file", LOOPS, ids=lambda file: file.stem)
def test_a_loop_calls_nothing_of_other_files(file: Any) -> None:
    """Machine code is made anew when its own file changes: what it calls elsewhere would stay as it was."""
    ours = {
        node.module
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("msavqa")
    }
    assert ours == {"msavqa.trunks.measures.compiled"}


def test_who_does_not_measure_does_not_import_numba() -> None:
    modules = "pipeline.measure, msavqa.score.perception, msavqa.app.cli"
    command = f"import sys, {modules}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=sources.ROOT, check=False).returncode == 0
