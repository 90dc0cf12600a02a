"""The service's page in a real browser, with real weights: a file, live speech, a phone, both themes, keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys as Key

from scripts.browser.chromium import Browser, browser, missing
from scripts.browser.page import PHONE_HEIGHT, PHONE_WIDTH, SAMPLES, lit, problem, text, transcribed, words
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.audio.pcm_file import write_pcm
from sensory_pipeline.audio.waveform import Waveform
from sensory_pipeline.engines.selection import Engines, chosen_engines
from sensory_pipeline.engines.spec import EngineChoice
from sensory_pipeline.gateway.keys import digest
from sensory_pipeline_tests.audio_files import tone
from sensory_pipeline_tests.breaking_proxy import BreakingProxy, breaking
from sensory_pipeline_tests.gateway_server import Gateway, gateway
from sensory_pipeline_tests.published_models import REAL_MODELS, published
from sensory_pipeline_tests.trivial_engines import TrivialTranscriber, trivial
from sensory_pipeline_tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    missing() is not None, reason=f"there is no {missing()}: apt install chromium chromium-driver"
)
SPOKEN_S = 6
BROKEN_AFTER_BYTES = 150_000
LEAST_CONTRAST = 4.5  # of text, by WCAG 2.2, 1.4.3
CONTRASTS = """
const channels = colour => colour.match(/[\\d.]+/g).map(Number);
const light = colour => channels(colour).slice(0, 3).map(value => value / 255)
  .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
const behind = node => {
  const colour = getComputedStyle(node).backgroundColor;
  return (channels(colour)[3] ?? 1) > 0 || !node.parentElement ? colour : behind(node.parentElement);
};
const texts = [...document.querySelectorAll('body *')].filter(node => node.checkVisibility() && !node.disabled
  && [...node.childNodes].some(child => child.nodeType === Node.TEXT_NODE && child.textContent.trim()));
return texts.map(node => {
  const [low, high] = [light(getComputedStyle(node).color), light(behind(node))].sort((one, other) => one - other);
  return [(high + 0.05) / (low + 0.05), node.textContent.slice(0, 30)];
});
"""


def tiny() -> Engines:
    return chosen_engines(EngineChoice(whisper_model_size="tiny.en", whisper_cpu_threads=1))


def unhurried() -> Engines:
    return replace(trivial(), transcriber=TrivialTranscriber(pause_s=1))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    for name in REAL_MODELS:
        published(name)
    with gateway(tmp_path_factory.mktemp("page") / "spool", engines=tiny) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def network(service: Gateway) -> Iterator[BreakingProxy]:
    """Between browser and service; it breaks what sends more than the file has, which is the live speech."""
    with breaking(int(service.url.rpartition(":")[2]), BROKEN_AFTER_BYTES, times=1) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def window(network: BreakingProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Whose microphone hears the beginning of Kennedy's speech."""
    spoken = tmp_path_factory.mktemp("spoken") / "kennedy.wav"
    speech = decode(SAMPLES / "real" / "kennedy_1961.flac", max_duration_s=60).pcm
    write_pcm(spoken, Waveform(samples=speech.samples[:, : SPOKEN_S * 16_000]))
    with browser(f"http://127.0.0.1:{network.port}", spoken=spoken) as opened:
        yield opened
        assert opened.complaints() == []


def downloaded(window: Browser, folder: Path) -> dict[str, str]:
    """Text of the three files, by their suffix."""
    folder.mkdir()
    window.download_to(folder)
    for kind in ("json", "srt", "vtt"):
        window.element(f"#{kind}").click()
    eventually(lambda: len([path for path in folder.iterdir() if path.suffix in {".json", ".srt", ".vtt"}]) == 3)
    return {path.suffix: path.read_text() for path in folder.iterdir()}


def too_faint(window: Browser) -> list[str]:
    """Text that is hard to read."""
    contrasts = window.value(CONTRASTS)
    assert len(contrasts) > 10
    return [text for contrast, text in contrasts if contrast < LEAST_CONTRAST]


def test_a_file_is_transcribed_played_and_downloaded(window: Browser, tmp_path: Path) -> None:
    window.open("/")
    transcribed(window, SAMPLES / "hotel_room.ogg")
    files = downloaded(window, tmp_path / "downloads")
    result = json.loads(files[".json"])
    assert text(window).split() == result["tra"]["text"].split()
    assert len(words(window)) > 20
    speakers = set(window.value("return [...document.querySelectorAll('.speaker')].map(each => each.textContent)"))
    assert speakers == set(result["dia"]["speakers"])
    emotions = set(window.value("return [...document.querySelectorAll('.word')].map(word => word.dataset.emotion)"))
    assert emotions - {None} <= {item["label"] for item in result["emo"]["items"]}
    assert emotions != {None}
    assert files[".vtt"].startswith("WEBVTT\n\n00:00:")
    assert "<v SPEAKER_00>" in files[".vtt"]
    assert files[".srt"].startswith("1\n00:00:")
    assert "SPEAKER_00: " in files[".srt"]

    window.element(".time").click()  # of the first turn
    window.wait_until("return document.querySelector('#audio').currentTime > 1")
    first = lit(window)
    assert first >= 0
    eventually(lambda: lit(window) > first)
    window.value("document.querySelector('#audio').pause()")
    window.value("document.querySelectorAll('.word')[10].click()")
    window.value("document.querySelector('#audio').pause()")
    window.wait_until("return [...document.querySelectorAll('.word')].findIndex(word => word.ariaCurrent) >= 10")
    at = lit(window)
    transcript = window.element("#turns")
    transcript.send_keys(Key.ARROW_RIGHT, Key.ARROW_RIGHT, Key.ARROW_LEFT)
    window.wait_until("return !document.querySelector('#audio').seeking")
    assert lit(window) == at + 1
    transcript.send_keys(Key.SPACE)
    window.wait_until("return !document.querySelector('#audio').paused")
    transcript.send_keys(Key.SPACE)
    window.wait_until("return document.querySelector('#audio').paused")


def test_it_is_read_on_a_phone_and_in_both_themes(window: Browser) -> None:
    assert words(window), "the transcript of the test before"
    for dark in (False, True):
        window.screen(width=PHONE_WIDTH, height=PHONE_HEIGHT, dark=dark)
        assert window.value("return document.documentElement.scrollWidth") <= PHONE_WIDTH
        assert too_faint(window) == []
    background = window.value("return getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(20, 23, 26)"
    window.screen(width=1280, height=860)


def test_every_control_has_a_name(window: Browser) -> None:
    window.open("/")
    unnamed = window.value(
        "return [...document.querySelectorAll('input, select, button, progress')].filter(each => "
        "!each.labels?.length && !each.ariaLabel && !each.textContent.trim()).map(each => each.outerHTML)"
    )
    assert unnamed == []


def test_live_words_appear_during_speech(window: Browser, network: BreakingProxy, tmp_path: Path) -> None:
    window.open("/")
    window.press("Record")
    window.wait_until("return document.querySelector('#partial').textContent")
    assert too_faint(window) == []
    window.wait_until("return document.querySelector('#final').textContent.split(' ').length > 8")
    eventually(lambda: network.left == 0)  # and what was said meanwhile is sent again
    live = window.value("return document.querySelector('#final').textContent")
    window.press("Stop")
    window.wait_until("return !document.querySelector('#result').hidden")
    assert text(window).startswith(live.strip())
    assert problem(window) == ""
    result = json.loads(downloaded(window, tmp_path / "live")[".json"])
    assert result["tra"]["text"].split() == text(window).split()
    assert window.value("return document.querySelector('#audio').duration") > 3


def test_problems_say_what_to_do(window: Browser) -> None:
    window.open("/")
    transcribed(window, SAMPLES / "not_audio.wav")
    assert "this is not a recording" in problem(window)
    assert window.value("return document.querySelector('#result').hidden")
    complaints = window.complaints()  # of the browser itself: it cannot play the file, and notes the answer
    assert all("415" in complaint or "blob:" in complaint for complaint in complaints), complaints


def test_the_page_asks_for_a_key_and_long_files_are_jobs(tmp_path: Path) -> None:
    keys = (f"anna={digest('secret')}",)
    long = tone(tmp_path / "long.wav", 121_000)
    with (
        gateway(tmp_path / "spool", engines=unhurried, api_keys=keys) as service,
        browser(service.url, spoken=long) as window,
    ):
        window.open("/")
        for given in ("guess", "secret"):
            window.element("#key").send_keys(given)
            window.press("Use this key")
            if given == "guess":
                window.wait_for("does not know this key")
        window.wait_until("return !document.querySelector('#key-dialog').open")
        window.element("#file").send_keys(str(long))
        window.press("Transcribe")
        window.wait_for("You can close this page")
        window.press("Cancel")
        window.wait_for("Cancelled.")
        eventually(lambda: service.http.get("/v1/jobs", headers={"Authorization": "Bearer secret"}).json() == [])
        transcribed(window, long)
        assert words(window) == ["121000"]
        address = window.value("return location.hash")
        assert len(address) > 10
        window.open("/")
        window.open(f"/{address}")  # again, as somebody who comes back to a job
        window.wait_until("return document.querySelector('.word')")
        assert words(window) == ["121000"]
        window.press("Record")
        window.wait_for("Listening.")
        window.press("Stop")
        window.wait_for("Done")
        assert problem(window) == ""


def test_files_are_cached_by_digest_and_foreign_scripts_are_blocked(tmp_path: Path) -> None:
    with gateway(tmp_path / "spool") as service:
        page = service.http.get("/")
        assert page.headers["cache-control"] == "no-cache"
        addresses = [part.split('"')[0] for part in page.text.split('="page/')[1:]]
        assert len(addresses) == 2
        for address in addresses:
            file = service.http.get(f"/page/{address}")
            kind = "text/css" if address.endswith(".css") else "text/javascript"
            assert (file.status_code, file.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
            assert file.headers["cache-control"].endswith("immutable")
            assert "script-src 'self'" in file.headers["content-security-policy"]
            assert "http" not in file.text.replace("http:", "").replace("https:", "").replace("http://localhost", "")
        for lost in ("page/old/page.js", addresses[0].replace("page.css", "index.html"), "page/x/../page.py"):
            assert service.http.get(f"/{lost}").status_code == 404
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not [word for word in ("onclick", "style=", "//cdn") if word in page.text]
