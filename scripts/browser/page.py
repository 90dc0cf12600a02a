"""Uses the service's page as a person does, and takes the pictures of docs/service.md.

    python -m scripts.browser.page --work /tmp/page --pictures docs/pictures

It starts the service with the engines of the settings and sends it a recording from samples/ in Chromium. It needs
Debian's packages chromium and chromium-driver.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.browser.chromium import Browser, browser, missing
from sensory_pipeline_tests.gateway_server import gateway

SAMPLES = Path(__file__).parents[2] / "samples"
PHONE_WIDTH, PHONE_HEIGHT = 360, 740


def transcribed(window: Browser, recording: Path) -> None:
    """Choose a file and send it; its transcript is there, or a problem."""
    window.element("#file").send_keys(str(recording))
    window.press("Transcribe")
    window.wait_until("return !document.querySelector('#result').hidden || document.querySelector('#problem strong')")


def words(window: Browser) -> list[str]:
    """Of the transcript."""
    found: list[str] = window.value("return [...document.querySelectorAll('.word')].map(word => word.textContent)")
    return found


def text(window: Browser) -> str:
    """The transcript without speakers and times."""
    return str(
        window.value("return [...document.querySelectorAll('#turns .said')].map(said => said.textContent).join(' ')")
    )


def lit(window: Browser) -> int:
    """Number of the word that is lit, -1 for none."""
    return int(window.value("return [...document.querySelectorAll('.word')].findIndex(word => word.ariaCurrent)"))


def problem(window: Browser) -> str:
    """Return what the page says about an error, and what to do."""
    return str(window.value("return document.querySelector('#problem').textContent"))


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="A new folder for the service's spool.")
    parser.add_argument("--pictures", type=Path, required=True, help="Folder for the screenshots.")
    given = parser.parse_args()
    if program := missing():
        sys.exit(f"there is no {program}: apt install chromium chromium-driver")
    with gateway(given.work / "spool", engines=None) as service, browser(service.url) as window:
        service.wait_until_ready()
        window.screen(width=1000, height=1000)
        window.open("/")
        transcribed(window, SAMPLES / "real" / "telephone_call.wav")
        window.value("document.querySelectorAll('.word')[3].click()")
        window.wait_until("return document.querySelector('.word[aria-current]')")
        window.value("document.querySelector('#audio').pause()")
        window.picture(given.pictures / "page.png")
        window.screen(width=1000, height=1000, dark=True)
        window.picture(given.pictures / "page-dark.png")
        window.screen(width=PHONE_WIDTH, height=PHONE_HEIGHT, dots=2)
        window.value("document.querySelector('#result').scrollIntoView()")
        window.picture(given.pictures / "page-phone.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
