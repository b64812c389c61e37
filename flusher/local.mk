# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

if WITH_FLUSHER

# All but main.c, so that the tests can link it.
noinst_LTLIBRARIES += flusher/libflusher.la
flusher_libflusher_la_CPPFLAGS = $(AM_CPPFLAGS) \
	$(SQLITE_CFLAGS) $(LMDB_CFLAGS) $(URCU_CFLAGS)
flusher_libflusher_la_SOURCES = \
	flusher/frame.c \
	flusher/frame.h \
	flusher/log.c \
	flusher/log.h \
	flusher/notify.c \
	flusher/notify.h \
	flusher/points.c \
	flusher/points.h

# bin_PROGRAMS += flusher/wbc-flusher
# flusher_wbc_flusher_SOURCES = flusher/main.c
# flusher_wbc_flusher_LDADD = $(FLUSHER_LIBS)

endif
