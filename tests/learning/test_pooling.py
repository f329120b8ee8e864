"""What the kind video makes of the features of all times, against their definitions."""

import numpy as np
import pytest
import torch

from msavqa.branches import video

FEATURES = torch.randn((3, 5, 4), generator=torch.Generator().manual_seed(0))
DEFINED = {
    "mean": lambda x: x.mean(1),
    "root": lambda x: (np.sign(x) * np.sqrt(np.abs(x))).mean(1),
    "sd": lambda x: x.std(1),
    "min": lambda x: x.min(1),
    "max": lambda x: x.max(1),
}


@pytest.mark.parametrize("how", DEFINED)
def test_a_pooling_is_what_it_is_called(how: str) -> None:
    settings = video.TechnicalSettings.model_validate({"pooling": [how, "mean"]})
    found = video.technical(settings, features=FEATURES, motion=None).numpy()
    expected = [DEFINED[how](FEATURES.numpy()), FEATURES.numpy().mean(1)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)
