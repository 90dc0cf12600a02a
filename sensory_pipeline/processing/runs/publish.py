"""From stage results to published tables: one partition, one commit."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from sensory_pipeline.core.recordings import Partition, Recording
from sensory_pipeline.core.stages import Stage
from sensory_pipeline.lake.lake import Lake
from sensory_pipeline.lake.manifest import Manifest, Published
from sensory_pipeline.lake.publication import publish, recover
from sensory_pipeline.lake.rows import recording_row, result_rows, stage_rows
from sensory_pipeline.lake.tables import Row
from sensory_pipeline.processing.runs.backlog import select_pending, stage_results
from sensory_pipeline.processing.runs.context import Limits, RunContext
from sensory_pipeline.processing.runs.reports import PublicationReport
from sensory_pipeline.processing.runs.stage import VERSION
from sensory_pipeline.processing.tasks.serialization import FACTS, assembled
from sensory_pipeline.storage.files import sweep_temporaries


def publish_partition(lake: Lake, context: RunContext, partition: Partition, run_id: str) -> PublicationReport:
    """Publish every pending recording whose stages have all succeeded or one of whose stages has failed.

    Args:
        lake: The lake.
        context: Engines, plans and limits.
        partition: The partition.
        run_id: Dagster's run.
    """
    with lake.lease(partition):
        base = recover(lake, partition)
        rows: list[Row] = []
        entries: dict[str, Published] = {}
        audio_s, partial = 0.0, 0
        errors: Counter[str] = Counter()
        now = datetime.now(UTC).replace(tzinfo=None)
        for plan, pending in select_pending(lake, context, partition):
            done = {stage: stage_results(lake, p, partition, pending) for stage, p in plan.stages.items()}
            for recording in (item.recording for item in pending):
                results = {stage: found for stage in plan.stages if (found := done[stage].get(recording.recording_id))}
                failure = next(((s, r) for s, r in results.items() if r.error_class is not None), None)
                if failure is None and len(results) < len(plan.stages):
                    continue
                payloads = {stage: str(r.payload) for stage, r in results.items()}
                result = None if failure else assembled(payloads, plan.request)
                if result is not None:
                    rows += result_rows(recording, result)
                    audio_s += result.audio.duration_ms / 1000
                    partial += result.audio.damage is not None
                elif failure is not None:
                    errors[str(failure[1].error_class)] += 1
                decoded = results.get(Stage.NORMALIZED_AUDIO)
                rows += stage_rows(recording, results)
                rows.append(
                    recording_row(
                        recording,
                        audio=FACTS.validate_json(decoded.payload) if decoded and decoded.payload else None,
                        result=result,
                        failure=failure,
                        run_id=run_id,
                        pipeline_version=VERSION,
                        published_at=now,
                    )
                )
                entries[recording.recording_id] = _entry(recording, plan.fingerprint, failed=failure is not None)
        current = base
        if entries:
            current = publish(lake, partition, run_id=run_id, base=base, recordings=entries, rows=rows)
        _trim_audio(lake, context.limits)
        return PublicationReport(
            published=len(entries),
            failed=errors.total(),
            partial=partial,
            pending=len(lake.ledger.pending(partition)),
            audio_s=audio_s,
            rows=row_counts(current),
            errors=dict(sorted(errors.items())),
        )


def row_counts(manifest: Manifest) -> dict[str, int]:
    """Return the partition's rows by table."""
    return {name: entry.rows for name, entry in manifest.tables.items()}


def _entry(recording: Recording, fingerprint: str, *, failed: bool) -> Published:
    return Published(version=recording.version, status="failed" if failed else "ok", fingerprint=fingerprint)


def _trim_audio(lake: Lake, limits: Limits) -> None:
    """Delete the oldest decoded audio beyond the cache's limit; it is decoded again if it is needed."""
    sweep_temporaries(lake.audio)
    files: list[tuple[float, int, Path]] = []
    for path in lake.audio.glob("[!.]*.wav"):
        with suppress(FileNotFoundError):  # another run may trim the cache at the same time
            stat = path.stat()
            files.append((stat.st_mtime, stat.st_size, path))
    room = limits.audio_cache_gb * 1e9
    for _, size, path in sorted(files, reverse=True):
        room -= size
        if room < 0:
            path.unlink(missing_ok=True)
