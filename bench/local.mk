# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# Measures the shared library, as users have it; looks into the segment with
# shm's own eyes, to prove the sums.
noinst_PROGRAMS += bench/wbc-bench
bench_wbc_bench_SOURCES = \
	bench/add.c \
	bench/adds.c bench/adds.h \
	bench/bench.h \
	bench/harness.c bench/harness.h \
	bench/loop.c \
	bench/main.c \
	bench/report.c bench/report.h \
	bench/store.c bench/store.h \
	bench/walk.c bench/walk.h
bench_wbc_bench_LDFLAGS = $(AM_LDFLAGS) -no-install
bench_wbc_bench_LDADD = libwbcshm.la shm/libshm.la -lm

# What goes to a database is the flusher's own business: its inside is linked.
if WITH_FLUSHER
bench_wbc_bench_SOURCES += bench/flush.c
bench_wbc_bench_CPPFLAGS = $(AM_CPPFLAGS) -DBENCH_FLUSH $(SQLITE_CFLAGS)
bench_wbc_bench_LDADD += flusher/libflusher.la $(FLUSHER_LIBS)
endif

EXTRA_DIST += bench/instructions.sh
