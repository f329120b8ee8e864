"""Settings of the segment branch's pre-training, the block `pretrain`."""

from pydantic import Field

from msavqa.learning.optimise import OptimiserSettings
from msavqa.params import Settings


class PretrainSettings(Settings):
    """The block `pretrain`; all else is as in `branches.segment` and `train`."""

    epochs: int = Field(gt=0)
    optimiser: OptimiserSettings
