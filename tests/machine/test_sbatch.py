"""The script for Slurm, with a pretended Slurm and a real Ray: its nodes are two addresses of one machine."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, skip_or_fail
from tests.stores import World, same_as_fresh

SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do if [[ "$1" == -w ]]; then node=$2; shift; fi; shift; done
if [[ "$1" == hostname ]]; then echo "$node fe80::1"; exit; fi
if [[ "$3" == --head ]]; then more=--include-dashboard=false; else more=--node-ip-address=$node; fi
exec "$@" --object-store-memory=80000000 "$more"
"""
STUBS = {
    "srun": SRUN,
    "scontrol": "#!/bin/bash\nprintf '127.0.0.7\\n127.0.0.8\\n'\n",
    "dvc": "#!/bin/bash\n"
    'until [ "$(ray status | grep -c "^ *1 node_")" = 2 ]; do sleep 0.2; done\n'
    "[ $1 = repro ] && cd $ROOT && exec python -m tests.machine.ray_work $OUT 0.1 2\n",
}
VARIABLES = {
    "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "1",
    "SLURM_GPUS_ON_NODE": "0", "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled",
}  # fmt: skip


@pytest.mark.slow
def test_the_script_starts_ray_on_all_nodes_and_the_stages_use_them(tmp_path: Path) -> None:
    if find_spec("ray") is None:
        skip_or_fail("Ray is not installed", needs="ray")
    stubs, folder = tmp_path / "stubs", tmp_path / "project"
    stubs.mkdir()
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, text in STUBS.items():
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    path = f"{stubs}{os.pathsep}{Path(sys.executable).parent}"
    (folder / ".venv/bin/activate").write_text(f"PATH={path}{os.pathsep}$PATH\n")
    places = {"SLURM_SUBMIT_DIR": str(folder), "OUT": str(folder), "ROOT": str(ROOT), "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with log.open("w") as file:
        job = subprocess.Popen(
            ["bash", ROOT / "docs/cluster.sbatch"],
            env={**os.environ, **VARIABLES, **places},
            start_new_session=True,
            stdout=file,
            stderr=file,
        )
        try:
            ended = job.wait(240)
        except subprocess.TimeoutExpired:
            ended = None
        finally:
            end(job.pid)
    said = log.read_text()
    assert ended == 0, said
    assert "3 tasks by 2 nodes: 127.0.0.7 " in said
    (folder / "fresh").mkdir()
    assert same_as_fresh(World(folder), World(folder / "fresh"))


def end(session: int) -> None:
    """What Slurm does when a batch script ends: the other steps end too."""
    for signal_ in (signal.SIGTERM, signal.SIGKILL):
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == session:
                    os.kill(process.pid, signal_)
            except ProcessLookupError:
                continue
        time.sleep(1)
