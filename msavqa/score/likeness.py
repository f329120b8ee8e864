"""How unlike the training videos a scored one is, by what the bundle holds of them."""

import math

from msavqa.bundle.bundle import Bundle
from msavqa.bundle.contents import MEASURES
from msavqa.evaluation import familiarity
from msavqa.score.perception import Features


def of(found: Bundle, features: Features) -> tuple[float, float | None]:
    """The log distance to the training videos and the share of them at least as far away, in 0..1.

    NaN and None where the bundle cannot tell: one of before, or of too few training videos.
    """
    like = found.familiarity
    if like is None or not like.known:
        return math.nan, None
    sets = familiarity.sets_of(
        cls=features[found.clip_image]["cls"],
        statistics=features[MEASURES],
        pooled=None if like.trunk is None else features[like.trunk][familiarity.POOLED],
    )
    distance = like.distance(sets)
    return float(distance[0]), float(like.share(distance)[0])
