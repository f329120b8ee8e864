"""What networks ask of the frames that are decoded and kept, one sentence for each mistake."""

from collections.abc import Iterator, Mapping
from typing import Any


def problems(data: Mapping[str, Any]) -> Iterator[str]:
    """Every mistake between `decode` and the networks that look at frames."""
    yield from _whole_networks(data)
    yield from _more_frames_than_decoded(data)
    yield from _shrunk_and_enlarged(data)


def _whole_networks(data: Mapping[str, Any]) -> Iterator[str]:
    """They (cut `pixels`) learn from frames, which `decode.store: none` does not keep, nor the copies'."""
    videos, weight = at(data.get("copies"), "videos"), at(at(data.get("train"), "copies"), "weight")
    if videos == 0 and weight:
        yield f"train.copies.weight: got {weight} beside copies.videos 0, expected 0.0: there are no copies"
    for name, block in blocks(data, "trunks"):
        beside = f"beside trunks.{name}.cut 'pixels', expected 0: frames of copies are not kept"
        if block.get("cut") == "pixels" and videos:
            yield f"copies.videos: got {videos} {beside}; set train.copies.weight to 0.0 too"
        if block.get("cut") == "pixels" and at(data.get("decode"), "store") == "none":
            yield (
                f"trunks.{name}.cut: got 'pixels' beside decode.store 'none', expected decode.store "
                "'frames': training reads the frames"
            )


def _more_frames_than_decoded(data: Mapping[str, Any]) -> Iterator[str]:
    """Key frames are chosen from the decoded ones."""
    decoded = at(data.get("decode"), "frames")
    for name, block in blocks(data, "trunks"):
        wanted = block.get("frames")
        if type(wanted) is int and type(decoded) is int and wanted > decoded:
            yield f"trunks.{name}.frames: got {wanted} beside decode.frames {decoded}, expected no more"


def _shrunk_and_enlarged(data: Mapping[str, Any]) -> Iterator[str]:
    """A frame larger than the box is shrunk into it; a network whose short side is longer than the box would
    see each of them enlarged again. A smaller frame stays as it is, whatever the box."""
    box = at(data.get("decode"), "box")
    for name, block in blocks(data, "trunks"):
        wanted = block.get("resize")
        if type(wanted) is int and type(box) is int and wanted > box:
            yield (
                f"decode.box: got {box} beside trunks.{name}.resize {wanted}, expected at least {wanted} "
                f"({-(-wanted * 16 // 9)} for 16:9): larger frames would be shrunk and then enlarged"
            )


def named(data: Mapping[str, Any], name: str) -> Mapping[Any, Any]:
    """A block of names; empty where it is none."""
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def blocks(data: Mapping[str, Any], name: str) -> list[tuple[Any, Mapping[str, Any]]]:
    """The entries of a block of names that are blocks themselves."""
    return [(entry, block) for entry, block in named(data, name).items() if isinstance(block, Mapping)]


def at(block: Any, key: str) -> Any:
    """A key of a block; None where it is none."""
    return block.get(key) if isinstance(block, Mapping) else None
