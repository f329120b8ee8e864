"""Made-up feature stores with known causes of quality, small enough to train on in a second.

Quality = what the trunks' features show + how well the frames fit the prompt - how much they mutate, so that
each part of a model has something of its own to find.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from msavqa.networks import weights
from msavqa.store import shards
from msavqa.store.format import ArraySpec, prompt_id

DIM, WIDTH, TOKENS, FRAMES, FEATURES, TIMES = 16, 32, 5, 8, 12, 4
KINDS = {"frame": "image", "segment": "image"}
"""Kinds of the trunks that are not named as their kind is."""
DECODE = {"frames": FRAMES, "box": None}
ARCHITECTURE = {"layers": 1, "heads": 2, "activation": "gelu", "eps": 1e-5, "width": WIDTH, "dim": DIM}


@dataclass(frozen=True)
class World:
    """Where everything is, and its tables."""

    features: Path
    weights: Path
    """The folder of CLIP's weights."""
    manifest: pd.DataFrame
    splits: pd.DataFrame


def make(
    root: Path,
    *,
    videos: int = 60,
    seed: int = 0,
    repeats: int = 1,
    views: int = 2,
    broken: dict[str, list[int]] | None = None,
) -> World:
    """Writes all stores, CLIP's last blocks and the tables of a world under `root`.

    `broken` maps a store to the rows that are quarantined in it.
    """
    random = np.random.default_rng(seed)
    ids = [f"{number:03d}.mp4" for number in range(videos)]
    prompts = [f"prompt {number // 3}" for number in range(videos)]
    text = {prompt: _unit(random.normal(size=DIM)) for prompt in prompts}
    technical, fit, mutation = random.uniform(size=(3, videos))
    quality = 40 * technical + 40 * fit - 20 * mutation + 30
    cls = np.stack(
        [
            _unit(0.3 * random.normal(size=(FRAMES, DIM)) / DIM**0.5 + fit[v] * text[prompts[v]])
            for v in range(videos)
        ]
    )
    cls[:, FRAMES // 2 :] = _unit(
        cls[:, FRAMES // 2 :] + mutation[:, None, None] * _unit(random.normal(size=DIM))
    )
    direction = random.normal(size=FEATURES)
    pooled = technical[:, None, None, None] * direction + 0.1 * random.normal(
        size=(videos, views, FRAMES, FEATURES)
    )
    features, clip = root / "features", _clip_weights(root)
    write_store(features / "frame.zarr", ids, pooled=("video view frame width", pooled.astype(np.float16)))
    write_store(
        features / "segment.zarr",
        ids,
        broken=(broken or {}).get("segment.zarr", []),
        pooled=("video view frame width", pooled[:, :, ::2].astype(np.float16)),
    )
    times = pooled[:, :1, :TIMES] + 0.1
    write_store(features / "video.zarr", ids, pooled=("video view time width", times.astype(np.float16)))
    measures = np.stack([technical, mutation], axis=1) + 0.05 * random.normal(size=(videos, 2))
    groups = {"spatial": measures[:, :1], "temporal": measures, "change": measures[:, 1:]}
    groups["no_reference"] = technical[:, None]
    write_store(
        features / "statistics.zarr",
        ids,
        **{group: ("video statistic", values.astype(np.float32)) for group, values in groups.items()},
    )
    tokens = 0.1 * random.normal(size=(videos, FRAMES, TOKENS, WIDTH))
    tokens[..., 0, :DIM] = cls
    write_store(
        features / "clip_image.zarr",
        ids,
        fingerprint=_fingerprint("clip_image") | _made_by(clip["clip_image"]),
        tokens=("video frame token width", tokens.astype(np.float16)),
        cls=("video frame dim", cls.astype(np.float32)),
    )
    unique = sorted(set(prompts))
    text_tokens = 0.1 * random.normal(size=(len(unique), TOKENS, WIDTH))
    length = random.integers(2, TOKENS, size=len(unique)).astype(np.int32)
    for row, prompt in enumerate(unique):
        text_tokens[row, length[row] - 1, :DIM] = text[prompt]
    write_store(
        features / "clip_text.zarr",
        [prompt_id(prompt) for prompt in unique],
        fingerprint=_fingerprint("clip_text") | _made_by(clip["clip_text"]),
        tokens=("prompt token width", text_tokens.astype(np.float16)),
        length=("prompt", length),
        cls=("prompt dim", np.stack([text[prompt] for prompt in unique]).astype(np.float32)),
    )
    manifest = pd.DataFrame({"video_id": ids, "prompt": prompts, "mos": quality, "weight": 1.0})
    manifest["generator"] = [f"g{number % 3}" for number in range(videos)]
    return World(features, root, manifest, _splits(ids, repeats))


def networks(world: World) -> dict[str, object]:
    """The blocks of the params.yaml that the stores follow."""
    return {
        "weights": str(world.weights),
        "decode": DECODE,
        "texts": {"clip_text": {}},
        "trunks": {
            name: {"kind": KINDS.get(name, name)} for name in ("clip_image", "frame", "segment", "video")
        },
    }


def _fingerprint(trunk: str) -> dict[str, object]:
    every = {"frames": "all"} if trunk == "frame" else {}
    return {"kind": KINDS.get(trunk, trunk), **every, "decoded": DECODE}


def _made_by(weights_file: Path) -> dict[str, object]:
    return {"architecture": {"weights_sha256": weights.sha256(weights_file)}}


def _splits(ids: list[str], repeats: int) -> pd.DataFrame:
    """Of every ten videos: seven train in two folds, one val, two test."""
    roles = ["train"] * 7 + ["val"] + ["test"] * 2
    rows = []
    for repeat in range(repeats):
        for number, video in enumerate(ids):
            role = roles[(number + repeat) % 10]
            rows.append((repeat, video, role, number % 2 if role == "train" else -1))
    return pd.DataFrame(rows, columns=["repeat", "video_id", "role", "fold"])


def _clip_weights(root: Path) -> dict[str, Path]:
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int, scale: float = 0.05) -> torch.Tensor:
        return scale * torch.randn(shape, generator=generator)

    paths = {}
    root.mkdir(parents=True, exist_ok=True)
    for trunk, prefix, norm, projection in (
        ("clip_text", "", "ln_final", "text_projection"),
        ("clip_image", "visual.", "visual.ln_post", "visual.proj"),
    ):
        block = f"{prefix}transformer.resblocks.0."
        state = {projection: torch.eye(WIDTH)[:, :DIM].contiguous()}
        for name in (f"{norm}", f"{block}ln_1", f"{block}ln_2"):
            state |= {f"{name}.weight": torch.ones(WIDTH), f"{name}.bias": torch.zeros(WIDTH)}
        for name, rows, columns in (
            ("attn.in_proj_", 3 * WIDTH, WIDTH),
            ("attn.out_proj.", WIDTH, WIDTH),
            ("mlp.c_fc.", 2 * WIDTH, WIDTH),
            ("mlp.c_proj.", WIDTH, 2 * WIDTH),
        ):
            state |= {f"{block}{name}weight": some(rows, columns), f"{block}{name}bias": some(rows)}
        paths[trunk] = root / f"{trunk}.safetensors"
        save_file(state, paths[trunk])
    return paths


def write_store(
    path: Path,
    ids: list[str],
    *,
    broken: Sequence[int] = (),
    fingerprint: Mapping[str, object] | None = None,
    attributes: Mapping[str, object] | None = None,
    extra: Mapping[str, int] | None = None,
    extras: Sequence[Mapping[str, int]] | None = None,
    **arrays: tuple[str, np.ndarray],
) -> None:
    """A store of arrays given as (axes, whole array); `extra`: columns of every row, `extras`: of each."""
    specs = [
        ArraySpec(name=name, axes=tuple(axes.split()), shape=array.shape[1:], dtype=str(array.dtype))
        for name, (axes, array) in arrays.items()
    ]

    def compute(rows: list[int]) -> shards.ShardResult:
        chosen = {name: array[list(rows)] for name, (_, array) in arrays.items()}
        return shards.ShardResult(
            chosen,
            [
                shards.RowResult(
                    error="broken" if row in broken else "", extra=extras[row] if extras else extra or {}
                )
                for row in rows
            ],
        )

    shards.write(
        path,
        ids=ids,
        sha256s=["0" * 64] * len(ids),
        specs=specs,
        fingerprint=fingerprint or _fingerprint(path.stem),
        attributes=attributes or {"architecture": ARCHITECTURE},
        compute=compute,
        shard_mb=1,
        staging_root=path.parent / "staging",
    )


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)
