"""Where recordings come from: a local folder or S3, behind one listing and one way to read.

The S3 part is imported when it is needed: it takes a while, and folders need none of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from sensory_pipeline.core.errors import ConfigurationError
from sensory_pipeline.core.recordings import Page, SourceObject
from sensory_pipeline.storage import local
from sensory_pipeline.storage.files import temporary
from sensory_pipeline.storage.s3_access import AS_FOUND, S3Access

_PAGE = 1000
"""Objects of a folder in a page; S3 gives as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source holds. pages: found as they are iterated over, once; known after that are unreadable:
    what could not be listed, lakes: folders that are lakes and therefore left out, and skipped: how many files and
    folders of which kind are no recordings.
    """

    pages: Iterator[Page]
    unreadable: list[str] = field(default_factory=list)
    lakes: list[Path] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def listed(source: str, access: S3Access = AS_FOUND, *, after: str | None = None) -> Listing:
    """The recordings of a folder, or below `s3://bucket/prefix` (the key as it is, not encoded).

    access: to S3. after: uri of the source that an earlier listing came to; from the beginning when None. Raises
    ConfigurationError, some of it on iteration, when it is not there or cannot be listed, and
    SourceUnavailable when the server fails.
    """
    skipped: Counter[str] = Counter()
    if _in_s3(source):
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


def prefix_of(source: str) -> str:
    """What the uris of all recordings of a source begin with. Raises ConfigurationError when it is neither a folder nor
    in S3, or names no bucket."""
    if _in_s3(source):
        from sensory_pipeline.storage import s3

        return s3.folder_uri(source)
    if "://" in source:
        raise ConfigurationError(
            f"{source} is neither a folder nor s3://bucket/prefix; what speaks S3's protocol, as Google's and Azure's "
            "gateways do, is reached by AWS_ENDPOINT_URL"
        )
    return Path(source).resolve().as_uri().rstrip("/") + "/"


def why_empty(source: str, access: S3Access = AS_FOUND) -> str:
    """What may be the matter with a source in which a listing found no recording."""
    if _in_s3(source):
        from sensory_pipeline.storage import s3

        place = source.rstrip("/")
        if (
            place.removeprefix(s3.SCHEME).count("/")
            and s3.stat_object(s3.uri_of(*s3.place_of(place)), access) is not None
        ):
            return f"{place} is an object: give what is before its last slash"
        return f"no recording's key begins with {s3.place_of(prefix_of(source))[1] or 'anything'}: check the prefix"
    return f"there is no recording in {source}, nor below it: check the path, and whether it is mounted"


def uri_of(recording: str) -> str:
    """The uri of a recording that is given as one, or as a path, as a listing of its folder would have it."""
    if "://" in recording:
        return recording
    path = Path(recording)
    return local.uri_of(path.parent.resolve() / path.name)


@contextmanager
def local_copy(uri: str, version: str, folder: Path, access: S3Access = AS_FOUND) -> Iterator[Path]:
    """A file with exactly this version of a recording, to be read within the `with`.

    folder: what is not local is put there meanwhile; access: to S3. Raises SourceChanged when it is another version
    by now, or while it was read, SourceUnavailable when it cannot be had, NoRoom when the folder
    takes no more, ConfigurationError without the credentials for it.
    """
    if not _in_s3(uri):
        yield local.check_version(uri, version)
        # rewritten while it was read: what was made of it may be of neither version
        local.check_version(uri, version)
        return
    from sensory_pipeline.storage import s3

    path = temporary(folder, PurePosixPath(uri).suffix)  # decoders look at it
    try:
        s3.download(uri, version, path, access)
        yield path
    finally:
        with suppress(OSError):  # a sweep comes later
            path.unlink()


def _in_s3(uri: str) -> bool:
    return uri.startswith("s3://")
