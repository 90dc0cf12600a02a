"""Languages as settings name them: the ISO 639 codes of those that Whisper knows (arXiv 2212.04356, and large-v3)."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani",
    "ba": "Bashkir", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "bo": "Tibetan",
    "br": "Breton", "bs": "Bosnian", "ca": "Catalan", "cs": "Czech", "cy": "Welsh",
    "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fo": "Faroese",
    "fr": "French", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "haw": "Hawaiian",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "ht": "Haitian Creole", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese",
    "jw": "Javanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada",
    "ko": "Korean", "la": "Latin", "lb": "Luxembourgish", "ln": "Lingala", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mg": "Malagasy", "mi": "Maori", "mk": "Macedonian",
    "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese",
    "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "nn": "Nynorsk", "no": "Norwegian",
    "oc": "Occitan", "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sa": "Sanskrit", "sd": "Sindhi", "si": "Sinhala",
    "sk": "Slovak", "sl": "Slovenian", "sn": "Shona", "so": "Somali", "sq": "Albanian",
    "sr": "Serbian", "su": "Sundanese", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tl": "Tagalog",
    "tr": "Turkish", "tt": "Tatar", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek",
    "vi": "Vietnamese", "yi": "Yiddish", "yo": "Yoruba", "yue": "Cantonese", "zh": "Chinese",
}  # fmt: skip
AUTO = "auto"


def known_code(code: str) -> str:
    """The code, if it is known.

    Raises:
        ValueError: It is unknown; the message names the code that was probably meant.
    """
    if code in NAMES:
        return code
    given = code.strip().casefold()
    named = (known for known, name in NAMES.items() if name.casefold() == given)
    meant = next(named, given.replace("_", "-").partition("-")[0])
    if meant in NAMES:
        raise ValueError(f"write {meant}, the ISO 639-1 code")
    raise ValueError("unknown language; write its ISO 639-1 code, for example en")


def _told(code: str) -> str:
    return code if code == AUTO else known_code(code)


def _from_yaml(value: Any) -> Any:
    """YAML reads `no` as false."""
    return "no" if value is False else value


def _separated(value: Any) -> Any:
    """A list in JSON, or values separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError("it is not a list: write en,es") from error
    return [code.strip() for code in value.split(",") if code.strip()]


Code = Annotated[str, BeforeValidator(_from_yaml), AfterValidator(known_code)]
CodeOrAuto = Annotated[str, BeforeValidator(_from_yaml), AfterValidator(_told)]
Codes = Annotated[tuple[Code, ...], BeforeValidator(_separated)]
"""A list, or codes with commas between them."""
