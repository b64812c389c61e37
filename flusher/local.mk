# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

if WITH_FLUSHER

# All but main.c, so that the tests can link it.
noinst_LTLIBRARIES += flusher/libflusher.la
flusher_libflusher_la_CPPFLAGS = $(AM_CPPFLAGS) \
	$(SQLITE_CFLAGS) $(LMDB_CFLAGS) $(URCU_CFLAGS) $(INIH_CFLAGS)
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
	flusher/columns.c \
	flusher/columns.h \
	flusher/config.c \
	flusher/config.h \
	flusher/config_print.c \
	flusher/connection.c \
	flusher/connection.h \
	flusher/cursors.c \
	flusher/cursors.h \
	flusher/dispatch.c \
	flusher/flusher.c \
	flusher/flusher.h \
	flusher/frame.c \
	flusher/frame.h \
	flusher/ini.c \
	flusher/ini.h \
	flusher/journal.c \
	flusher/journal.h \
	flusher/journal_lock.c \
	flusher/letter.c \
	flusher/letter.h \
	flusher/load.c \
	flusher/loader.c \
	flusher/loader.h \
	flusher/lock.c \
	flusher/lock.h \
	flusher/log.c \
	flusher/log.h \
	flusher/notify.c \
	flusher/notify.h \
	flusher/origins.c \
	flusher/origins.h \
	flusher/plan.c \
	flusher/points.c \
	flusher/points.h \
	flusher/queue.c \
	flusher/queue.h \
	flusher/reaper.c \
	flusher/reaper.h \
	flusher/reload.c \
	flusher/rowset.c \
	flusher/rowset.h \
	flusher/set.c \
	flusher/set.h \
	flusher/settings.c \
	flusher/settings.h \
	flusher/settings_file.c \
	flusher/settings_file.h \
	flusher/settle.c \
	flusher/sink.h \
	flusher/sink_sqlite.c \
	flusher/sink_sqlite.h \
	flusher/sink_sqlite_bind.c \
	flusher/sink_sqlite_connect.c \
	flusher/sink_sqlite_examine.c \
	flusher/sink_sqlite_keys.c \
	flusher/sink_sqlite_ledger.c \
	flusher/sink_sqlite_letters.c \
	flusher/sink_sqlite_read.c \
	flusher/sink_sqlite_rows.c \
	flusher/sink_sqlite_take.c \
	flusher/sql.c \
	flusher/sql.h \
	flusher/state.h \
	flusher/triggers.c \
	flusher/unapplied.c \
	flusher/unapplied.h \
	flusher/upkeep.c \
	flusher/upkeep.h
flusher_libflusher_la_LIBADD = units/libunits.la

bin_PROGRAMS += flusher/wbc-flusher
flusher_wbc_flusher_SOURCES = \
	flusher/main.c \
	flusher/options.c \
	flusher/options.h
flusher_wbc_flusher_LDADD = $(FLUSHER_LIBS)

endif
