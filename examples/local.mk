# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# Built as a user builds: the public headers, the shared library, no more.
EXAMPLE_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/api
EXAMPLE_LINK = $(AM_LDFLAGS) -no-install
EXAMPLE_LIBS = libwbcshm.la

noinst_PROGRAMS += examples/hello
examples_hello_SOURCES = examples/hello.c
examples_hello_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_hello_LDFLAGS = $(EXAMPLE_LINK)
examples_hello_LDADD = $(EXAMPLE_LIBS)

# The demo compares SQLite's tables with the truth, so it reads them itself.
if WITH_FLUSHER
noinst_PROGRAMS += examples/wordcount
examples_wordcount_SOURCES = \
	examples/compare.c examples/compare.h \
	examples/count.c examples/count.h \
	examples/files.c examples/files.h \
	examples/options.c examples/options.h \
	examples/run.c examples/run.h \
	examples/screen.c examples/screen.h \
	examples/supervise.c examples/supervise.h \
	examples/wordcount.c
examples_wordcount_CPPFLAGS = $(EXAMPLE_CPPFLAGS) $(SQLITE_CFLAGS)
examples_wordcount_LDFLAGS = $(EXAMPLE_LINK)
examples_wordcount_LDADD = $(EXAMPLE_LIBS) $(SQLITE_LIBS)
endif

EXTRA_DIST += examples/demo.sh examples/wbc-flusher.conf
