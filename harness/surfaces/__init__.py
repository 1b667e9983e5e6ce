"""Files as surfaces: logs, archives, diagnostic bundles and media, searched and masked.

`fileset` lists them, `look` searches one and `sweep` all of them; `walk` goes through archives,
`codecs`, `tar_format` and `zip_format` know how; `passages` cuts what is read into what may
hold an identifier and what cannot. `scrub` masks: `rewrite` archives, `in_place` plain files;
`exchange` and `leftovers` see that a kill loses nothing.
"""

from harness.surfaces.fileset import FileKind, FileSet, Root
from harness.surfaces.look import FileSearch
from harness.surfaces.scrub import FileScrub, masks_fit, scrub_files
from harness.surfaces.sweep import FileSighting, sweep_files

__all__ = [
    "FileKind",
    "FileScrub",
    "FileSearch",
    "FileSet",
    "FileSighting",
    "Root",
    "masks_fit",
    "scrub_files",
    "sweep_files",
]
