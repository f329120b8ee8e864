"""A store that has been sent to another process or machine, as its path and digest, opened there again."""

import os
import time
from pathlib import Path

from msavqa.store import format as fmt
from msavqa.store import read


def again(path: Path, digest: str) -> read.Store:
    """The store of that digest, where a pickled one arrives; raises `StoreError` where another lies there.

    Another machine may see late what was put there: see `shard.require`.
    """
    until = time.monotonic() + fmt.PATIENCE_SECONDS
    while True:
        try:
            found: read.Store | None = read.open(path)
        except read.StoreError:
            if time.monotonic() > until:
                raise
            found = None
        if found is not None and found.digest == digest:
            return found
        if found is not None and time.monotonic() > until:
            raise read.StoreError(
                what="Another store",
                where=path,
                got=f"digest {found.digest[:12]}",
                expected=f"digest {digest[:12]}, as where the work was given out",
                next_step="see that all machines see the same folder, and that nothing else writes there",
            )
        time.sleep(0.2)
        if path.parent.is_dir():  # to list it makes a file system that caches names ask anew
            os.listdir(path.parent)
