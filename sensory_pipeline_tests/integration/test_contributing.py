"""CONTRIBUTING.md names the files to touch for a new engine, format, column, command, setting or endpoint.

One of each is made in a copy of the code, with changes to those files only.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sensory_pipeline_tests import places
from sensory_pipeline_tests.command import environment

ROOT = places.ROOT

ADDITIONS: dict[str, dict[str, str | dict[str, str]]] = {
    "an engine": {
        "engines/emotion/NAME.py": """
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.engines.emotion.prosody import ProsodyClassifier
from sensory_pipeline.engines.spec import EngineSpec

ENGINE = EngineSpec(
    name="calm",
    stage=Stage.EMOTIONS,
    about="an engine of the test",
    make=lambda _, workshop: ProsodyClassifier(workshop.activity),
)
""",
        "engines/registry.py": {
            "import gigaam, prosody": "import NAME, gigaam, prosody",
            "    gigaam.ENGINE,\n": "    gigaam.ENGINE,\n    NAME.ENGINE,\n",
        },
    },
    "an audio format that FFmpeg decodes": {
        "audio/tracks.py": {"ogg,w64": "ogg,tta,w64"},
        "storage/local.py": {'".rf64"': '".rf64", ".tta"'},
        "storage/content.py": {'    b"fLaC",\n': '    b"fLaC",\n    b"TTA1",\n'},
    },
    "a check for damage in such a format": {
        "audio/integrity/NAME.py": """
from sensory_pipeline.audio.integrity.declared import Declared

def examine(file):
    header = file.read(22)
    return Declared(duration_s=int.from_bytes(header[14:18], "little") / int.from_bytes(header[10:14], "little"))
""",
        "audio/integrity/magic.py": {'OGG = b"OggS"\n': 'OGG = b"OggS"\nTTA = b"TTA1"\n'},
        "audio/integrity/__init__.py": {
            "    adts,\n": "    NAME,\n    adts,\n",
            "    magic.OGG: ogg.examine,\n": "    magic.OGG: ogg.examine,\n    magic.TTA: NAME.examine,\n",
        },
    },
    "a column for data that results already contain": {
        "lake/tables.py": {
            'text: Annotated[str, "Text of the words."]': 'text: Annotated[str, "Text of the words."]\n'
            '    characters: Annotated[int, "Length of its text."]'
        },
        "lake/rows.py": {"text=utterance.text,": "text=utterance.text, characters=len(utterance.text),"},
        "processing/plans.py": {"PUBLICATION = ": "PUBLICATION = 1000 + "},
    },
    "a command": {
        "cli/NAME.py": 'def NAME() -> None:\n    """A command of the test."""\n',
        "cli/app.py": {'    "demo",\n': '    "demo",\n    "NAME",\n'},
    },
    "a setting": {
        "settings.py": {
            "    cache_models: int": "    prosody_caution: float | None = Field(None, description='Of the test.')\n"
            "    cache_models: int"
        },
        "engines/spec.py": {"    cache: CacheSettings": "    prosody_caution: float = 0\n    cache: CacheSettings"},
        "engines/emotion/prosody.py": {"make=_make,": 'make=_make,\n    settings=frozenset({"prosody_caution"}),'},
    },
    "an endpoint of the service": {
        "gateway/routes.py": {
            '@router.get("/cache/stats"': """@router.get("/v1/name", tags=["service"])
async def name() -> dict[str, str]:
    return {"name": "NAME"}


@router.get("/cache/stats\""""
        },
    },
}
"""For each addition the files it touches: the text of a new one, or the replacements in an old one."""

SHOW = """
import json
from datetime import date
from pathlib import Path

import av, numpy as np
from typer.main import get_command

from sensory_pipeline.audio.integrity import examine
from sensory_pipeline.audio.decoding import decode
from sensory_pipeline.cli.app import app
from sensory_pipeline.core.results import AudioFacts, RecordingResult
from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.spans import Span
from sensory_pipeline.core.transcripts import Segment, Transcript, Word
from sensory_pipeline.engines.selection import specs
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.gateway.app_factory import application
from sensory_pipeline.lake.rows import result_rows
from sensory_pipeline.lake.tables import UtteranceRow, table_of
from sensory_pipeline.lake.view_definitions import view_columns
from sensory_pipeline.processing.plans import PUBLICATION
from sensory_pipeline.processing.setup import engine_choice
from sensory_pipeline.service_settings import ServiceSettings
from sensory_pipeline.settings import Settings
from sensory_pipeline.storage.content import is_sound
from sensory_pipeline.storage.local import is_recording
from scripts.document import engines_page

import sensory_pipeline
copied = Path(sensory_pipeline.__file__).parent == Path.cwd() / "sensory_pipeline"

with av.open("tone.tta", "w", format="tta") as container:
    stream = container.add_stream("tta", rate=16000, layout="mono")
    tone = (9000 * np.sin(np.arange(16000) / 10)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
    frame.sample_rate = 16000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
with open("tone.tta", "rb") as file:
    declared = examine(file).duration_s
head = Path("tone.tta").read_bytes()[:64]

word = Word(text="hello", span=Span(start_ms=0, end_ms=500), probability=1)
result = RecordingResult(
    audio=AudioFacts(duration_ms=1000, codec="flac", sample_rate=16000, channels=1),
    transcript=Transcript(language="en", segments=(Segment(span=word.span, text="hello", words=(word,)),)),
    diarization=None,
    emotions=None,
)
partition = Partition(date=date(2026, 11, 27), shard=0)
recording = Recording(recording_id="r", uri="file:///a.wav", version="1", size_bytes=1, partition=partition)
marks = "<!-- engines: -->\\n<!-- end --><!-- models: -->\\n<!-- end -->"
settings = Settings()
quiet = engine_choice(settings.model_copy(update={"emotion": "prosody"}))
print(json.dumps({
    "copied": copied,
    "engine": specs(engine_choice(settings))[Stage.EMOTIONS].name,
    "engines page": "| calm | emotion | an engine of the test |" in engines_page(marks),
    "named": is_recording("a.TTA"),
    "recognised": is_sound(head),
    "decoded": decode(Path("tone.tta"), max_duration_s=60).pcm.samples.shape[1],
    "examined": declared,
    "characters": [row.characters for row in result_rows(recording, result) if isinstance(row, UtteranceRow)],
    "columns": [name for name, _, _ in view_columns(table_of(UtteranceRow))],
    "publication": PUBLICATION,
    "commands": sorted(get_command(app).commands),
    "caution": quiet.prosody_caution,
    "paths": sorted(application(settings, ServiceSettings()).openapi()["paths"]),
}))
"""


@pytest.fixture(scope="module")
def appears(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says that runs on a copy of the code with all additions."""
    copy = tmp_path_factory.mktemp("contributed")
    for package in ("sensory_pipeline", "resources", "scripts"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for files in ADDITIONS.values():
        for name, change in files.items():
            path = copy / "sensory_pipeline" / name
            path.write_text(change if isinstance(change, str) else _changed(path, change), encoding="utf-8")
    variables = {"PYTHONPATH": str(copy), "SENSORY_EMOTION": "calm", "SENSORY_PROSODY_CAUTION": "0.5"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=copy, env=environment(**variables), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown["copied"]
    return shown


def _changed(path: Path, replacements: dict[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for old, new in replacements.items():
        assert text.count(old) == 1, f"{path.name} has no single {old!r}"
        text = text.replace(old, new)
    return text


def test_the_table_names_these_files_and_three_at_most() -> None:
    rows = re.findall(r"^\| (an? [^|]+?) \| (`[^|]+) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    named = {what: set(re.findall(r"`([\w/]+\.py)`", cell)) for what, cell in rows}
    assert named == {what: set(files) for what, files in ADDITIONS.items()}
    for what, files in named.items():
        assert len(files) <= 3, what
        missing = [name for name in files if "NAME" not in name and not (ROOT / "sensory_pipeline" / name).exists()]
        assert missing == []


def test_an_engine(appears: dict[str, Any]) -> None:
    assert (appears["engine"], appears["engines page"]) == ("calm", True)


def test_an_audio_format(appears: dict[str, Any]) -> None:
    assert (appears["named"], appears["recognised"], appears["decoded"]) == (True, True, 16000)


def test_a_check_for_damage(appears: dict[str, Any]) -> None:
    assert appears["examined"] == 1.0


def test_a_column(appears: dict[str, Any]) -> None:
    assert appears["characters"] == [5]
    assert "characters" in appears["columns"]
    assert appears["publication"] > 1000


def test_a_command(appears: dict[str, Any]) -> None:
    assert "NAME" in appears["commands"]


def test_a_setting(appears: dict[str, Any]) -> None:
    assert appears["caution"] == 0.5


def test_an_endpoint(appears: dict[str, Any]) -> None:
    assert "/v1/name" in appears["paths"]
