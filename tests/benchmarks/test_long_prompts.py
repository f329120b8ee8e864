"""The benchmark of long prompts: its words are what it says, and the sample run passes its bound."""

import json

import pytest

from benchmarks import long_prompts
from tests.conftest import ROOT, skip_or_fail


def test_the_words_of_style_are_84_and_stand_where_they_are_said_to() -> None:
    assert len(long_prompts.STYLE.split()) == 84
    prompt = "a red ball rolls left."
    made = {name: form(prompt) for name, form in long_prompts.FORMS.items()}
    assert made["behind"].endswith(f"fine grain, {prompt}")
    assert made["before"].startswith("a red ball rolls left, 8k, masterpiece")
    assert ", unreal engine, a red ball rolls left, golden hour" in made["middle"]
    assert "," not in made["behind_without_commas"]
    assert all(len(text.split()) == 84 + 5 for text in made.values())


@pytest.mark.sample
def test_most_of_a_prompt_behind_words_of_style_is_found_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all 300 test videos: SRCC 0.831 alone, 0.813 read in pieces, 0.547 cut (LOG.md)."""
    if not (ROOT / "runs/sample/bundle").is_dir():
        skip_or_fail("no runs/sample/bundle: run `make repro` first", needs="sample")
    monkeypatch.chdir(ROOT)
    long_prompts.main(["--videos", "40"])
    found = json.loads(capsys.readouterr().out)
    assert found["behind"]["pieces"] > 5
    assert found["srcc"] - found["behind"]["srcc"] < 0.06
    assert found["behind"]["srcc"] - found["behind"]["srcc_cut"] > 0.12
    assert set(found["suffixes"]) == {
        "8k, masterpiece",
        "highly detailed, cinematic lighting",
        "best quality",
    }
