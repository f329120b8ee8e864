"""The write side of a store: only what is new is computed, and the result is that of a first run."""

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msavqa.ground.errors import MsavqaError
from msavqa.machine.launch import processes
from msavqa.store import format, shard, staging
from msavqa.store import read as store
from msavqa.store.format import MAX_SHARD_ROWS, rows_per_shard, staging_name
from msavqa.store.shards import RowResult, ShardDone, ShardResult
from tests.stores import BAD, FINGERPRINT, SPECS, World, compute_rows, same_as_fresh, tree


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> World:
    """Another folder, for the store an uninterrupted run would make."""
    (tmp_path / "fresh").mkdir()
    return World(tmp_path / "fresh")


def test_a_store_is_written_once_and_a_second_run_computes_nothing(world: World) -> None:
    first = world.write()
    assert (first.rows, first.computed, first.shards, first.shards_made) == (10, 10, 3, 3)
    assert world.computed == list(range(10))
    before = tree(world.path)
    again = world.write()
    assert (again.rows, again.computed, again.shards, again.shards_made) == (10, 0, 3, 0)
    assert tree(world.path) == before


def test_a_changed_video_alone_is_computed_again(world: World, fresh: World) -> None:
    world.write()
    world.sha256s[6] = "other content"
    world.computed.clear()
    report = world.write()
    assert world.computed == [6]
    assert (report.computed, report.shards_made) == (1, 1)
    assert same_as_fresh(world, fresh)


@pytest.mark.parametrize("place", [0, 3, 10])
def test_an_added_video_alone_is_computed_wherever_it_stands(world: World, fresh: World, place: int) -> None:
    world.write()
    world.ids.insert(place, "77")
    world.sha256s.insert(place, "new")
    world.computed.clear()
    world.write()
    assert world.computed == [place]
    assert same_as_fresh(world, fresh)


def test_removed_and_reordered_videos_compute_nothing(world: World, fresh: World) -> None:
    world.write()
    world.ids, world.sha256s = world.ids[:0:-1], world.sha256s[:0:-1]
    world.computed.clear()
    world.write()
    assert world.computed == []
    assert same_as_fresh(world, fresh)


def test_another_shard_size_computes_nothing(world: World) -> None:
    world.write()
    world.computed.clear()
    assert world.write(shard_mb=1).shards == 1
    assert world.computed == []
    np.testing.assert_array_equal(store.open(world.path).all("tokens"), world.truth("tokens"))


edits = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "change", "spoil"]), st.integers(0, 30), st.integers(0, 3)),
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(edits, min_size=1, max_size=3))
def test_any_history_of_edits_ends_in_the_store_of_a_first_run(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[tuple[str, int, int]]]
) -> None:
    world, fresh = World(tmp_path_factory.mktemp("grown")), World(tmp_path_factory.mktemp("fresh"))
    for step in history:
        for edit, number, content in step:
            place = number % len(world.ids)
            if edit == "add" and str(number) not in world.ids:
                world.ids.insert(place, str(number))
                world.sha256s.insert(place, f"content{content}")
            elif edit == "remove" and len(world.ids) > 1:
                del world.ids[place], world.sha256s[place]
            elif edit in ("change", "spoil"):
                world.sha256s[place] = BAD if edit == "spoil" else f"content{content}"
        world.write()
    assert same_as_fresh(world, fresh)


def test_another_fingerprint_shares_nothing(world: World) -> None:
    world.write()
    world.computed.clear()
    world.write(fingerprint={**FINGERPRINT, "cut": "stage"})
    assert world.computed == list(range(10))


def test_the_order_of_facts_and_arrays_makes_no_other_fingerprint(world: World) -> None:
    world.write()
    before = tree(world.path)
    world.computed.clear()
    world.write(fingerprint=dict(reversed(FINGERPRINT.items())), specs=SPECS[::-1])
    assert world.computed == []
    assert tree(world.path) == before
    assert format.digest({"a": 1, "b": {"c": 2}}) == format.digest({"b": {"c": 2}, "a": 1})
    assert format.digest({"a": 1}) != format.digest({"a": 2})


def test_quarantined_rows_are_counted_and_tried_again_with_their_shard(world: World) -> None:
    world.sha256s[5] = BAD
    assert world.write().quarantined == 1
    world.computed.clear()
    assert world.write().quarantined == 1
    assert world.computed == []
    world.sha256s[6] = "other content"
    world.write()
    assert world.computed == [5, 6]


def test_progress_hears_of_every_shard_staged_ones_first(world: World) -> None:
    world.sha256s[9] = BAD
    heard: list[ShardDone] = []
    world.write(on_progress=heard.append)
    assert heard == [ShardDone(4, 0, 4), ShardDone(4, 0, 4), ShardDone(2, 1, 2, ("no frames",))]
    world.sha256s[1] = "other content"
    heard.clear()
    world.write(on_progress=heard.append)
    assert heard == [ShardDone(4, 0, 0), ShardDone(2, 1, 0), ShardDone(4, 0, 1)]


def test_only_one_shard_of_results_is_in_memory(world: World) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    counts: list[int] = []

    def compute(rows: Sequence[int]) -> ShardResult:
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        result = world.compute(rows)
        alive.extend(weakref.ref(array) for array in result.arrays.values())
        return result

    world.write(compute=compute)
    assert counts == [0, 0, 0]


def test_shards_are_made_by_any_launcher_with_the_shape_of_map(world: World, fresh: World) -> None:
    world.write(launcher=lambda function, tasks: [function(task) for task in reversed(tasks)])
    assert same_as_fresh(world, fresh)


def test_several_processes_make_the_same_store(world: World, fresh: World) -> None:
    compute = partial(compute_rows, world.ids, world.sha256s, 0.0)
    assert world.write(compute=compute, launcher=processes(2)).computed == 10
    assert same_as_fresh(world, fresh)


def test_shards_hold_as_many_rows_as_fit_at_least_one_and_never_too_many() -> None:
    row = SPECS[0]
    assert rows_per_shard([row], shard_mb=10 * row.row_bytes / 2**20) == 10
    assert rows_per_shard([row, row], shard_mb=10 * row.row_bytes / 2**20) == 5
    assert rows_per_shard([row], shard_mb=1e-9) == 1
    assert rows_per_shard([row], shard_mb=512) == MAX_SHARD_ROWS


def refusal(world: World, **changes: object) -> str:
    with pytest.raises(MsavqaError) as caught:
        world.write(**changes)
    assert not world.path.exists()
    return str(caught.value)


def test_an_id_that_stands_twice_is_refused(world: World) -> None:
    world.ids[3] = "0"
    assert refusal(world) == (
        f"Rows in {world.path}: got '0' more than once, expected every id once; "
        "mend the stage that writes it."
    )


def test_no_rows_are_refused(world: World) -> None:
    assert refusal(world, ids=[], sha256s=[]) == (
        f"Rows in {world.path}: got 0 ids and 0 sha256s, expected one sha256 for every id, at least one; "
        "mend the stage that writes it."
    )


def test_arrays_over_different_rows_are_refused(world: World) -> None:
    specs = (SPECS[0], replace(SPECS[1], axes=("prompt",)))
    assert refusal(world, specs=specs) == (
        f"Arrays in {world.path}: got tokens over video, length over prompt, "
        "expected different names, the same first axis; mend the stage that writes it."
    )


def test_a_result_of_another_shape_or_dtype_is_refused_and_not_cast(world: World) -> None:
    spec = replace(SPECS[1], name="score", dtype="float32")

    def compute(rows: Sequence[int]) -> ShardResult:
        return ShardResult({"score": np.zeros(len(rows), dtype=np.float64)}, [RowResult()] * len(rows))

    where = world.staging / staging_name(fingerprint=FINGERPRINT, specs=[spec])
    assert refusal(world, specs=[spec], compute=compute, shard_mb=1) == (
        f"Computed shard in {where}: got 10 rows of {{'score': 'float64(10,)'}}, "
        "expected 10 rows of {'score': 'float32(10,)'}; mend the stage that writes it."
    )


def test_a_shard_that_shows_late_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that caches names: the folder has to be listed before what is new in it is seen."""
    made: dict[str, int] = {}
    get, keys = staging.get, staging.keys

    def get_late(folder: Path, key: str) -> staging.Staged | None:
        found = get(folder, key)
        if found is None or made.get(key, 0) > 1:
            return found
        made.setdefault(key, 0)
        return None

    def list_anew(folder: Path) -> list[str]:
        for key in made:
            made[key] += 1
        return keys(folder)

    monkeypatch.setattr(staging, "get", get_late)
    monkeypatch.setattr(staging, "keys", list_anew)
    assert world.write().computed == 10
    assert made


def test_a_shard_that_never_shows_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(staging, "get", lambda folder, key: None)
    with pytest.raises(
        MsavqaError, match=r"^Lost shard in .*: got no shard [0-9a-f]+, expected the one that"
    ):
        world.write()


def test_no_name_is_asked_for_that_the_folder_does_not_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, asked = staging.get, list[str]()

    def get_here(folder: Path, key: str) -> staging.Staged | None:
        asked.append(key)
        return get(folder, key)

    monkeypatch.setattr(staging, "get", get_here)
    first: list[list[str]] = []

    def launcher(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        first.append(list(asked))
        return map(function, tasks)

    assert world.write(launcher=launcher).computed == 10
    assert first == [[]]
