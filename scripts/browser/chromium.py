"""Chromium without a screen, used as a person would: pages, buttons, pictures.

Selenium drives it through the chromedriver of the same Debian version, so that both fit and nothing is downloaded.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.wait import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
"""Debian's packages chromium and chromium-driver."""
WITHIN_S = 60
SETTLE_S = 3
"""Seconds before a picture, in which animations end."""
_FLAGS = (
    "--headless",
    "--no-sandbox",  # it runs as root in containers, and sees no page but ours
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

_MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")


def missing() -> str | None:
    """Return the name of a program that is not installed; None if all are."""
    return next((name for name in PROGRAMS if shutil.which(name) is None), None)


class Browser:
    """One window on one server."""

    def __init__(self, driver: Chrome, url: str) -> None:
        """Open the server's first page.

        Args:
            driver: Selenium's driver.
            url: URL of the server.
        """
        self._driver = driver
        self._url = url

    def open(self, path: str) -> None:
        """Go to a page."""
        self._driver.get(self._url + path)

    def wait_for(self, text: str) -> WebElement:
        """Wait for an element with this text and return it.

        Raises:
            TimeoutException: It does not appear (selenium's error).
        """
        return self._wait(f"//*[contains(normalize-space(text()), {_quoted(text)})]")

    def press(self, label: str, *, until: str | None = None) -> None:
        """Press every button whose label begins like this, once there is one that is enabled.

        Args:
            label: Beginning of the label.
            until: Press again while the button with this label is disabled, because a page that is still loading may
                ignore the first time.
        """
        end = time.monotonic() + WITHIN_S
        while True:
            self._wait(_button(label))
            for button in self._driver.find_elements(By.XPATH, _button(label)):
                button.click()
            time.sleep(1 if until else 0)
            if until is None or self._driver.find_element(By.XPATH, _button(until)).is_enabled():
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{until!r} cannot be pressed, however often {label!r} is")

    def scroll_to(self, text: str) -> None:
        """Scroll until the element with this text is at the top."""
        self._driver.execute_script("arguments[0].scrollIntoView()", self.wait_for(text))

    def element(self, selector: str) -> WebElement:
        """Wait until the first element that a CSS selector finds can be clicked, and return it."""
        return WebDriverWait(self._driver, WITHIN_S).until(element_to_be_clickable((By.CSS_SELECTOR, selector)))

    def value(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a JavaScript function returns."""
        return self._driver.execute_script(script, *arguments)

    def wait_until(self, script: str, *, within_s: float = WITHIN_S) -> Any:
        """Wait until JavaScript returns something true, and return it.

        Raises:
            TimeoutException: It does not (selenium's error).
        """
        return WebDriverWait(self._driver, within_s, 0.05).until(lambda driver: driver.execute_script(script))

    def screen(self, *, width: int, height: int, dark: bool = False, dots: int = 1) -> None:
        """Emulate another screen, such as that of a phone.

        Args:
            width: In pixels.
            height: In pixels.
            dark: Whether the dark theme is preferred.
            dots: Dots per pixel, in each direction.
        """
        size = {"width": width, "height": height, "deviceScaleFactor": dots, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})

    def download_to(self, folder: Path) -> None:
        """Set the folder for downloads."""
        where = {"behavior": "allow", "downloadPath": str(folder)}
        self._driver.execute_cdp_cmd("Browser.setDownloadBehavior", where)

    def complaints(self) -> list[str]:
        """Return the errors and violated policies that pages have written to the console since the last call."""
        entries = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def picture(self, path: Path, *, height: int | None = None) -> None:
        """Save what is visible as a PNG with 128 colours.

        Args:
            path: The file.
            height: Height of the upper part to save, in pixels; None for all.
        """
        time.sleep(SETTLE_S)
        seen = Image.open(io.BytesIO(self._driver.get_screenshot_as_png())).convert("RGB")
        seen = seen.crop((0, 0, seen.width, height or seen.height))
        path.parent.mkdir(parents=True, exist_ok=True)
        seen.quantize(128).save(path, optimize=True)

    def _wait(self, path: str) -> WebElement:
        return WebDriverWait(self._driver, WITHIN_S).until(element_to_be_clickable((By.XPATH, path)))


@contextmanager
def browser(url: str, *, width: int = 1280, height: int = 860, spoken: Path | None = None) -> Iterator[Browser]:
    """Open a window of this size in pixels, with a temporary profile.

    Args:
        url: URL of the server.
        width: In pixels.
        height: In pixels.
        spoken: WAVE file that the microphone plays once; None for no microphone.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = shutil.which(PROGRAMS[0]) or ""
        for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        if spoken is not None:
            for flag in (*_MICROPHONE, f"--use-file-for-fake-audio-capture={spoken}%noloop"):
                options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which(PROGRAMS[1])))
        try:
            yield Browser(driver, url)
        finally:
            driver.quit()


def _button(label: str) -> str:
    return f"//button[starts-with(normalize-space(.), {_quoted(label)})]"


def _quoted(text: str) -> str:
    """Quote for XPath; our labels contain no double quotes."""
    return f'"{text}"'
