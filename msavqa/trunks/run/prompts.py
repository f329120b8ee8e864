"""Runs a frozen text network over a data set's prompts, once: prompts in, a store of features out.

A prompt that is too long for the network is read in pieces, a row each (`pieces.py`). No video is opened and
nothing of decoding is asked for. Killed at any moment, the next call continues.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from msavqa.ground.progress import Progress
from msavqa.machine import launchers
from msavqa.machine.launch import Launcher
from msavqa.store import shards
from msavqa.store.format import prompt_id
from msavqa.store.prompt_rows import piece_id
from msavqa.store.shards import RowResult, ShardResult, WriteReport
from msavqa.trunks.run import scripts
from msavqa.trunks.run.feature_rows import ExtractSettings, Rows, put, staged
from msavqa.trunks.run.network import Trunk
from msavqa.trunks.run.pieces import Pieces


@dataclass(frozen=True)
class Piece:
    """What one row is computed from."""

    id: str
    text: str
    facts: dict[str, Any]
    """Columns of the row beside its text and tokens: `piece`, its number from 1; of its prompt `pieces`, how
    many are read, `truncated`, whether its end is in none of them, and `unknown_script`."""


def pieces(prompts: Sequence[str], *, read: Callable[[str], Pieces]) -> list[Piece]:
    """Rows for the distinct ones of some prompts, in the order in which they first come."""
    found = []
    for prompt in dict.fromkeys(prompts):
        parted = read(prompt)
        of_prompt = {
            "pieces": len(parted.texts),
            "truncated": not parted.whole,
            "unknown_script": scripts.unknown(prompt) is not None,
        }
        for number, text in enumerate(parted.texts, start=1):
            found.append(Piece(piece_id(prompt, number), text, {"piece": number, **of_prompt}))
    return found


def run(
    path: Path,
    *,
    trunk: Trunk,
    pieces: Sequence[Piece],
    extract: ExtractSettings,
    shard_mb: int | float,
    description: str = "extract",
    staging_root: Path | None = None,
    launcher: Launcher | None = None,
) -> WriteReport:
    """Runs a text network over the `pieces` of all prompts and writes the store at `path`.

    A row's id is `prompt_rows.piece_id`; its columns say the text that it was computed from (`prompt`), its
    tokens and what `Piece.facts` holds. Rows stand in the order in which prompts first come, so that one more
    at the end changes the last shard and no other. The launcher is the environment's where none is given.
    """
    with Progress(description, total=len(pieces), unit="prompts") as progress:
        return shards.write(
            path,
            ids=[piece.id for piece in pieces],
            sha256s=[prompt_id(piece.text) for piece in pieces],
            specs=trunk.specs,
            fingerprint=trunk.fingerprint,
            attributes=trunk.attributes,
            compute=PromptRows(trunk=trunk, pieces=pieces, extract=extract, progress=progress),
            shard_mb=shard_mb,
            staging_root=staging_root,
            launcher=launcher or launchers.chosen(device=extract.device, tell=progress.workers),
            on_progress=staged(progress),
        )


@dataclass(frozen=True, kw_only=True)
class PromptRows(Rows):
    """Computes rows of a store of prompts."""

    pieces: Sequence[Piece]

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        arrays, asked = self.empty(rows), [self.pieces[row] for row in rows]
        tokens = [self.network.prepare(piece.text) for piece in asked]
        found = self.network.forward(tokens)
        put(arrays, found, places=list(range(len(rows))), names=[repr(piece.text) for piece in asked])
        self.tell(len(rows))
        made = zip(asked, tokens, strict=True)
        return ShardResult(
            arrays,
            [
                RowResult(extra={"prompt": piece.text, "token_count": one.count, **piece.facts})
                for piece, one in made
            ],
        )


def told(rows: pd.DataFrame) -> str:
    """What a store's rows say of its prompts, for a line of output; empty where all fit and can be read."""
    first = rows[rows["piece"] == 1]
    counts = {
        "in pieces": int((first["pieces"] > 1).sum()),
        "longer than is read": int(first["truncated"].sum()),
        "in a script that the encoder does not know": int(first["unknown_script"].sum()),
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)
