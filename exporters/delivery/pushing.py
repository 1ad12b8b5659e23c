"""A bundle on its way to a device, and how it takes the place of the one before.

kws.bundle                       ──► .kws.bundle.versions/3f2a…/kws.bundle   (a link: what the app opens)
.kws.bundle.versions/3f2a…/kws.bundle    this version
.kws.bundle.versions/91bc…/kws.bundle    the one before, for `--back`
.kws.bundle.versions/77d0….part/         one that is arriving
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from edgehybrid.bundle import Bundle
from edgehybrid.bundle.digests import file_sha256
from edgehybrid.errors import RequestError
from edgehybrid.exporters.delivery.host import Host

MANIFEST = "manifest.json"

PREPARE = """
place=$1 version=$2
name=${place##*/} parent=$(dirname -- "$place")
[ -d "$parent" ] || mkdir -p -- "$parent"
store=$parent/.$name.versions
mkdir -p -- "$store"
if [ -d "$store/$version/$name" ]; then echo "complete $store/$version/$name"; cat >/dev/null; exit 0; fi
part=$store/$version.part/$name
mkdir -p -- "$part"
here=$store/.digests.$$
{
    find "$store" -path "$store/*.part" -prune -o -type f -exec sha256sum {} +
    if [ -d "$place" ] && [ ! -L "$place" ]; then find "$place" -type f -exec sha256sum {} +; fi
} > "$here" 2>/dev/null || :
while read -r digest file; do
    mkdir -p -- "$(dirname -- "$part/$file")"
    if [ -f "$part/$file" ] && [ "$(sha256sum < "$part/$file")" = "$digest  -" ]; then continue; fi
    old=$(sed -n "s/^$digest  //p" "$here" | head -n 1)
    if [ -n "$old" ]; then ln -f -- "$old" "$part/$file" 2>/dev/null || cp -- "$old" "$part/$file"; continue; fi
    echo "missing $file"
    : >> "$part/$file"
done
rm -f -- "$here"
echo "part $part"
"""
"""Reads ``digest file`` lines; links what an earlier version has, and says what is missing."""

FINISH = """
place=$1 version=$2
name=${place##*/} parent=$(dirname -- "$place")
store=$parent/.$name.versions
if [ ! -d "$store/$version" ]; then
    cd -- "$store/$version.part/$name"
    sha256sum --quiet --check - >&2 || {
        rm -rf -- "$store/$version.part"
        echo "what arrived was damaged, and is removed" >&2
        exit 1
    }
    cd - >/dev/null
    sync
    mv -T -- "$store/$version.part" "$store/$version"
else cat >/dev/null; fi
if [ -d "$place" ] && [ ! -L "$place" ]; then
    rm -rf -- "$store/first"; mkdir -- "$store/first"; mv -T -- "$place" "$store/first/$name"
    echo first > "$store/.current"
fi
before=$(cat "$store/.current" 2>/dev/null || :)
[ "$before" = "$version" ] || [ -z "$before" ] || echo "$before" > "$store/.previous"
ln -sfn -- ".$name.versions/$version/$name" "$place.new"
mv -T -- "$place.new" "$place"
echo "$version" > "$store/.current"
previous=$(cat "$store/.previous" 2>/dev/null || :)
for old in "$store"/*; do
    case ${old##*/} in "$version"|"$previous") ;; *) rm -rf -- "$old" ;; esac
done
sync
echo "previous $previous"
"""
"""Checks what arrived, puts the link to it in place by one rename, and removes all but the version before."""

BACK = """
place=$1
name=${place##*/} parent=$(dirname -- "$place")
store=$parent/.$name.versions
current=$(cat "$store/.current" 2>/dev/null || :) previous=$(cat "$store/.previous" 2>/dev/null || :)
[ -n "$previous" ] && [ -d "$store/$previous/$name" ] || { echo "there is no version before" >&2; exit 1; }
ln -sfn -- ".$name.versions/$previous/$name" "$place.new"
mv -T -- "$place.new" "$place"
echo "$previous" > "$store/.current"; echo "$current" > "$store/.previous"
echo "$previous"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did.

    Attributes:
        place: Where the bundle can be opened there.
        version: The first digits of the digest of its manifest.
        previous: The version before, kept; ``None`` if there was none.
        sent_files: How many files travelled.
        sent_bytes: Their size; what had arrived in an attempt before counts, too.
        kept_bytes: Size of the files that the device had.
        carrier: ``rsync`` or ``sftp``; ``None`` if nothing had to travel.
    """

    place: str
    version: str
    previous: str | None
    sent_files: int
    sent_bytes: int
    kept_bytes: int
    carrier: str | None


def push(bundle: Bundle, host: Host, place: str) -> Pushed:
    """Bring ``bundle`` to ``place`` on ``host``; until all of it has arrived and is whole, the old one stays.

    Args:
        bundle: The bundle, opened.
        host: Where.
        place: Path there, relative to the home folder or absolute.

    Raises:
        RequestError: ``place`` cannot be.
        OutputError: The host refused, the copy broke off, or what arrived is damaged.
    """
    place = check_place(place)
    files = {name: file_sha256(bundle.path / name) for name in sorted((*bundle.doc.files, MANIFEST))}
    sizes = {name: (bundle.path / name).stat().st_size for name in files}
    version = files[MANIFEST][:16]
    lines = "".join(f"{digest} {name}\n" for name, digest in files.items())
    said = [line.partition(" ") for line in host.run(PREPARE, place, version, stdin=lines).splitlines()]
    missing = [rest for word, _, rest in said if word == "missing"]
    parts = [rest for word, _, rest in said if word == "part"]
    carrier = host.send(bundle.path, missing, parts[0]) if missing and parts else None
    checks = "".join(f"{digest}  {name}\n" for name, digest in files.items())
    previous = host.run(FINISH, place, version, stdin=checks).strip().removeprefix("previous").strip()
    sent = sum(sizes[name] for name in missing)
    return Pushed(
        place=place,
        version=version,
        previous=previous or None,
        sent_files=len(missing),
        sent_bytes=sent,
        kept_bytes=sum(sizes.values()) - sent,
        carrier=carrier,
    )


def go_back(host: Host, place: str) -> str:
    """Put the version before in place again; returns which it is. Twice leads back to the newest.

    Raises:
        RequestError: ``place`` cannot be.
        OutputError: There is none.
    """
    return host.run(BACK, check_place(place)).strip()


def check_place(place: str) -> str:
    """Return the path as the scripts need it.

    Raises:
        RequestError: It is empty, a folder's ``..``, or holds a line break or a quote.
    """
    clean = posixpath.normpath(place) if place else ""
    if not clean or clean in {".", "/"} or clean.split("/")[-1] == ".." or any(char in place for char in "\n\r\"'\\"):
        raise RequestError(f"{place!r} cannot be a place for a bundle.", "Give a path as bundles/kws.bundle.")
    return f"./{clean}" if clean.startswith("-") else clean
