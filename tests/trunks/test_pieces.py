"""A long prompt as pieces: nothing lost, whole clauses where they fit, few and even."""

import functools
import re

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from msavqa.trunks.run import pieces, scripts

WINDOW = 30


@functools.cache
def tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


def tokens(text: str) -> int:
    return len(tokenizer().encode(text))


def parted(prompt: str, *, window: int = WINDOW, most: int = 999) -> tuple[str, ...]:
    found = pieces.of(prompt, tokens=tokens, window=window, most=most)
    assert found.whole
    return found.texts


def made_up(seed: int) -> str:
    """A prompt of random words, marks and scripts."""
    random = np.random.default_rng(seed)
    words = [
        "red",
        "a",
        "Ballerina",
        "16:9",
        "4k",
        "don't",
        "naïve",
        "红色的球在草地上",
        "🎈",
        "3.5",
        "supercalifragilistic",
    ]
    marks = [" ", " ", " ", ", ", ". ", "; ", "，", "\n", "  "]
    return "".join(random.choice(words) + random.choice(marks) for _ in range(int(random.integers(1, 120))))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("window", [5, 30, 75])
def test_pieces_hold_the_whole_prompt_in_its_order_and_fit_the_window(seed: int, window: int) -> None:
    prompt = made_up(seed)
    texts = parted(prompt, window=window)
    bare = functools.partial(re.sub, r"\s", "")
    assert bare("".join(texts)) == bare(prompt)
    assert all(text.strip() for text in texts)
    assert max(map(tokens, texts)) <= window


def test_a_prompt_that_fits_is_one_piece_as_it_stands() -> None:
    for prompt in ("", "  ", "a red ball. ", "word " * WINDOW):
        assert parted(prompt) == (prompt,)
    assert len(parted("word " * (WINDOW + 1))) == 2


def test_whole_clauses_stay_together_and_pieces_are_about_equally_long() -> None:
    clauses = [f"clause {'word ' * length}end," for length in (3, 9, 4, 8, 5, 7, 6, 6, 3, 9)]
    texts = parted(" ".join(clauses))
    assert [clause.strip() for text in texts for clause in re.findall(r".+?,", text)] == clauses
    sizes = list(map(tokens, texts))
    assert max(sizes) - min(sizes) <= max(map(tokens, clauses))
    assert len(texts) == 4, "three would have to be full to the last token"


def test_the_sentence_behind_words_of_style_is_in_one_piece() -> None:
    style = ", ".join(["8k", "masterpiece", "highly detailed", "cinematic lighting"] * 12)
    asked = "a red circle moves left in front of a brick wall"
    assert [asked in text for text in parted(f"{style}, {asked}")].count(True) == 1


def test_a_clause_without_marks_is_parted_between_words_and_a_word_between_characters() -> None:
    words = [f"word{number}" for number in range(40)]
    assert [word for text in parted(" ".join(words)) for word in text.split()] == words
    assert "".join(parted("红" * 100)) == "红" * 100
    clauses = ("红色的球，", "绿色的草地，", "蓝色的天空")
    assert parted("".join(clauses), window=16) == clauses


def test_more_pieces_than_may_be_leave_the_end_out() -> None:
    prompt = "a red ball, " * 60
    everything = pieces.of(prompt, tokens=tokens, window=WINDOW, most=99).texts
    found = pieces.of(prompt, tokens=tokens, window=WINDOW, most=3)
    assert (found.texts, found.whole) == (everything[:3], False)
    assert pieces.of(prompt, tokens=tokens, window=WINDOW, most=len(everything)).whole


@pytest.mark.parametrize(
    ("prompt", "script"),
    [
        ("", None),
        ("a red ball, 16:9, 42 °C, Tom™", None),
        ("une scène à Bâle, œuvre de Müller", None),
        ("a ball in 东京 at night", None),
        ("a happy dog 🎈", None),
        ("4k ！？ 123", None),
        ("一个红色的球", "CJK"),
        ("a ball 一个红色的球", "CJK"),
        ("赤いボールが転がる", "hiragana"),
        ("كرة حمراء تتدحرج", "arabic"),
        ("красный мяч", "cyrillic"),
        ("🎈🎈🎈 →", "emoji"),
    ],
)
def test_a_script_that_the_encoder_does_not_know_is_named(prompt: str, script: str | None) -> None:
    assert scripts.unknown(prompt) == script
