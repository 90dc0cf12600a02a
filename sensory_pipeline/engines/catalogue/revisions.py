"""Commits of models on the hub, so that nobody who takes over a repository can change what is downloaded.

The commits are those that many public projects pin. Unlike models of the catalogue, these have no digests here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMMITS = {
    "Systran/faster-whisper-tiny": "d90ca5fe260221311c53c58e660288d3deb8d356",
    "Systran/faster-whisper-base.en": "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
    "Systran/faster-whisper-small": "536b0662742c02347bc0e980a01041f333bce120",
    "Systran/faster-whisper-small.en": "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
    "Systran/faster-whisper-medium": "08e178d48790749d25932bbc082711ddcfdfbc4f",
    "Systran/faster-whisper-medium.en": "a29b04bd15381511a9af671baec01072039215e3",
    "Systran/faster-whisper-large-v1": "b07c8d4be0be90092aa01a29c975077acb8d15c9",
    "Systran/faster-whisper-large-v2": "f0fe81560cb8b68660e564f55dd99207059c092e",
    "Systran/faster-whisper-large-v3": "edaa852ec7e145841d8ffdb056a99866b5f0a478",
    "Systran/faster-distil-whisper-small.en": "ef77d90526ccd62cde3808ee70626a01e5cf83e4",
    "Systran/faster-distil-whisper-medium.en": "80ddfce281f77766d8943d63109199fc8145dfa5",
    "Systran/faster-distil-whisper-large-v2": "fe9b404fc56de3f7c38606ef9ba6fd83526d05e4",
    "Systran/faster-distil-whisper-large-v3": "c3058b475261292e64a0412df1d2681c06260fab",
    "distil-whisper/distil-large-v3.5-ct2": "9793ccc07920e0f830e1dba0343efcdf0ef8c903",
    "mobiuslabsgmbh/faster-whisper-large-v3-turbo": "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
    "pyannote/speaker-diarization-community-1": "3533c8cf8e369892e6b79ff1bf80f7b0286a54ee",
}
_SHORT = {
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
"""faster-whisper's short names that are not those of Systran/faster-whisper-NAME."""
_ID = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<commit>[0-9a-f]{40}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A repository on https://huggingface.co.

    Attributes:
        repository: "owner/name".
        commit: None for the newest.
    """

    repository: str
    commit: str | None

    @property
    def caution(self) -> str:
        """What to add where it is downloaded without a commit; empty if it has one.

        >>> HubModel.named("me/mine").caution
        ': its newest commit; to keep to one, write me/mine@COMMIT'
        """
        return "" if self.commit else f": its newest commit; to keep to one, write {self.repository}@COMMIT"

    @classmethod
    def named(cls, name: str) -> HubModel | None:
        """The repository with an id, "owner/name" or "owner/name@commit"; None if it is no id.

        >>> HubModel.named("pyannote/speaker-diarization-community-1").commit[:8]
        '3533c8cf'
        >>> HubModel.named("me/mine").commit, HubModel.named("base")
        (None, None)
        """
        found = _ID.fullmatch(name)
        if found is None:
            return None
        repository = found["repository"]
        return cls(repository=repository, commit=found["commit"] or _COMMITS.get(repository))

    @classmethod
    def whisper(cls, name: str) -> HubModel:
        """The same, also for faster-whisper's short names.

        >>> HubModel.whisper("small").commit[:8], HubModel.whisper("nonsense").commit
        ('536b0662', None)
        """
        found = cls.named(name)
        if found is not None:
            return found
        commit = _COMMITS.get(_SHORT.get(name, f"Systran/faster-whisper-{name}"))
        return cls(repository=name, commit=commit)
