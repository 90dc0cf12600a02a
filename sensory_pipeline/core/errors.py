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
    |   `-- Abandoned            started too often without an end that anybody saw
    `-- ConfigurationError   nobody's recording is at fault; the run stops and says what to change
        |-- UnsupportedLanguage
        |-- LakeMismatch
        |-- LakeDamaged          a file of the lake is not what was written
        |-- EngineUnavailable    an engine's process cannot start
        `-- StaleWriter          another run has committed this partition in the meantime

The class name is what tables show as `error_class`; the message says what failed and what to do.
"""

from __future__ import annotations


class SensoryError(Exception):
    """Any error this project raises on purpose."""


class Transient(SensoryError):
    """May go away by itself; retried by the next run."""


class SourceChanged(Transient):
    """The object was rewritten after it was listed."""


class SourceUnavailable(Transient):
    """The object could not be read, for a reason that is not its content."""


class NoRoom(Transient):
    """What was decoded could not be written to the lake, or read from it."""


class Terminal(SensoryError):
    """Will happen again on the same bytes with the same settings."""


class AudioError(Terminal):
    """The recording itself is at fault."""


class EmptyAudio(AudioError):
    """Nothing to hear: no bytes, or no samples."""


class UnreadableAudio(AudioError):
    """Not audio in any format we can decode."""


class TruncatedAudio(AudioError):
    """Part of the sound is missing or damaged."""


class AudioTooLong(AudioError):
    """Longer than the limit that keeps one recording from blocking all others."""


class EngineError(Terminal):
    """An engine failed on this recording and would fail again."""


class PromptTooLong(Terminal):
    """What is asked of this recording has a longer prompt than the engine takes."""


class Crashed(Terminal):
    """The recording killed or hung the process that worked on it, repeatedly."""


class Abandoned(Terminal):
    """Work on the recording began many times and never came to an end."""


class ConfigurationError(SensoryError):
    """A setting or the installation has to change before anything can run."""


class UnsupportedLanguage(ConfigurationError):
    """The chosen engine does not speak the chosen language."""


class LakeMismatch(ConfigurationError):
    """The lake on disk was made with other, frozen, settings."""


class LakeDamaged(ConfigurationError):
    """A file of the lake cannot be read as what it is."""


class EngineUnavailable(ConfigurationError):
    """The process that should hold the engines dies before it takes any work."""


class StaleWriter(ConfigurationError):
    """The partition has a newer generation than the one this writer started from."""
