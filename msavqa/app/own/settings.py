"""A guess -> a whole params.yaml, on the ground of a preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from msavqa.app.own.guess import Guess
from msavqa.app.own.table import listed
from msavqa.check import presets
from msavqa.ground.errors import MsavqaError, ProblemsError

NAME = "mine"
"""What the data set is called."""
SAMPLE = Path("data/sample")
"""What lies below is made by stages of its own."""
COMMENTS = {
    "reader": "the name of a file in msavqa/datasets/readers",
    "root": "the folder that video paths start from",
    "mos_range": "lowest and highest MOS that the scale allows",
}


def compose(preset: str, guess: Guess, *, home: Path) -> str:
    """The text of a preset's params.yaml with the guessed data set in place of its own.

    Its data set for pre-training stays where its labels are in the project's folder `home`.
    """

    def own(data: Any) -> None:
        kept = [name for name in data["pretrain_on"] if _is_there(data["datasets"][name], home)]
        others = {name: data["datasets"][name] for name in kept}
        data["datasets"] = presets.loaded(_written(guess.block), where=home)["datasets"]
        data["datasets"].update(others)
        data["train_on"][:] = [NAME]
        data["pretrain_on"][:] = kept
        if not kept:
            for branch in data["branches"].values():
                branch["start"] = None

    return presets.compose(preset, change=own)


def look(text: str) -> tuple[list[str], list[str]]:
    """Of a params.yaml in the making: what else is to be said of it, and what its owner has to look at."""
    data = yaml.safe_load(text)
    said, left = [], _mistakes(data)
    toys = [name for name, how in data["fetch"].items() if how["source"] == "shipped"]
    if Path(data["weights"]).is_relative_to(SAMPLE):
        left.append(
            "the networks are the sample world's toys, trained on drawn scenes: they show that every part "
            "works, and the scores mean little; `--preset csv` takes pre-trained ones"
        )
    elif toys:
        left.append(
            f"{listed(toys)} {'is a toy' if len(toys) == 1 else 'are toys'}, trained on drawn scenes; "
            "`--preset csv` takes pre-trained networks alone"
        )
    else:
        said.append(
            f"networks: pre-trained ones, which `make weights` fetches into {data['weights']}/, and "
            "`dvc repro` too; where no hub can be reached, `--preset csv_offline` takes toys that show that "
            "every part works"
        )
    if not data["pretrain_on"]:
        said.append("no pre-training, for no data set for it is here")
    return said, left


def _mistakes(data: Mapping[str, Any]) -> list[str]:
    """What the reader and the split would refuse, the first of each; no video is looked for."""
    from msavqa.datasets import read, splits
    from msavqa.ground import params

    try:
        _, rows = read.read(data, NAME, check_files=False)
    except ProblemsError as error:
        count = len(error.problems)
        first, more = error.problems[0], f" and {count - 1} more" if count > 1 else ""
        return [f"mistakes in the table: {first}{more}; `msavqa data check` names all"]
    try:
        splits.split(splits.unread(rows), params.block(data, "split", splits.SplitSettings))
    except MsavqaError as error:
        return [f"too little to split: {error.got}; {error.next_step}"]
    return []


def _is_there(dataset: Mapping[str, Any], home: Path) -> bool:
    labels = dataset["labels"]
    paths = labels.values() if isinstance(labels, Mapping) else [labels]
    return all(Path(path).is_relative_to(SAMPLE) or (home / path).exists() for path in paths)


def _written(block: Mapping[str, Any]) -> str:
    lines = ["datasets:", f"  {NAME}:"]
    for key, value in block.items():
        comment = f" # {COMMENTS[key]}" if key in COMMENTS else ""
        lines.append(f"    {key}: {_flow(value)}{comment}")
    return "\n".join(lines)


def _flow(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return str(text).removesuffix("...\n").strip()
