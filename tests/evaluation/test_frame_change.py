"""Frame change: the cosine distance of neighbouring frames, whatever the embeddings' lengths."""

import numpy as np
import pytest

from msavqa.evaluation.metrics import frame_change


def test_frame_change_is_the_cosine_distance_to_the_frame_before() -> None:
    frames = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, -3.0]])
    assert frame_change(frames) == pytest.approx([0, 0, 1, 2])
    assert frame_change(frames[:1]).tolist() == [0.0]
