"""The committed miniature models and conversations are whole, small and what their card says."""

from __future__ import annotations

from pathlib import Path

import jiwer
import pytest

from scripts.miniatures.conversations import read_truth
from scripts.miniatures.voices import WORDS
from scripts.miniatures.whisper.shape import MINIATURE
from scripts.miniatures.whisper.tokens import LANGUAGES, pair_tokens
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline_tests import places

MINIATURES = places.DATA / "miniatures"
CONVERSATIONS = sorted(path.stem for path in (MINIATURES / "conversations").glob("*.flac"))


def test_all_fit_into_a_repository() -> None:
    assert sum(path.stat().st_size for path in MINIATURES.rglob("*") if path.is_file()) < 4_000_000


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_truth_lies_inside_its_conversation(name: str) -> None:
    truth = read_truth(MINIATURES / "conversations" / f"{name}.json")
    ends_s = [0.0]
    for turn in truth.turns:
        assert turn.start_s > ends_s[-1]
        assert turn.start_s <= turn.words[0].start_s < turn.words[-1].end_s <= turn.end_s
        assert {word.text for word in turn.words} <= set(WORDS[truth.language])
        ends_s.append(turn.end_s)
    assert truth.duration_s > ends_s[-1]


@pytest.mark.parametrize(("languages", "size"), [(LANGUAGES, 51_865), ((*LANGUAGES, "yue"), 51_866)])
def test_random_models_have_the_published_tokens(languages: tuple[str, ...], size: int) -> None:
    tokens = pair_tokens(languages)
    shift = len(languages) - 99
    assert len(tokens.all) == len(set(tokens.all)) == size
    assert tokens.id("endoftext") == 50_257
    assert tokens.id("startoftranscript") == 50_258
    assert tokens.id("ru") == 50_263
    assert tokens.id("transcribe") == 50_359 + shift
    assert tokens.id("notimestamps") == 50_363 + shift
    assert tokens.timestamp(30.0) == 51_864 + shift
    assert tokens.text.decode(tokens.text.encode(" Привет, world!").ids) == " Привет, world!"


def test_texts_of_a_random_model_have_a_given_length(tmp_path: Path) -> None:
    from faster_whisper import WhisperModel

    from scripts import random_models

    random_models.whisper(tmp_path / "random", MINIATURE, 1, tokens_a_text=12)
    model = WhisperModel(str(tmp_path / "random"), device="cpu", compute_type="int8", cpu_threads=1)
    samples = decode(MINIATURES / "conversations" / f"{CONVERSATIONS[0]}.flac", max_duration_s=60).pcm.mono()
    for clip in (samples[:40_000], samples[40_000:160_000]):
        segments, info = model.transcribe(clip, beam_size=2, temperature=0, without_timestamps=True)
        assert sum(len(segment.tokens) for segment in segments) == 12
        assert info.language == "zh"


def test_miniature_whisper_transcribes_turns() -> None:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(MINIATURES / "whisper"), device="cpu", compute_type="int8", cpu_threads=1)
    said, heard = [], []
    for name in CONVERSATIONS:
        samples = decode(MINIATURES / "conversations" / f"{name}.flac", max_duration_s=60).pcm.mono()
        truth = read_truth(MINIATURES / "conversations" / f"{name}.json")
        for turn in truth.turns:
            clip = samples[round((turn.start_s - 0.2) * 16_000) : round((turn.end_s + 0.2) * 16_000)]
            segments, _ = model.transcribe(clip, language=truth.language, beam_size=1, temperature=0)
            said.append(" ".join(word.text for word in turn.words))
            heard.append(" ".join(segment.text.strip() for segment in segments))
    assert jiwer.wer(said, heard) <= 0.08
