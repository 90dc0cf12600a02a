"""GigaAM-Emo compared with what the reference implementation answers, and its windows and checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from sensory_pipeline.audio.waveform import Waveform  # noqa: E402
from sensory_pipeline.core.emotions import LABELS, EmotionWindow  # noqa: E402
from sensory_pipeline.core.errors import ConfigurationError, EmptyAudio, EngineError  # noqa: E402
from sensory_pipeline.core.spans import Span  # noqa: E402
from sensory_pipeline.engines.base import ClassifyJob  # noqa: E402
from sensory_pipeline.engines.checkpoint import read_checkpoint  # noqa: E402
from sensory_pipeline.engines.emotion.conformer import Shape  # noqa: E402
from sensory_pipeline.engines.emotion.emotion_network import EmotionNetwork  # noqa: E402
from sensory_pipeline.engines.emotion.gigaam import GigaamClassifier  # noqa: E402
from sensory_pipeline.engines.emotion.job_logits import LONGEST_MS  # noqa: E402
from sensory_pipeline_tests.gigaam_reference import (  # noqa: E402
    CHECKPOINT,
    DATA,
    EXPECTED,
    RECORDINGS,
    answers,
    job,
    probabilities,
    recording,
    softmax,
    spoken,
    window,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SILENCE_MS = 3000


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


def test_a_new_network_has_the_spectrogram_of_the_published_one() -> None:
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


def test_a_whole_turn_has_the_result_of_the_network_on_its_sound(
    engine: GigaamClassifier, network: EmotionNetwork
) -> None:
    pcm = recording("jfk16")
    spans = [Span(start_ms=start, end_ms=end) for start, end in ((0, 40), (1234, 1999), (3003, 9000), (10_990, 11_000))]
    given = answers(engine, [job(pcm, *map(window, spans))])["a"]
    for span, emotion in zip(spans, given, strict=True):
        sound = pcm.cut(span).mono()
        (logits,) = network.frame_logits([np.pad(sound, (0, max(0, 400 - len(sound))))])
        np.testing.assert_allclose(probabilities([emotion])[0], softmax(logits.mean(axis=0)), atol=1e-5)


def test_samples_after_the_last_millisecond_count(engine: GigaamClassifier, network: EmotionNetwork) -> None:
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


def test_a_window_with_little_voice_is_shrunk_toward_its_turn(
    engine: GigaamClassifier, network: EmotionNetwork
) -> None:
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


def test_a_turn_too_long_for_the_network_is_computed_in_pieces(
    engine: GigaamClassifier, network: EmotionNetwork
) -> None:
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


def test_a_long_turn_is_computed_in_its_parts(engine: GigaamClassifier, network: EmotionNetwork) -> None:
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


def test_a_recording_without_sound_fails_alone(engine: GigaamClassifier) -> None:
    empty = Waveform(samples=np.zeros((1, 0), np.int16))
    somewhere = window(Span(start_ms=0, end_ms=1000))
    good = job(spoken((0, 2000)), key="good")
    answered = dict(engine.classify([job(empty, somewhere, key="bad"), good]))
    assert isinstance(answered["bad"], EmptyAudio)
    assert answered["good"] == answers(engine, [good])["good"]


@pytest.mark.parametrize(
    ("start_ms", "end_ms"), [(0, 0), (1000, 1000), (990, 1010), (1500, 1800)], ids=["none", "end", "over", "beyond"]
)
def test_a_very_short_turn_is_answered(start_ms: int, end_ms: int, engine: GigaamClassifier) -> None:
    turn = Span(start_ms=start_ms, end_ms=end_ms)
    (emotion,) = answers(engine, [job(spoken((0, 1000)), window(turn))])["a"]
    assert probabilities([emotion]).sum() == pytest.approx(1)


def test_no_windows_give_no_emotions(engine: GigaamClassifier) -> None:
    pcm = spoken((0, 1000))
    assert answers(engine, [ClassifyJob(key="a", pcm=pcm, windows=(), language=None)]) == {"a": ()}
    assert answers(engine, []) == {}


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
