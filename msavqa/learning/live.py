"""How a training comes along, shown by DVCLive: each epoch's record as soon as it ends."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Follow = Callable[[Mapping[str, int | float]], None]
"""Takes one epoch's record; its `epoch` counts from 1."""


@contextmanager
def following(folder: Path | None) -> Iterator[Follow]:
    """What takes each epoch's record: `metrics.json` with the last one, `plots/metrics/<name>.tsv` with all.

    An older run's files in the folder go away. dvc.yaml is left alone and no experiment is made of it: that
    is `dvc exp run`'s work. None follows nothing, nor does a git repository without a commit, in which
    DVCLive does not open.
    """
    if folder is None:
        yield lambda record: None
        return
    from dvclive.live import Live
    from scmrepo.exceptions import SCMError

    try:
        opened = Live(str(folder), save_dvc_exp=False, dvcyaml=None)
    except SCMError:
        yield lambda record: None
        return
    with opened as live:

        def follow(record: Mapping[str, int | float]) -> None:
            live.step = int(record["epoch"])
            for name, value in record.items():
                if name != "epoch":
                    live.log_metric(name, value)
            live.next_step()

        yield follow
