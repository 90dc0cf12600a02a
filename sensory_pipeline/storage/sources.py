"""Where recordings come from: a local folder or S3, with one interface to list and read them.

The S3 part is imported only when it is needed: the import is slow, and folders do not need it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from sensory_pipeline.core.errors import ConfigurationError, SourceUnavailable
from sensory_pipeline.core.recordings import Page, SourceObject
from sensory_pipeline.storage import local, s3_uris
from sensory_pipeline.storage.files import temporary
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access

_PAGE = 1000
"""Objects of a folder per page, as many as S3 lists at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The content of a source; the counts are known after the pages have been read.

    Attributes:
        pages: Pages of objects; they can be read once.
        unreadable: What could not be listed.
        lakes: Folders that are lakes and therefore skipped.
        skipped: Number of skipped files and folders by kind.
    """

    pages: Iterator[Page]
    unreadable: list[str] = field(default_factory=list)
    lakes: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def listed(source: str, access: S3Access = AS_FOUND, *, after: str | None = None) -> Listing:
    """List the recordings of a folder or of `s3://bucket/prefix`.

    Args:
        source: The folder, or the S3 prefix with the key as it is, not encoded.
        access: Access to S3.
        after: The uri at which an earlier listing stopped; None for the beginning.

    Raises:
        ConfigurationError: The source does not exist or cannot be listed; some cases are raised when the pages are
            read.
        SourceUnavailable: The server fails.
    """
    skipped: Counter[str] = Counter()
    if in_s3(source):
        from sensory_pipeline.storage import s3

        return Listing(
            pages=s3.pages(prefix_of(source), access, after=after, skipped=lambda kind: skipped.update([kind])),
            skipped=skipped,
        )
    unreadable: list[str] = []
    lakes: list[Path] = []
    found = local.objects(
        Path(source),
        after=None if after is None else local.path_of(after),
        unreadable=lambda error: unreadable.append(str(error)),
        skipped=lambda kind: skipped.update([kind]),
        lake=lakes.append,
    )
    return Listing(pages=_paged(found), unreadable=unreadable, lakes=lakes, skipped=skipped)


def _paged(objects: Iterator[SourceObject]) -> Iterator[Page]:
    while page := tuple(islice(objects, _PAGE)):
        yield Page(objects=page, after=page[-1].uri)


def check(source: str) -> None:
    """Check what can be known of a source without listing it.

    Raises:
        ConfigurationError: It is neither a folder nor in S3, names no bucket, or is a lake.
    """
    prefix_of(source)
    if not in_s3(source):
        local.checked_folder(Path(source))


def prefix_of(source: str) -> str:
    """Return what the uris of all recordings of a source begin with.

    Raises:
        ConfigurationError: The source is neither a folder nor in S3, or names no bucket.
    """
    if in_s3(source):
        return s3_uris.folder_uri(source)
    if "://" in source:
        raise ConfigurationError(
            f"{source} is neither a folder nor s3://bucket/prefix; for other services with S3's protocol, "
            "such as Google's, set AWS_ENDPOINT_URL"
        )
    return Path(source).resolve().as_uri().rstrip("/") + "/"


def why_empty(source: str, access: S3Access = AS_FOUND) -> str:
    """Return a possible reason why a listing found no recording in a source."""
    if in_s3(source):
        from sensory_pipeline.storage import s3

        place = source.rstrip("/")
        if (
            place.removeprefix(s3_uris.SCHEME).count("/")
            and s3.stat_object(s3_uris.uri_of(*s3_uris.place_of(place)), access) is not None
        ):
            return f"{place} is an object: give what is before its last slash"
        prefix = s3_uris.place_of(prefix_of(source))[1]
        return f"no recording's key begins with {prefix or 'anything'}: check the prefix"
    return f"there is no recording in {source}, nor below it: check the path, and whether it is mounted"


def uri_of(recording: str) -> str:
    """Return the uri of a recording.

    Args:
        recording: A uri, or a path; its uri is the same as in a listing of its folder.
    """
    if "://" in recording:
        return recording
    path = Path(recording)
    return local.uri_of(path.parent.resolve() / path.name)


def prefix_below(place: str) -> str:
    """Return how the uris of all recordings in a folder begin; the folder is given as a path or by its uri.

    >>> prefix_below("s3://bucket/calls")
    's3://bucket/calls/'
    """
    return place.rstrip("/") + "/" if "://" in place else prefix_of(place)


def stat_object(recording: str, access: S3Access = AS_FOUND) -> SourceObject:
    """Return a recording as it is now.

    Args:
        recording: A path, or the uri of an object in S3.
        access: Access to S3.

    Raises:
        SourceUnavailable: The recording does not exist or cannot be read.
        ConfigurationError: There are no credentials for it.
    """
    if not in_s3(recording):
        try:
            return local.stat_object(Path(recording))
        except OSError as error:
            raise SourceUnavailable(f"{recording}: {error.strerror}") from error
    from sensory_pipeline.storage import s3

    found = s3.stat_object(recording, access)
    if found is None:
        raise SourceUnavailable(f"{recording} is not there: check the address")
    return found


@contextmanager
def local_copy(uri: str, version: str, folder: Path, access: S3Access = AS_FOUND) -> Iterator[Path]:
    """Provide a file with exactly this version of a recording, to be read within the `with`.

    Args:
        uri: The recording.
        version: The version.
        folder: Where to put a temporary copy of a recording that is not local.
        access: Access to S3.

    Yields:
        The file.

    Raises:
        SourceChanged: The recording has another version, or was rewritten while it was read.
        SourceUnavailable: It cannot be read.
        NoRoom: The copy cannot be written.
        ConfigurationError: There are no credentials for it.
    """
    if not in_s3(uri):
        yield local.check_version(uri, version)
        # if it was rewritten while it was read, the result may belong to neither version
        local.check_version(uri, version)
        return
    from sensory_pipeline.storage.s3_download import download

    path = temporary(folder, PurePosixPath(uri).suffix)  # decoders use the suffix
    try:
        download(uri, version, path, access)
        yield path
    finally:
        with suppress(OSError):  # `sweep_temporaries` removes it later
            path.unlink()


def in_s3(uri: str) -> bool:
    """Return whether a uri or a source is in S3."""
    return uri.startswith(s3_uris.SCHEME)
