"""The block `train`: how branches learn."""

from typing import Literal

from pydantic import Field

from msavqa.ground.params import Settings
from msavqa.learning.inputs import Resident
from msavqa.machine.device import Device


class RankSettings(Settings):
    """The block `train.copies`: a term of the loss that puts copies below their originals."""

    weight: float = Field(ge=0)
    """Of mean max(0, margin - (original - copy)) beside the branch's own loss; 0: no copy is looked at."""
    pairs: int = Field(ge=1)
    """A step's, equally many of every kind."""
    margin: float = Field(ge=0)
    """In standard deviations of MOS, between a video and its spoilt copy."""
    empty_margin: float = Field(ge=0)
    """The same between any video and frames that show nothing."""
    foreign_prompts: bool
    """Whether a video with another's prompt counts as a copy."""
    praise: float = Field(ge=0, le=1)
    """Share of the videos that are learned with words of praise behind their prompt: they change no label."""
    from_videos: int = Field(ge=0)
    """Training videos of a repeat below which nothing is learned of copies: with few, what a real network
    says of trivial videos outweighs what can be learned of quality (LOG.md)."""

    def learned_with(self, videos: int) -> bool:
        """Whether models of a repeat with so many training videos learn of copies."""
        return self.weight > 0 and videos >= self.from_videos


class TrainSettings(Settings):
    """The block `train`."""

    epochs: int = Field(ge=0)
    least_steps: int = Field(ge=0)
    """Below so many steps a model gets more epochs: a few videos are a batch or two, too few to learn by."""
    warmup: float = Field(ge=0, lt=1)
    """Share of all steps in which the rate rises to its full value; a cosine brings it down to zero."""
    gradient_clip: float = Field(gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(ge=0, lt=1)
    """Decay of the weights' moving average, which is then what is kept; 0: the last weights are."""
    accumulate: int = Field(ge=1)
    """Parts a batch is computed in, for want of memory: the same step, but for other draws of dropout."""
    precision: Literal["fp32", "bf16"]
    view_of: Literal["video", "frame"]
    """What a cached view is drawn for in training: `video`, one for all its frames; `frame`, where the
    branch's trunk looks at all frames of a video one by one, a crop and flip of its own for each."""
    test_views: Literal["fixed", "all"]
    """What a video is scored by: the fixed view, or the mean over all its cached views, which costs a forward
    pass each; copies have the fixed one alone."""
    prompts: Literal["own", "shuffled"]
    """`shuffled` deals the prompts out anew, so that few videos keep their own: a control, in which PSS must
    lose its gain."""
    copies: RankSettings
    resident: Resident
    device: Device
    processes: int = Field(ge=1)
    """Folds trained at once on a CPU; a GPU trains them one after the other."""
    threads: int = Field(ge=1)
    """Of each process on a CPU; a fixed number, because sums depend on it in their last bits."""
    evaluation_batch: int = Field(ge=1)
    """Videos at once where nothing is learned."""
    seed: int = Field(ge=0)
    checkpoint_seconds: float = Field(ge=0)
    """At the end of an epoch the state is saved where the last save is longer ago than this; a kill within
    an epoch costs what was done of it."""
