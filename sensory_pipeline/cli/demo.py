"""`sensory demo`: the samples through the whole chain, and what analysts see in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensory_pipeline.cli.console import output
from sensory_pipeline.cli.exit_codes import ExitCode
from sensory_pipeline.cli.ingest import ingest_folder
from sensory_pipeline.cli.ingest_summary import summarise
from sensory_pipeline.cli.lake_option import settings_of
from sensory_pipeline.cli.sql import Format, show
from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.views import connect, query
from sensory_pipeline.settings import Settings

QUESTIONS = {
    "Who said what, and how? (a meeting, and a telephone call)": """
SELECT name AS recording, start_s, speaker, emotion, text
FROM utterances WHERE name IN ('meeting.flac', 'telephone_call.wav') ORDER BY recording, start_s""",
    "Who talks how much?": """
SELECT name AS recording, speaker, round(talk_s, 1) AS talk_s,
       round(100 * talk_share) AS percent, round(words_per_minute) AS words_per_minute
FROM speakers WHERE uri LIKE '%/real/%' AND talk_share < 1 ORDER BY recording, talk_s DESC""",
    "What is in each recording, and in which language?": """
SELECT name AS recording, language, round(duration_s, 1) AS seconds, speakers, words
FROM recordings WHERE uri LIKE '%/real/%' ORDER BY recording""",
    "Which recordings could not be processed, or not all of them, and why?": """
SELECT name AS recording, status, error_message
FROM recordings WHERE status IN ('failed', 'partial') ORDER BY status, recording""",
}


def demo(
    samples: Annotated[Path, typer.Option("--samples", help="Folder with the sample recordings.")] = Path("samples"),
    lake: Annotated[Path, typer.Option("--lake", help="Folder of the lake to create.")] = Path("demo-lake"),
) -> None:
    """Process the sample recordings, real and synthetic, and answer four questions about them in SQL."""
    if not samples.is_dir():
        raise ConfigurationError(
            f"{samples} does not exist: run the command in the project's folder, or give --samples FOLDER"
        )
    report = ingest_folder(str(samples), settings_of(lake))
    summarise(report, lake)
    with connect(Lake.open(lake, ledger=Settings().ledger)) as db:
        for question, statement in QUESTIONS.items():
            output.print(f"\n{question}", style="bold")
            output.print(statement.strip(), style="dim")
            result = query(db, statement)
            show([column[0] for column in result.description or ()], result.fetchall(), Format.TABLE)
    output.print(f'\nask your own question: sensory sql "SELECT ..." --lake {lake}', soft_wrap=True)
    output.print(f"Dagster's UI: sensory dev --lake {lake}", soft_wrap=True)
    if report.run_failures:
        raise typer.Exit(ExitCode.FAILED)
