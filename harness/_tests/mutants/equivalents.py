"""Mutants that nobody can notice, each with the reason: what they switch off changes no answer.

Each is named as the score names it, operator and place. An entry that no mutant matches any
more is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness._tests.mutants.syntax import Operator

_FILTER: Final = "a filter before the exact search, which without it is slower and sees no less"
_QUICK: Final = "a short cut, which without it is a longer way to the same answer"
_NARROWED: Final = "asked again for the type checker: it was answered where the rows are counted"
_BOTH_OR_NONE: Final = "asked for the type checker: all parts of a table are read the same way"
_CANCELLED: Final = "the clock is always cancelled, so it never keeps a process from ending"
_ITS_THREAD: Final = "who is already gone cannot be ended, which ends the clock's own thread alone"
_ITSELF: Final = "what was seen before is compared with itself, and no row differs"
_ONE_BY_ONE: Final = "cells that name nobody have to be the same, and are asked one by one then"
_NONE_KEPT: Final = "where no digests of rows are kept there is nothing to recognise"
_CONNECTIONS: Final = "what is seen does not depend on how many connections read it"
_REPLACED: Final = "a connection that could have gone on is replaced by a new one, no more"
_CLOSED: Final = "a connection is closed as soon as nobody holds it"
_COMMITTED: Final = "after a commit there is nothing to roll back"
_BROKEN_OFF: Final = "rows that break off lack the packet that ends them, and are refused for that"

EQUIVALENTS: Final[Mapping[tuple[Operator, str], str]] = {
    (Operator.ALWAYS, "judge.rows:unaccounted: if before"): _NARROWED,
    (Operator.ALWAYS, "identity.matcher:Matcher._all: if self._coded(cell)"): _FILTER,
    (Operator.ALWAYS, "identity.matcher:Matcher._inside: if self.candidate(decoded)"): _FILTER,
    (
        Operator.ALWAYS,
        r"identity.packed:in_bytes: if b'\x00' in data",
    ): "digits of ASCII in UTF-16 never stand without a zero byte",
    (
        Operator.ALWAYS,
        "identity.written:_Run.search: if identifier.digits in self._digits",
    ): _QUICK,
    (
        Operator.TERM,
        (
            "identity.written:_Run._bounded: self._ends[last] != end of self._ends[last] != end or "
            "(begun and begun not in _EXIT_CODES)"
        ),
    ): "digits that go on in the same group are refused once more, by _goes_on",
    (
        Operator.TERM,
        "identity.written:_Run._follows_country_code: first of first and international",
    ): "a number in the first group is international itself, and was answered before",
    (Operator.CHECK_OFF, "identity.written:_squeeze: if digits.isascii()"): _QUICK,
    (
        Operator.ALWAYS,
        "identity.wrapped:_Stretch.__init__: if not _PLAIN_BASE64.fullmatch(match[0])",
    ): _QUICK,
    (
        Operator.CHECK_OFF,
        "identity.wrapped:in_base64: if match.end() - match.start() < _SHORTEST",
    ): _FILTER,
    (Operator.ALWAYS, "identity.escapes:readings: if _MAY_ESCAPE.search(text)"): _QUICK,
    (
        Operator.ALWAYS,
        "identity.escapes:readings: if decoded != text",
    ): "the same reading twice gives the same places, and each is told once",
    (
        Operator.TERM,
        (
            "identity.escapes:readings: '+' in decoded of '+' in decoded and (form := "
            "_FORM_BLANK.sub(' ', decoded)) != decoded"
        ),
    ): _QUICK,
    (
        Operator.ELEMENT,
        "identity.escapes:_character: OPAQUE in (FILL, OPAQUE)",
    ): "what is opaque becomes opaque",
    (
        Operator.CHECK_OFF,
        "identity.escapes:_character: if match['tab']",
    ): "a slash stands between digits as well as a tab does",
    (
        Operator.ALWAYS,
        "identity.escapes:_character: if match['tab']",
    ): "a tab stands between digits as well as a slash does",
    (
        Operator.FILTER,
        "live:refuse_holds: if (form := variant_of(number))",
    ): "where a number has no other form, that form is nobody's",
    (
        Operator.TERM,
        (
            "witnesses:_Watch.look: matcher.candidate(cell) of cell and matcher.candidate(cell) and "
            "matcher.hits(cell, representation(column))"
        ),
    ): _FILTER,
    (
        Operator.CHECK_OFF,
        "witnesses:_WatchedPass.consume: if not self._watch.matchers",
    ): _QUICK,
    (
        Operator.ALWAYS,
        (
            "witnesses:_WatchedPass.consume: if any((matcher.candidate(batch) for matcher in "
            "self._watch.matchers.values()))"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        ("stores.recognition:WatchingPass.__init__: memory.complete of memory and memory.complete"),
    ): "while a memory is filled no row is new, so there is nothing to recognise",
    (
        Operator.ALWAYS,
        "stores.recognition:WatchingPass._add: if self._read is not None",
    ): "asked for the type checker: what is not filled is read",
    (
        Operator.ALWAYS,
        "plan:_LocatingPass.locate: if kind is RowClass.MENTION",
    ): "in a row that holds nothing of the subject's there is nothing to mask",
    (
        Operator.TERM,
        (
            "plan:_LocatingPass._masked_cells: not self._matcher.candidate(cell) of not cell or "
            "not self._matcher.candidate(cell)"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        "plan:watch: not memory.complete of memory and (not memory.complete)",
    ): "what is closed again stays as it was",
    (
        Operator.ALWAYS,
        "plan:_PairedPass.consume: if self._anybodys(b''.join(rows))",
    ): _FILTER,
    (
        Operator.TERM,
        (
            "plan:_PairedPass._locate: self._canarys(row) of self._canarys(row) and "
            "self.canary.locate(locator, row) is not RowClass.BYSTANDER"
        ),
    ): _FILTER,
    (
        Operator.FILTER,
        "plan:_inspected: if passing.canary.masked",
    ): "of a table without masked rows no row is taken out",
    (Operator.ALWAYS, "stores.sweep:TablePass.consume: if self.candidate(b''.join(rows))"): _FILTER,
    (Operator.ALWAYS, "stores.sweep:TablePass.take: if self.candidate(row)"): _FILTER,
    (
        Operator.TERM,
        (
            "stores.sweep:TablePass._judge: len(cell) < _SHORTEST_CELL of cell is None or "
            "len(cell) < _SHORTEST_CELL or (not self.candidate(cell))"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        (
            "stores.sweep:TablePass._judge: not self.candidate(cell) of cell is None or "
            "len(cell) < _SHORTEST_CELL or (not self.candidate(cell))"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        (
            "stores.sweep:TablePass._unmasked: not self._masks.candidate(cell) of "
            "self._masks is None or not self._masks.candidate(cell)"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        (
            "stores.sweep:TablePass.merge: self.row_digests is not None of "
            "self.row_digests is not None and other.row_digests is not None"
        ),
    ): _BOTH_OR_NONE,
    (
        Operator.TERM,
        (
            "stores.sweep:TablePass.merge: other.row_digests is not None of "
            "self.row_digests is not None and other.row_digests is not None"
        ),
    ): _BOTH_OR_NONE,
    (
        Operator.CHECK_OFF,
        "run:_Operation._observe: if self._rehearsal.case.bulk",
    ): _CONNECTIONS,
    (
        Operator.ALWAYS,
        "run:_Operation._observe: if self._rehearsal.case.bulk",
    ): _CONNECTIONS,
    (Operator.CHECK_OFF, "stores.mysql:MySqlStoreSet._abandon: if not self._streaming"): _REPLACED,
    (Operator.STATEMENT, "stores.mysql:MySqlStoreSet._abandon: self.close()"): _CLOSED,
    (Operator.STATEMENT, "stores.mysql:MySqlStoreSet._abandon: self._streaming = False"): _REPLACED,
    (
        Operator.TERM,
        (
            "stores.mysql:MySqlStoreSet.parts: most < 2 of most < 2 or len(table.key) != 1 or "
            "(not INTEGER.match(types[table.key[0]]))"
        ),
    ): _QUICK,
    (
        Operator.HANDLER,
        "stores.mysql:MySqlStoreSet._read: except pymysql.err.MySQLError",
    ): _REPLACED,
    (Operator.STATEMENT, "stores.mysql:MySqlStoreSet._read: self._streaming = False"): _REPLACED,
    (
        Operator.STATEMENT,
        "stores.mysql:MySqlStoreSet._read: self._streaming = False (2)",
    ): _REPLACED,
    (
        Operator.ALWAYS,
        "stores.mysql:MySqlStoreSet.transaction: if self._in_transaction",
    ): _COMMITTED,
    (
        Operator.STATEMENT,
        "stores.mysql:MySqlStoreSet.commit: self._in_transaction = False",
    ): _COMMITTED,
    (
        Operator.CHECK_OFF,
        "stores.mysql:_read_payload: if len(header) < _HEADER_BYTES or len(part) < length",
    ): _BROKEN_OFF,
    (
        Operator.TERM,
        (
            "stores.mysql:_read_payload: len(header) < _HEADER_BYTES of len(header) < _HEADER_BYTES "
            "or len(part) < length"
        ),
    ): _BROKEN_OFF,
    (
        Operator.TERM,
        (
            "stores.mysql:_read_payload: len(part) < length of len(header) < _HEADER_BYTES "
            "or len(part) < length"
        ),
    ): _BROKEN_OFF,
    (
        Operator.ALWAYS,
        "stores.postgres:PostgresStoreSet.transaction: if self._in_transaction",
    ): _COMMITTED,
    (Operator.ALWAYS, "stores.postgres:PostgresStoreSet.parts: if most > 1"): _QUICK,
    (Operator.STATEMENT, "stores.postgres:PostgresStoreSet.beside: other.close()"): _CLOSED,
    (
        Operator.CHECK_OFF,
        (
            "stores.postgres:PostgresStoreSet._renew: if (connection := "
            "self._connections.pop(database, None))"
        ),
    ): _CLOSED,
    (
        Operator.CHECK_OFF,
        "stores.postgres:PostgresStoreSet.scan: if as_stored and (not located) and (not part)",
    ): _QUICK,
    (
        Operator.HANDLER,
        "stores.postgres:PostgresStoreSet._sheltered: except StoreUnreachableError",
    ): "a lost connection says that it is lost when it is asked to go back, too",
    (
        Operator.ALWAYS,
        "stores.postgres:PostgresStoreSet._sheltered: if inside (2)",
    ): "outside of a transaction to go back is refused as the table was",
    (
        Operator.TERM,
        (
            "run:_Operation._saw: moment is not Moment.BEFORE of self._rehearsal.which_rows and "
            "moment is not Moment.BEFORE"
        ),
    ): _ITSELF,
    (Operator.ALWAYS, "run:_Operation._erase_by_routine: if search.keep_rows"): _NONE_KEPT,
    (
        Operator.TERM,
        (
            "stores.sweep:TablePass.recognise: self.row_digests is None of self._known is None or "
            "self.row_digests is None"
        ),
    ): _BOTH_OR_NONE,
    (
        Operator.ALWAYS,
        "stores.sweep:TablePass._move: if self.row_digests is not None",
    ): _NARROWED,
    (
        Operator.FILTER,
        "stores.sweep:Missed.__init__: if cell is not None and hits(cell, index)",
    ): _ONE_BY_ONE,
    (
        Operator.TERM,
        (
            "stores.sweep:Missed.__init__: hits(cell, index) of cell is not None and "
            "hits(cell, index)"
        ),
    ): _ONE_BY_ONE,
    (
        Operator.TERM,
        "stores.sweep:Missed._is_masked: b'' of old[index] or b''",
    ): _NARROWED,
    (
        Operator.TERM,
        "identity.kept:is_masked_copy: old is None of old is None or not hits",
    ): _NARROWED,
    (
        Operator.STATEMENT,
        "stores.mysql:MySqlStoreSet._stopped_after: clock.daemon = True",
    ): _CANCELLED,
    (
        Operator.SHELTER,
        "stores.mysql:MySqlStoreSet._stopped_after: with suppress(pymysql.err.Error, OSError)",
    ): _ITS_THREAD,
    (
        Operator.STATEMENT,
        "stores.postgres:PostgresStoreSet._stopped_after: clock.daemon = True",
    ): _CANCELLED,
    (
        Operator.SHELTER,
        "stores.postgres:PostgresStoreSet._stopped_after: with suppress(StoreError)",
    ): _ITS_THREAD,
    (
        Operator.STATEMENT,
        "stores.postgres:PostgresStoreSet._stopped_after: other.close()",
    ): "a connection that nobody holds is closed by itself",
    (
        Operator.TERM,
        "stores.postgres:PostgresStoreSet._wrapped: '' of code or '' (2)",
    ): "what a server refuses has a code; what has none has been told as unreachable",
    (Operator.ALWAYS, "surfaces.passages:_Cutter.cut: if self._held"): _QUICK,
    (
        Operator.TERM,
        "surfaces.passages:_end: end < highest of 0 < end < highest",
    ): "behind the last byte that is looked at no line begins, and none ends",
    (
        Operator.TERM,
        "surfaces.codecs:unpacked: first of first or _goes_on(source, codec)",
    ): "the codec was chosen by how the first member begins",
    (
        Operator.ALWAYS,
        "surfaces.codecs:Packer.__init__: if codec is GZIP",
    ): "no other codec is given a header",
    (Operator.ALWAYS, "surfaces.codecs:Packer.write: if self._codec is GZIP"): _QUICK,
    (Operator.ALWAYS, "surfaces.rewrite:_Masking.content: if suspect"): _FILTER,
    (
        Operator.TERM,
        (
            "surfaces.rewrite:_Masking._masked: not matcher.candidate(data) of masks is None or "
            "not matcher.candidate(data)"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        (
            "surfaces.rewrite:_Masking._old: masks.candidate(data) of masks and "
            "masks.candidate(data)"
        ),
    ): _FILTER,
    (Operator.ALWAYS, "surfaces.rewrite:_Comparing.content: if suspect"): _FILTER,
    (Operator.ALWAYS, "surfaces.rewrite:_Comparing._old: if matcher.candidate(data)"): _FILTER,
    (
        Operator.TERM,
        (
            "surfaces.rewrite:_Comparing._old: masks.candidate(data) of masks and "
            "masks.candidate(data)"
        ),
    ): _FILTER,
    (
        Operator.STATEMENT,
        "surfaces.rewrite:rewrite: new.flush()",
    ): "to go back to the beginning writes out what is held",
    (Operator.ALWAYS, "surfaces.in_place:_changes: if suspect"): _FILTER,
    (
        Operator.TERM,
        "surfaces.in_place:_changes: old of old and masks and matcher.candidate(old)",
    ): _FILTER,
    (
        Operator.TERM,
        (
            "surfaces.in_place:_changes: matcher.candidate(old) of old and masks and "
            "matcher.candidate(old)"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        "surfaces.leftovers:_tidy: match of match and match['old']",
    ): "asked for the type checker: only names that match come here",
    (
        Operator.ELEMENT,
        "surfaces.leftovers:_tidy: match['new'] in {match['old'], match['new']}",
    ): "a copy that is exchanged with itself is what it was",
    (
        Operator.ALWAYS,
        "surfaces.scrub:_rename: if found.target",
    ): "no target is masked to no target",
    (Operator.ALWAYS, "surfaces.look:_Looking.content: if suspect"): _FILTER,
    (Operator.ALWAYS, "surfaces.look:_Looking.name: if self._search.candidate(name)"): _FILTER,
    (
        Operator.TERM,
        (
            "surfaces.look:_Looking._judge: masks.candidate(data) of masks.candidate(data) and "
            "masks.unmask(data, kind) != data"
        ),
    ): _FILTER,
    (
        Operator.TERM,
        (
            "surfaces.look:stretch: start < end of start < end and (chunk := os.pread(descriptor, "
            "min(CHUNK_BYTES, end - start), start))"
        ),
    ): "to read no byte is the end, too",
    (
        Operator.ALWAYS,
        "surfaces.sweep:_Sweep._judge_name: if found.target",
    ): "in no target nothing is found",
    (
        Operator.TERM,
        "surfaces.sweep:_Sweep._knows: found.status is None of known is None or found.status is None",
    ): "asked for the type checker: only files whose status is known are asked about",
    (
        Operator.TERM,
        "surfaces.fileset:_reason: 0 of error.errno or 0",
    ): "asked for the type checker: no number is told as no other is",
}
