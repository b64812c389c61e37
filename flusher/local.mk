# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

if WITH_FLUSHER

# All but main.c, so that the tests can link it.
noinst_LTLIBRARIES += flusher/libflusher.la
flusher_libflusher_la_CPPFLAGS = $(AM_CPPFLAGS) \
	$(SQLITE_CFLAGS) $(LMDB_CFLAGS) $(URCU_CFLAGS)
flusher_libflusher_la_SOURCES = \
	flusher/adopt.c \
	flusher/apply.c \
	flusher/apply.h \
	flusher/blob.c \
	flusher/bus.c \
	flusher/bus.h \
	flusher/check.c \
	flusher/check.h \
	flusher/collect.c \
	flusher/config.c \
	flusher/config.h \
	flusher/cursors.c \
	flusher/cursors.h \
	flusher/dispatch.c \
	flusher/flusher.c \
	flusher/flusher.h \
	flusher/frame.c \
	flusher/frame.h \
	flusher/journal.c \
	flusher/journal.h \
	flusher/journal_lock.c \
	flusher/letter.c \
	flusher/letter.h \
	flusher/load.c \
	flusher/lock.c \
	flusher/lock.h \
	flusher/log.c \
	flusher/log.h \
	flusher/notify.c \
	flusher/notify.h \
	flusher/plan.c \
	flusher/points.c \
	flusher/points.h \
	flusher/queue.c \
	flusher/queue.h \
	flusher/rowset.c \
	flusher/rowset.h \
	flusher/settle.c \
	flusher/sink.h \
	flusher/sink_sqlite.c \
	flusher/sink_sqlite.h \
	flusher/sink_sqlite_bind.c \
	flusher/sink_sqlite_connect.c \
	flusher/sink_sqlite_keys.c \
	flusher/sink_sqlite_ledger.c \
	flusher/sink_sqlite_letters.c \
	flusher/sink_sqlite_rows.c \
	flusher/sql.c \
	flusher/sql.h \
	flusher/state.h \
	flusher/unapplied.c \
	flusher/unapplied.h \
	flusher/upkeep.c \
	flusher/upkeep.h
flusher_libflusher_la_LIBADD = units/libunits.la

bin_PROGRAMS += flusher/wbc-flusher
flusher_wbc_flusher_SOURCES = flusher/main.c
flusher_wbc_flusher_LDADD = $(FLUSHER_LIBS)

endif
