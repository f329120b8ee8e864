"""Runs a frozen text network over a data set's prompts, once: prompts in, a store of features out.

No video is opened and nothing of decoding is asked for. Killed at any moment, the next call continues.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msavqa.ground.progress import Progress
from msavqa.machine.launch import Launcher, in_turn
from msavqa.store import shards
from msavqa.store.format import prompt_id
from msavqa.store.shards import RowResult, ShardResult, WriteReport
from msavqa.trunks.run.feature_rows import ExtractSettings, Rows, put, staged
from msavqa.trunks.run.network import Trunk


def run(
    path: Path,
    *,
    trunk: Trunk,
    prompts: Sequence[str],
    extract: ExtractSettings,
    shard_mb: int | float,
    description: str = "extract",
    staging_root: Path | None = None,
    launcher: Launcher = in_turn,
) -> WriteReport:
    """Runs a text network over the distinct ones of some prompts and writes the store at `path`.

    A row's id is `format.prompt_id`; its columns say the prompt, its tokens and whether the context was too
    short for them (`truncated`). Rows stand in the order in which prompts first come, so that one more at
    the end changes the last shard and no other.
    """
    distinct = list(dict.fromkeys(prompts))
    ids = [prompt_id(prompt) for prompt in distinct]
    with Progress(description, total=len(distinct), unit="prompts") as progress:
        return shards.write(
            path,
            ids=ids,
            sha256s=ids,
            specs=trunk.specs,
            fingerprint=trunk.fingerprint,
            attributes=trunk.attributes,
            compute=PromptRows(trunk=trunk, prompts=distinct, extract=extract, progress=progress),
            shard_mb=shard_mb,
            staging_root=staging_root,
            launcher=launcher,
            on_progress=staged(progress),
        )


@dataclass(frozen=True, kw_only=True)
class PromptRows(Rows):
    """Computes rows of a store of prompts."""

    prompts: Sequence[str]

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        arrays, texts = self.empty(rows), [self.prompts[row] for row in rows]
        tokens = [self.network.prepare(text) for text in texts]
        found = self.network.forward(tokens)
        put(arrays, found, places=list(range(len(rows))), names=[repr(text) for text in texts])
        self.tell(len(rows))
        return ShardResult(arrays, [_prompt_row(text, one) for text, one in zip(texts, tokens, strict=True)])


def _prompt_row(prompt: str, tokens: Any) -> RowResult:
    truncated = tokens.count > len(tokens.ids)
    return RowResult(extra={"prompt": prompt, "token_count": tokens.count, "truncated": truncated})
