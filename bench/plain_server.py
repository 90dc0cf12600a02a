"""A plain server to compare with: FastAPI and faster-whisper, as most people would write it.

    python -m bench.plain_server base

It takes the form of the service's POST /v1/process and answers with a transcript and its words.
"""

from __future__ import annotations

import argparse
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile

from sensory_pipeline.engines.catalogue.store import HOME
from sensory_pipeline.settings import cores


def application(whisper: str) -> FastAPI:
    """Return the server.

    Args:
        whisper: Name of the Whisper model, such as base.
    """
    from faster_whisper import WhisperModel

    weights = HOME.verified(f"whisper-{whisper}")
    model = WhisperModel(str(weights), device="cpu", compute_type="int8", cpu_threads=cores())
    app = FastAPI()

    @app.post("/v1/process")
    def process(audio: UploadFile) -> dict[str, Any]:
        """FastAPI runs this in a thread of its pool, of 40."""
        segments, _ = model.transcribe(audio.file, language="en", vad_filter=True, word_timestamps=True)
        found = list(segments)
        words = [
            {"word": word.word, "start": word.start, "end": word.end, "confidence": word.probability}
            for segment in found
            for word in segment.words or ()
        ]
        text = "".join(segment.text for segment in found).strip()
        return {"status": "completed", "result": {"tra": {"text": text, "words": words}}}

    @app.get("/health/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main() -> None:
    """Run the server on a free port, which it prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whisper", help="name of the Whisper model")
    uvicorn.run(application(parser.parse_args().whisper), port=0, access_log=False)


if __name__ == "__main__":
    main()
