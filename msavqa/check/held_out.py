"""Rows that nobody learns from: settings of the split, of training and of intervals that need one another."""

from collections.abc import Iterator, Mapping
from typing import Any

from msavqa.check.frame_rules import at


def problems(data: Mapping[str, Any]) -> Iterator[str]:
    """What of a whole params file asks for held-out rows that its split does not make."""
    split, roles = data.get("split"), at(data.get("calibration"), "interval_roles")
    if at(split, "protocol") == "given":
        return  # the data set's own column may name validation rows
    if roles == ["val"] and at(split, "validation_fraction") == 0:
        yield (
            "calibration.interval_roles: got ['val'] beside split.validation_fraction 0, expected 'oof' too: "
            "no row is kept for validation"
        )
