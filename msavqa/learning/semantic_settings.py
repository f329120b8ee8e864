"""Settings of PSS and SMA, and the plan that they come to: which parts there are and what each reads."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from msavqa.ground.params import Settings
from msavqa.learning.layers import FusionPart, MutationPart

STATISTICS = "statistics"
"""The store of the handcrafted measures, an array a group."""


class PssSettings(Settings):
    """Prompt Semantic Supervision, `branches.<branch>.pss`."""

    enabled: bool
    fusion: list[FusionPart] = Field(min_length=1)
    """What joins the branch's features: `text` is P_c, all the paper asks for; see `layers.fused`."""
    adapters: Literal["tail", "cls"]
    """Where the adapters of both encoders stand: around CLIP's last block, or behind its final token."""
    last_adapter: Literal["embedding", "token"]
    """Where g2 stands with adapters `tail`: behind CLIP's projection, or before its final norm (Eq. 2 to the
    letter)."""
    adapter_width: Annotated[int, Field(gt=0)] | Literal["linear"]
    """The adapters' form: a bottleneck of this width, or one linear layer."""
    adapter_ratio: float = Field(gt=0, le=1)
    frames: Literal["all"] | Annotated[int, Field(gt=0)]
    """Frames that are adapted and compared with the prompt, evenly spaced: with adapters `tail` most of a
    step is spent on them."""


class SmaSettings(Settings):
    """Semantic Mutation-aware module, `branches.<branch>.sma`."""

    enabled: bool
    tokens: list[MutationPart] = Field(min_length=1)
    """What the query sees of a frame: `cls` is all the paper asks for; `alignment` needs PSS and is left out
    without it; see `layers.mutation_tokens`."""
    frames: Literal["adapted", "own", "cached"]
    """Class tokens after PSS's image adapters, without PSS CLIP's own; `own`: after image adapters (as `pss`
    has them) that stand with SMA, without PSS too; `cached`: CLIP's own."""
    measures: bool
    """Handcrafted measures of frame differences that tell of changed content (`change` of the statistics)
    beside what the query saw; the paper has none."""
    feeds: Literal["head", "score"]
    """Where what SMA found goes: into the head beside the branch's features, or straight to the score, as a
    linear term of its own that starts at zero. The paper does not say."""
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    """Of the query's attention; they divide `width`."""
    queries: int = Field(gt=0)

    @field_validator("heads")
    @classmethod
    def _divide(cls, heads: int, info: Any) -> int:
        width = info.data.get("width", heads)
        if width % heads:
            raise PydanticCustomError("heads", "expected a divisor of width {width}", {"width": width})
        return heads


@dataclass(frozen=True)
class Plan:
    """What the settings come to: switched-off parts are gone, and so is what only they would need."""

    fusion: list[FusionPart]
    tokens: list[MutationPart]
    adapts_text: bool
    adapts_image: bool
    mutates_adapted: bool
    inside: bool
    """Adapters stand inside CLIP, around its last block."""
    measures: bool

    @classmethod
    def of(cls, *, pss: PssSettings, sma: SmaSettings) -> "Plan":
        """The plan of one branch's settings."""
        tokens = [part for part in sma.tokens if pss.enabled or part != "alignment"] if sma.enabled else []
        compares = "alignment" in tokens or set(pss.fusion) != {"text"}
        stands = sma.frames == "own" or (pss.enabled and sma.frames == "adapted")
        mutates_adapted = bool(tokens) and stands
        return cls(
            fusion=list(pss.fusion) if pss.enabled else [],
            tokens=tokens,
            adapts_text=pss.enabled,
            adapts_image=(pss.enabled and compares) or mutates_adapted,
            mutates_adapted=mutates_adapted,
            inside=(pss.enabled or mutates_adapted) and pss.adapters == "tail",
            measures=bool(tokens) and sma.measures,
        )

    def reads(self, *, text: str, image: str) -> dict[str, tuple[str, str]]:
        """Which cached arrays the plan needs: batch key -> (store, array).

        `text` and `image` name the stores of CLIP's two towers. Keys that start with `text_` are of prompts.
        """
        found = {}
        if self.fusion or self.tokens:
            found["frames_cls"] = (image, "cls")
        if self.measures:
            found["change"] = (STATISTICS, "change")
        if self.adapts_text and not self.inside:
            found["text_cls"] = (text, "cls")
        if self.adapts_text and self.inside:
            found |= {"text_tokens": (text, "tokens"), "text_length": (text, "length")}
        if self.adapts_image and self.inside:
            found["image_tokens"] = (image, "tokens")
        return found
