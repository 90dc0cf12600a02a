"""GigaAM-Emo against what the reference implementation answers, and its windows, batches and streams."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from sensory_pipeline.audio.waveform import Waveform  # noqa: E402
from sensory_pipeline.core.emotions import LABELS, Emotion, EmotionWindow  # noqa: E402
from sensory_pipeline.core.errors import ConfigurationError, EmptyAudio, EngineError  # noqa: E402
from sensory_pipeline.core.spans import Span  # noqa: E402
from sensory_pipeline.engines.base import ClassifyJob  # noqa: E402
from sensory_pipeline.engines.cache import CacheSettings, LoadedModel, ModelCache  # noqa: E402
from sensory_pipeline.engines.checkpoint import read_checkpoint  # noqa: E402
from sensory_pipeline.engines.emotion.conformer import Shape  # noqa: E402
from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork  # noqa: E402
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier  # noqa: E402
from sensory_pipeline.engines.emotion.job_logits import LONGEST_MS  # noqa: E402
from sensory_pipeline_tests import places  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

DATA = places.DATA / "gigaam"
CHECKPOINT = DATA / "emo.ckpt"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
RECORDINGS = tuple(EXPECTED)
SILENCE_MS = 3000


def recording(name: str) -> Waveform:
    with wave.open(str(DATA / f"{name}.wav")) as file:
        return Waveform(samples=np.frombuffer(file.readframes(file.getnframes()), "<i2")[None])


def spoken(*spans: tuple[int, int]) -> Waveform:
    """Parts of a recording, in ms, one after the other."""
    pcm = recording("jfk16")
    parts = [pcm.cut(Span(start_ms=start, end_ms=end)).samples for start, end in spans]
    return Waveform(samples=np.concatenate(parts, axis=1))


def window(turn: Span, start_ms: int | None = None, end_ms: int | None = None) -> EmotionWindow:
    """Part of a turn; all of it where no limits are given."""
    start_ms = turn.start_ms if start_ms is None else start_ms
    end_ms = turn.end_ms if end_ms is None else end_ms
    return EmotionWindow(span=Span(start_ms=start_ms, end_ms=end_ms), turn=turn, speaker=None)


def job(pcm: Waveform, *windows: EmotionWindow, key: str = "a", language: str | None = "ru") -> ClassifyJob:
    return ClassifyJob(key=key, pcm=pcm, windows=windows or (window(pcm.span),), language=language)


def answers(engine: GigaamClassifier, jobs: Iterable[ClassifyJob]) -> dict[str, tuple[Emotion, ...]]:
    answered = dict(engine.classify(jobs))
    emotions = {key: value for key, value in answered.items() if isinstance(value, tuple)}
    assert emotions == answered
    return emotions


def probabilities(emotions: Iterable[Emotion]) -> npt.NDArray[np.float64]:
    return np.array([[getattr(emotion.scores, label) for label in LABELS] for emotion in emotions])


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    odds = np.exp(logits.astype(np.float64))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


@pytest.fixture(scope="module")
def engine() -> GigaamClassifier:
    return GigaamClassifier(str(CHECKPOINT))


@pytest.fixture(scope="module")
def network() -> EmotionNetwork:
    return EmotionNetwork.restored(read_checkpoint(CHECKPOINT), labels=4)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_gets_the_probabilities_of_the_reference(name: str, engine: GigaamClassifier) -> None:
    (emotion,) = answers(engine, [job(recording(name))])["a"]
    for label in LABELS:
        assert getattr(emotion.scores, label) == pytest.approx(EXPECTED[name]["probs"][label], abs=1e-5)
    assert emotion.arousal is None


@pytest.mark.parametrize("name", RECORDINGS)
def test_activations_are_those_of_the_reference(name: str, network: EmotionNetwork) -> None:
    expected = np.load(DATA / "expected_activations.npz")
    with torch.inference_mode():
        features = network.preprocessor(torch.from_numpy(recording(name).mono()))
        encoded, lengths = network.encoder(features[None], torch.tensor([len(features)]))
    assert len(features) == EXPECTED[name]["feature_frames"]
    assert lengths.tolist() == [encoded.shape[1]] == [EXPECTED[name]["encoder_frames"]]
    assert np.abs(encoded[0, :100].T.numpy() - expected[f"{name}.encoded"]).max() < 1e-3
    # Where a band is 60 dB below the loudest of its frame, the reference is lost in the rounding of its
    # own Fourier transform: computed in double precision, features differ from it as much as ours.
    reference = expected[f"{name}.features"]
    difference = np.abs(features[:200].T.numpy() - reference)
    assert difference[reference > reference.max(axis=0) - 13].max() < 1e-3
    assert difference.max() < 1e-2


def test_a_new_network_hears_the_way_the_published_one_does() -> None:
    tensors = read_checkpoint(CHECKPOINT)
    fresh = EmotionNetwork(Shape.of(tensors)).state_dict()
    assert {name: tuple(values.shape) for name, values in fresh.items()} == {k: v.shape for k, v in tensors.items()}
    for name in ("spectrogram.window", "mel_scale.fb"):
        key = f"preprocessor.featurizer.0.{name}"
        np.testing.assert_allclose(fresh[key].numpy(), tensors[key], atol=1e-6)


def test_a_new_network_has_the_published_size_and_can_be_trained() -> None:
    with torch.device("meta"):
        published = EmotionNetwork(Shape()).state_dict()
    assert published["encoder.pre_encode.out.weight"].shape == (768, 12288)
    assert published["encoder.layers.15.self_attn.pos_bias_u"].shape == (16, 48)
    small = EmotionNetwork(Shape(layers=1, width=16, heads=2, hidden=16, kernel=5))
    sounds = [torch.rand(length) for length in (2000, 3000)]
    torch.stack([logits.mean(dim=0) for logits in small(sounds)]).square().sum().backward()
    gradients = [weights.grad for weights in small.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 8000), st.integers(25, 3000)), min_size=2, max_size=6))
def test_a_batch_answers_as_one_by_one(network: EmotionNetwork, parts: list[tuple[int, int]]) -> None:
    sounds = [spoken((start, start + length)).mono() for start, length in parts]
    for sound, together in zip(sounds, network.frame_logits(sounds), strict=True):
        (alone,) = network.frame_logits([sound])
        assert len(together) == len(alone)
        assert np.abs(softmax(together) - softmax(alone)).max() < 1e-5


def test_what_pads_a_batch_changes_nothing(network: EmotionNetwork) -> None:
    features = network.preprocessor(torch.from_numpy(spoken((0, 1000)).mono()))
    lengths = torch.tensor([len(features)])
    alone, _ = network.encoder(features[None], lengths)
    for frames in (1, 2, 3, 4, 50):
        padded = torch.cat([features, torch.zeros(frames, features.shape[1])])[None]
        encoded, kept = network.encoder(padded, lengths)
        assert kept.tolist() == [alone.shape[1]]
        torch.testing.assert_close(encoded[:, : alone.shape[1]], alone, atol=1e-5, rtol=0)


def test_jobs_together_answer_as_alone(engine: GigaamClassifier) -> None:
    jobs = [
        job(
            spoken((start, start + 4000)),
            *(window(Span(start_ms=a, end_ms=a + length)) for a in (0, 1111)),
            key=str(length),
        )
        for start, length in ((0, 500), (2000, 1800), (4000, 2400), (6000, 30))
    ]
    together = answers(engine, jobs)
    for each in jobs:
        alone = answers(engine, [each])[each.key]
        assert [emotion.window for emotion in together[each.key]] == list(each.windows)
        assert np.abs(probabilities(together[each.key]) - probabilities(alone)).max() < 1e-5


def test_a_turn_asked_about_as_a_whole_gets_what_the_network_says_of_its_sound(
    engine: GigaamClassifier, network: EmotionNetwork
) -> None:
    pcm = recording("jfk16")
    spans = [Span(start_ms=start, end_ms=end) for start, end in ((0, 40), (1234, 1999), (3003, 9000), (10_990, 11_000))]
    given = answers(engine, [job(pcm, *map(window, spans))])["a"]
    for span, emotion in zip(spans, given, strict=True):
        sound = pcm.cut(span).mono()
        (logits,) = network.frame_logits([np.pad(sound, (0, max(0, 400 - len(sound))))])
        np.testing.assert_allclose(probabilities([emotion])[0], softmax(logits.mean(axis=0)), atol=1e-5)


def test_samples_after_the_last_millisecond_are_heard(engine: GigaamClassifier, network: EmotionNetwork) -> None:
    pcm = Waveform(samples=recording("jfk16").samples[:, :32_007])
    (emotion,) = answers(engine, [job(pcm)])["a"]
    (logits,) = network.frame_logits([pcm.mono()])
    np.testing.assert_allclose(probabilities([emotion])[0], softmax(logits.mean(axis=0)), atol=1e-7)


def test_a_window_is_the_mean_of_its_frames(engine: GigaamClassifier, network: EmotionNetwork) -> None:
    pcm = recording("jfk16")
    turn = Span(start_ms=200, end_ms=10_600)
    (logits,) = network.frame_logits([pcm.cut(turn).mono()])
    windows = [window(turn, 200, 3200), window(turn, 4440, 7410), window(turn, 7_777, 10_600)]
    frames = [(0, 75), (106, 180), (190, 260)]  # first and last, at 200 + 40 i ms
    given = answers(engine, [job(pcm, *windows)])["a"]
    assert all(emotion.voiced_ms >= 1000 for emotion in given)
    for emotion, (first, last) in zip(given, frames, strict=True):
        expected = softmax(logits[first : last + 1].mean(axis=0))
        np.testing.assert_allclose(probabilities([emotion])[0], expected, atol=1e-5)


def test_a_window_with_little_voice_leans_on_its_turn(engine: GigaamClassifier, network: EmotionNetwork) -> None:
    pcm = recording("jfk16")
    turn = pcm.span
    (logits,) = network.frame_logits([pcm.mono()])
    word, moment = answers(engine, [job(pcm, window(turn, 3400, 4000), window(turn, 3410, 3411))])["a"]
    assert 0 < word.voiced_ms < 1000
    around, own = logits.mean(axis=0), logits[85:101].mean(axis=0)
    expected = softmax(around + word.voiced_ms / 1000 * (own - around))
    np.testing.assert_allclose(probabilities([word])[0], expected, atol=1e-5)
    np.testing.assert_allclose(probabilities([moment])[0], softmax(around), atol=1e-2)


def test_a_window_without_voice_gets_its_turn(engine: GigaamClassifier) -> None:
    pcm = Waveform(samples=np.pad(recording("jfk16").samples, ((0, 0), (0, SILENCE_MS * 16))))
    turn = pcm.span
    whole, silent = answers(engine, [job(pcm, window(turn), window(turn, turn.end_ms - SILENCE_MS + 500))])["a"]
    assert silent.voiced_ms == 0
    assert probabilities([silent]).tolist() == probabilities([whole]).tolist()


def test_a_turn_too_long_for_the_network_is_heard_in_pieces(engine: GigaamClassifier, network: EmotionNetwork) -> None:
    pcm = Waveform(samples=np.tile(recording("jfk16").samples, 3))
    middle = pcm.duration_ms // 2
    assert middle < LONGEST_MS < pcm.duration_ms
    halves = [Span(start_ms=0, end_ms=middle), Span(start_ms=middle, end_ms=pcm.duration_ms)]
    logits = np.concatenate([network.frame_logits([pcm.cut(half).mono()])[0] for half in halves])
    times = np.concatenate([half.start_ms + 40 * np.arange(len(logits) // 2) for half in halves])
    across = window(pcm.span, middle - 2000, middle + 3000)
    whole, crossing = answers(engine, [job(pcm, window(pcm.span), across)])["a"]
    np.testing.assert_allclose(probabilities([whole])[0], softmax(logits.mean(axis=0)), atol=1e-5)
    inside = (times >= across.span.start_ms) & (times <= across.span.end_ms)
    np.testing.assert_allclose(probabilities([crossing])[0], softmax(logits[inside].mean(axis=0)), atol=1e-5)


def test_a_long_turn_is_heard_in_its_parts(engine: GigaamClassifier, network: EmotionNetwork) -> None:
    pcm = Waveform(samples=np.tile(recording("jfk16").samples, 3))
    first, second = Span(start_ms=0, end_ms=16_000), Span(start_ms=16_500, end_ms=33_000)
    long = EmotionWindow(span=pcm.span, turn=pcm.span, speaker=None, parts=(first, second))
    logits = [network.frame_logits([pcm.cut(part).mono()])[0] for part in long.parts]
    whole, *halves = answers(engine, [job(pcm, long, window(first), window(second))])["a"]
    np.testing.assert_allclose(probabilities([whole])[0], softmax(np.concatenate(logits).mean(axis=0)), atol=1e-5)
    for half, expected in zip(halves, logits, strict=True):
        np.testing.assert_allclose(probabilities([half])[0], softmax(expected.mean(axis=0)), atol=1e-5)


@pytest.mark.parametrize(("language", "caveat"), [("ru", None), (None, None), ("en", "out_of_language")])
def test_another_language_than_russian_is_marked(
    language: str | None, caveat: str | None, engine: GigaamClassifier
) -> None:
    (emotion,) = answers(engine, [job(spoken((0, 500)), language=language)])["a"]
    assert emotion.caveat == caveat


def test_a_recording_without_sound_costs_no_other_its_answer(engine: GigaamClassifier) -> None:
    empty = Waveform(samples=np.zeros((1, 0), np.int16))
    somewhere = window(Span(start_ms=0, end_ms=1000))
    good = job(spoken((0, 2000)), key="good")
    answered = dict(engine.classify([job(empty, somewhere, key="bad"), good]))
    assert isinstance(answered["bad"], EmptyAudio)
    assert answered["good"] == answers(engine, [good])["good"]


@pytest.mark.parametrize(
    ("start_ms", "end_ms"), [(0, 0), (1000, 1000), (990, 1010), (1500, 1800)], ids=["none", "end", "over", "beyond"]
)
def test_a_turn_with_hardly_any_sound_is_answered(start_ms: int, end_ms: int, engine: GigaamClassifier) -> None:
    turn = Span(start_ms=start_ms, end_ms=end_ms)
    (emotion,) = answers(engine, [job(spoken((0, 1000)), window(turn))])["a"]
    assert probabilities([emotion]).sum() == pytest.approx(1)


def test_nothing_asked_is_nothing_answered(engine: GigaamClassifier) -> None:
    pcm = spoken((0, 1000))
    assert answers(engine, [ClassifyJob(key="a", pcm=pcm, windows=(), language=None)]) == {"a": ()}
    assert answers(engine, []) == {}


def test_an_endless_stream_is_taken_as_it_is_needed() -> None:
    engine = GigaamClassifier(str(CHECKPOINT), batch_s=2)
    taken: list[str] = []

    def stream() -> Iterator[ClassifyJob]:
        for number in count():
            taken.append(str(number))
            yield job(spoken((0, 1000)), key=str(number))

    answered = engine.classify(stream())
    assert not taken
    assert {key for key, _ in islice(answered, 4)} == set(taken) == {str(number) for number in range(4)}
    next(answered)
    assert len(taken) == 8


def test_a_model_unloaded_between_jobs_is_loaded_again() -> None:
    with closing(ModelCache(CacheSettings(max_bytes=1))) as cache:
        engine = GigaamClassifier(str(CHECKPOINT), cache=cache)
        first, second = (answers(engine, [job(spoken((0, 1000)))]) for _ in range(2))
        assert first == second
        assert (cache.stats().loads, cache.stats().evictions) == (2, 2)


def saved(path: Path, **changed: npt.NDArray[np.float32] | None) -> Path:
    """A copy of the checkpoint as torch saves it; `None` leaves a tensor out, `__` stands for a dot."""
    tensors = {name: torch.from_numpy(values) for name, values in read_checkpoint(CHECKPOINT).items()}
    for name, values in changed.items():
        tensors.pop(name.replace("__", "."))
        if values is not None:
            tensors[name.replace("__", ".")] = torch.from_numpy(values)
    torch.save({"cfg": {"model_name": "emo"}, "state_dict": tensors}, path)
    return path


def test_what_torch_saves_today_is_read(tmp_path: Path, engine: GigaamClassifier) -> None:
    again = GigaamClassifier(str(saved(tmp_path / "again.ckpt")))
    jobs = [job(spoken((0, 1000)))]
    assert answers(again, jobs) == answers(engine, jobs)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("head__weight", None),
        ("head__weight", np.zeros((34, 64), np.float32)),
        ("head__bias", None),
        ("head__bias", np.zeros(5, np.float32)),
        ("encoder__layers__0__conv__depthwise_conv__weight", np.zeros(3, np.float32)),
        ("encoder__layers__1__norm_out__weight", None),
    ],
)
def test_another_model_is_refused(name: str, values: npt.NDArray[np.float32] | None, tmp_path: Path) -> None:
    engine = GigaamClassifier(str(saved(tmp_path / "ctc.ckpt", **{name: values})))
    with pytest.raises(ConfigurationError, match=r"another model than GigaAM-Emo.*GIGAAM_MODEL_NAME"):
        answers(engine, [job(spoken((0, 1000)))])


def test_numbers_that_overflow_are_an_error_of_the_recording(tmp_path: Path) -> None:
    path = saved(tmp_path / "emo.ckpt", head__bias=np.array([0, np.inf, 0, 0], np.float32))
    ((_, answer),) = GigaamClassifier(str(path)).classify([job(spoken((0, 1000)))])
    assert isinstance(answer, EngineError)


def test_half_precision_in_the_encoder_alone_moves_probabilities_little() -> None:
    network = EmotionNetwork.restored(read_checkpoint(CHECKPOINT), labels=4)
    network.encoder.half()
    for name in RECORDINGS:
        (logits,) = network.frame_logits([recording(name).mono()])
        assert logits.dtype == np.float32
        assert np.abs(softmax(logits.mean(axis=0)) - list(EXPECTED[name]["probs"].values())).max() < 5e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_answers_as_the_reference() -> None:
    engine = GigaamClassifier(str(CHECKPOINT), device="cuda")
    given = answers(engine, [job(recording(name), key=name) for name in RECORDINGS])
    for name in RECORDINGS:
        assert np.abs(probabilities(given[name])[0] - list(EXPECTED[name]["probs"].values())).max() < 5e-3


@contextmanager
def hooked(hook: Callable[[Sequence[Any]], None]) -> Iterator[GigaamClassifier]:
    """An engine whose network shows the hook the sounds of each batch, as tensors, before it hears them."""
    network = EmotionNetwork.restored(read_checkpoint(CHECKPOINT), labels=4)
    network.register_forward_pre_hook(lambda _, given: hook(given[0]))
    with closing(ModelCache(CacheSettings(ttl_s=None))) as cache:
        engine = GigaamClassifier(str(CHECKPOINT), cache=cache)
        with cache.lease(engine.key, lambda: LoadedModel(model=network, size_bytes=1, unload=lambda: None)):
            yield engine


FOUR = [(0, 3000), (2000, 4500), (4000, 7000), (6000, 9900)]


def test_a_batch_too_large_for_the_memory_is_halved_and_not_tried_again(engine: GigaamClassifier) -> None:
    jobs = [job(spoken(span), key=str(index)) for index, span in enumerate(FOUR * 4)]
    sizes: list[int] = []

    def short(batch: Sequence[Any]) -> None:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with hooked(short) as starved:
        answered = answers(starved, jobs)
        failed = sum(size > 2 for size in sizes)
        assert failed
        assert set(answers(starved, jobs)) == set(answered)
    assert sum(size > 2 for size in sizes) == failed
    for each, expected in answers(engine, jobs).items():
        assert np.abs(probabilities(answered[each]) - probabilities(expected)).max() < 1e-5


def test_a_batch_that_fails_costs_the_recording_it_fails_on(engine: GigaamClassifier) -> None:
    jobs = [job(spoken(span), key=str(index)) for index, span in enumerate(FOUR)]
    poison = spoken(FOUR[2]).mono()[:100]

    def refuse(batch: Sequence[Any]) -> None:
        if any(np.array_equal(sound[:100].numpy(), poison) for sound in batch):
            raise RuntimeError("a tensor of the wrong size")

    with hooked(refuse) as choosy:
        answered = dict(choosy.classify(jobs))
    error = answered.pop("2")
    assert isinstance(error, EngineError)
    assert "wrong size" in str(error)
    expected = answers(engine, [each for each in jobs if each.key != "2"])
    assert set(answered) == set(expected)
    for key, emotions in answered.items():
        assert isinstance(emotions, tuple)
        assert np.abs(probabilities(emotions) - probabilities(expected[key])).max() < 1e-5


def test_a_recording_too_long_for_the_memory_says_what_can_be_done() -> None:
    def none_left(_: Sequence[Any]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with hooked(none_left) as starved:
        ((_, error),) = starved.classify([job(spoken((0, 3000)))])
    assert isinstance(error, EngineError)
    assert "SENSORY_SIDE_BY_SIDE" in str(error)


def test_a_fault_of_the_device_is_nobodys() -> None:
    def broken(_: Sequence[Any]) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with hooked(broken) as lost, pytest.raises(RuntimeError, match="illegal memory access"):
        list(lost.classify([job(spoken((0, 3000)))]))
