# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# The model checker: shm/ compiled as for the thread sanitizer, and linked with
# hooks of our own.  A program is a line in MC_TESTS and the four lines below
# that every program has.
MC_TESTS = \
	tests/mc/litmus

MC_FILES = \
	tests/mc/engine.h \
	tests/mc/hooks.c \
	tests/mc/main.c \
	tests/mc/mc.h \
	tests/mc/memory.c \
	tests/mc/run.c \
	tests/mc/search.c \
	tests/mc/sites.c \
	tests/mc/system.c \
	tests/mc/trace.c \
	tests/mc/world.c

check_PROGRAMS += $(MC_TESTS)
TESTS += $(MC_TESTS)
SOAK_TESTS += $(MC_TESTS)

if SANITIZE
# A sanitizer's library and our hooks exclude each other.
EXTRA_DIST += $(MC_FILES)
tests_mc_litmus_SOURCES = tests/mc/skip.c
else
# -g1: a trace needs lines.  _FORTIFY_SOURCE would call other functions than
# those that are modelled.
MC_CFLAGS = $(COMMON_CFLAGS) $(WBC_MC_CFLAGS) -fsanitize=thread \
	-fno-optimize-sibling-calls -O2 -g1
MC_CPPFLAGS = $(AM_CPPFLAGS) -D_FORTIFY_SOURCE=0
MC_LIBS = tests/mc/libmodel.la tests/mc/libshm.la tests/tap/libtap.la -lm
MC_LINK = $(AM_LDFLAGS) -Wl,--wrap=memcpy -Wl,--wrap=memmove \
	-Wl,--wrap=memset -Wl,--wrap=memcmp -Wl,--wrap=malloc -Wl,--wrap=calloc \
	-Wl,--wrap=realloc -Wl,--wrap=free -Wl,--wrap=syscall -Wl,--wrap=open \
	-Wl,--wrap=close -Wl,--wrap=fstat -Wl,--wrap=fallocate -Wl,--wrap=fcntl \
	-Wl,--wrap=mmap -Wl,--wrap=munmap -Wl,--wrap=madvise \
	-Wl,--wrap=clock_gettime -Wl,--wrap=pthread_mutex_lock \
	-Wl,--wrap=pthread_mutex_unlock -Wl,--wrap=pthread_setcancelstate \
	-Wl,--wrap=pthread_key_delete \
	-Wl,--wrap=pthread_getspecific -Wl,--wrap=pthread_setspecific

check_LTLIBRARIES += tests/mc/libmodel.la tests/mc/libshm.la
tests_mc_libmodel_la_SOURCES = $(MC_FILES)
tests_mc_libmodel_la_CPPFLAGS = $(MC_CPPFLAGS)
tests_mc_libmodel_la_CFLAGS = $(COMMON_CFLAGS) -O2 -g1
tests_mc_libshm_la_SOURCES = $(shm_libshm_la_SOURCES)
tests_mc_libshm_la_CPPFLAGS = $(MC_CPPFLAGS)
tests_mc_libshm_la_CFLAGS = $(MC_CFLAGS)

tests_mc_litmus_SOURCES = tests/mc/litmus.c
tests_mc_litmus_CPPFLAGS = $(MC_CPPFLAGS)
tests_mc_litmus_CFLAGS = $(MC_CFLAGS)
tests_mc_litmus_LDFLAGS = $(MC_LINK)
tests_mc_litmus_LDADD = $(MC_LIBS)
endif
