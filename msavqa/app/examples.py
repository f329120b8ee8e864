"""Videos that the page of `msavqa ui` offers to try: test videos of the project that it is started in."""

from dataclasses import dataclass
from pathlib import Path

from msavqa.datasets import tables
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError


@dataclass(frozen=True)
class Example:
    """A rated video that the model has not learned from."""

    path: Path
    prompt: str
    mos: float


def of_project(root: Path, *, dataset: str, kinds: tuple[str, ...]) -> list[Example]:
    """Test videos of the data set in the project at `root`, rated highest, in the middle and lowest, of
    different prompts.

    None where there is no such project, no manifest, or none with a prompt and a file of one of these `kinds`
    (endings such as ".mp4"). Of the first repeat, whose model `msavqa export` takes.
    """
    tabled = root / "data" / dataset
    try:
        videos = root / str(params.read(root / params.PARAMS_FILE)["datasets"][dataset]["root"])
        manifest = tables.read_manifest(tabled / "manifest.parquet")
        splits = tables.read_splits(tabled / "splits.parquet")
    except (MsavqaError, KeyError, TypeError, OSError):
        return []
    tested = splits[(splits["repeat"] == splits["repeat"].min()) & (splits["role"] == "test")]
    rows = manifest[manifest["video_id"].isin(tested["video_id"]) & (manifest["status"] == "ok")]
    rows = rows[(rows["prompt"] != "") & rows["mos"].notna()].sort_values(
        ["mos", "video_id"], ascending=False
    )
    found = [
        Example(videos / str(row["path"]), str(row["prompt"]), float(row["mos"]))
        for row in rows.to_dict("records")
        if str(row["path"]).lower().endswith(kinds)
    ]
    found = [one for one in found if one.path.is_file()]
    chosen: list[Example] = []
    for share in (0.0, 0.5, 1.0):
        left = [one for one in found if one.prompt not in {other.prompt for other in chosen}]
        if left:
            chosen.append(left[round(share * (len(left) - 1))])
    return chosen
