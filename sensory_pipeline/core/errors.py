"""What can go wrong, and what to do about it.

    SensoryError
    |-- Transient            try again later; the recording stays pending
    |   |-- SourceChanged        the object is no longer the version that was listed
    |   |-- SourceUnavailable    the object cannot be read just now
    |   `-- NoRoom               decoded audio cannot be kept, or read back
    |-- Terminal             trying again gives the same answer; becomes a row of `recordings`
    |   |-- AudioError
    |   |   |-- EmptyAudio       no bytes, or no samples
    |   |   |-- UnreadableAudio  no decoder recognises it
    |   |   |-- TruncatedAudio   less, or other, sound in it than its container declares, and next to none left
    |   |   `-- AudioTooLong     longer than SENSORY_MAX_AUDIO_HOURS
    |   |-- EngineError          an engine gave up on this recording
    |   |-- PromptTooLong        hotwords and initial prompt are more than the engine takes
    |   |-- Crashed              killed or hung its process too often
    |   `-- Abandoned            started several times, never finished
    |-- ConfigurationError   what the user set, or has not installed; the run stops and says what to change
    |   |-- UnsupportedLanguage
    |   `-- LakeMismatch         there is no lake, or it was made with other settings
    |-- LakeDamaged          a file of the lake is not what was written
    |-- EngineUnavailable    no engine's process can start, or the engines are closed
    `-- StaleWriter          another run has committed this partition in the meantime

The class name is what tables show as `error_class`; the message says what failed and what to do. Which exit code a
command ends with for each of them: cli/exit_codes.py.
"""

from __future__ import annotations

import re
import textwrap


class SensoryError(Exception):
    """Any error this project raises on purpose."""


class Transient(SensoryError):
    """May go away by itself; retried by the next run."""


class SourceChanged(Transient):
    """The object was rewritten after it was listed."""


class SourceUnavailable(Transient):
    """The object could not be read, for a reason other than its content."""


class NoRoom(Transient):
    """What was decoded could not be written to the lake, or read from it."""


class Terminal(SensoryError):
    """Would fail again on the same bytes with the same settings."""


class AudioError(Terminal):
    """The recording itself is at fault."""


class EmptyAudio(AudioError):
    """There is no sound: no bytes, or no samples."""


class UnreadableAudio(AudioError):
    """Not audio in any format we can decode."""


class TruncatedAudio(AudioError):
    """Part of the sound is missing or damaged."""


class AudioTooLong(AudioError):
    """Longer than the limit that keeps one recording from blocking all others."""


class EngineError(Terminal):
    """An engine failed on this recording and would fail again."""


class PromptTooLong(Terminal):
    """The prompt for this recording is longer than the engine accepts."""


class Crashed(Terminal):
    """The recording killed or hung the process that worked on it, repeatedly."""


class Abandoned(Terminal):
    """Work on the recording began many times and never came to an end."""


class ConfigurationError(SensoryError):
    """A setting or the installation has to change before anything can run."""


class UnsupportedLanguage(ConfigurationError):
    """The chosen engine does not speak the chosen language."""


class LakeMismatch(ConfigurationError):
    """There is no lake in the folder, none can be made there, or the lake has other settings."""


class LakeDamaged(SensoryError):
    """A file of the lake cannot be read as what it is."""


class EngineUnavailable(SensoryError):
    """No process can hold the engines: each dies before it takes any work, or the engines are closed."""


class StaleWriter(SensoryError):
    """The partition has a newer generation than the one this writer started from."""


_WRITTEN = re.compile(r"(?P<module>(?:\w+\.)*)(?P<kind>\w+): (?P<message>.+)", re.DOTALL)
_MOST = 300
"""Characters of a library's message that are shown."""


def brief(error: BaseException) -> str:
    """A library's error on one line. Its class is at the end, since some messages mean little without it.

    >>> brief(KeyError("words"))
    "'words' [KeyError]"
    """
    message, kind = textwrap.shorten(str(error), _MOST), type(error).__name__
    return f"{message} [{kind}]" if message else kind


def without_class(written: str) -> str:
    """The message of an error as a traceback prints it. The class stays, at the end, if it is not one of ours.

    >>> without_class("sensory_pipeline.core.errors.NoRoom: the disk is full")
    'the disk is full'
    >>> without_class("KeyError: 'words'")
    "'words' [KeyError]"
    """
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        return written
    ours = found["module"].startswith("sensory_pipeline.") or found["kind"] == "Failure"  # Dagster's, for our steps
    return found["message"] if ours else f"{found['message']} [{found['kind']}]"
