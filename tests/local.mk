# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# A test is one line: a C program by its name without .c (its one source), a
# script by its file name.  Two tests of one folder need different names even
# without their endings, since each leaves NAME.log beside it.
#
# A C test links tests/tap, api and shm.  One that needs the flusher's inside
# goes to FLUSHER_TESTS and gets a line `tests_unit_NAME_LDADD =
# $(FLUSHER_TEST_LIBS)`.
C_TESTS = \
	tests/crash/clients \
	tests/crash/kills \
	tests/crash/sweep \
	tests/unit/api \
	tests/unit/cell \
	tests/unit/entry \
	tests/unit/epoch \
	tests/unit/error \
	tests/unit/index \
	tests/unit/json \
	tests/unit/key \
	tests/unit/lane \
	tests/unit/long \
	tests/unit/moment \
	tests/unit/nospace \
	tests/unit/page \
	tests/unit/record \
	tests/unit/remove \
	tests/unit/round \
	tests/unit/schema \
	tests/unit/segment \
	tests/unit/slots \
	tests/unit/sums \
	tests/unit/sweep \
	tests/unit/table \
	tests/unit/threads \
	tests/unit/tree \
	tests/unit/wake

FLUSHER_TESTS = \
	tests/crash/churn \
	tests/crash/damaged \
	tests/crash/database \
	tests/crash/denied \
	tests/crash/flipper \
	tests/crash/full \
	tests/crash/growth \
	tests/crash/instants \
	tests/crash/keys \
	tests/crash/lingering \
	tests/crash/locked \
	tests/crash/lost \
	tests/crash/million \
	tests/crash/mistaken \
	tests/crash/namespaces \
	tests/crash/options \
	tests/crash/order \
	tests/crash/points \
	tests/crash/pressure \
	tests/crash/columns \
	tests/crash/reads \
	tests/crash/refused \
	tests/crash/requests \
	tests/crash/stopped \
	tests/crash/storm \
	tests/crash/takeover \
	tests/crash/threads \
	tests/crash/tight \
	tests/crash/types \
	tests/sink/types \
	tests/sink/updates \
	tests/unit/rowset \
	tests/unit/unapplied

# Hostile bytes: each is linked with tests/fuzz/replay, or where configure was
# given --enable-fuzzer with libFuzzer, see tests/fuzz/fuzz.h.
FUZZ_TESTS = \
	tests/fuzz/arguments \
	tests/fuzz/config \
	tests/fuzz/journal \
	tests/fuzz/row \
	tests/fuzz/schema \
	tests/fuzz/segment \
	tests/fuzz/tree

SCRIPT_TESTS = \
	tests/abi/arm64.sh \
	tests/abi/musl.sh \
	tests/abi/headers.sh \
	tests/abi/house.sh \
	tests/abi/man.sh \
	tests/abi/promises.sh \
	tests/abi/symbols.sh \
	tests/abi/warnings.sh \
	tests/crash/mistakes.sh \
	tests/tap/selftest.sh \
	tests/tools/bench.bats \
	tests/tools/check.bats \
	tests/tools/config.bats \
	tests/tools/examples.bats \
	tests/tools/flush.bats \
	tests/tools/shmctl.bats \
	tests/tools/shmdump.bats

# Those with a long form, for `make soak`: with WBC_SOAK_SECONDS they go on so
# long, from WBC_SEED; unit/soak.h and unit/dice.h read both.
SOAK_TESTS = tests/crash/clients tests/crash/kills
if WITH_FLUSHER
SOAK_TESTS += tests/crash/instants tests/crash/points tests/crash/storm \
	tests/crash/churn tests/crash/flipper $(FUZZ_TESTS)
endif

# What several tests include.
MISTAKES = \
	tests/crash/mistakes/05-sent-again.patch \
	tests/crash/mistakes/06-lanes-first.patch \
	tests/crash/mistakes/08-cursors-early.patch \
	tests/crash/mistakes/08b-cursors-not-redone.patch \
	tests/crash/mistakes/10-gate-not-awaited.patch \
	tests/crash/mistakes/12-start-without-the-journal.patch \
	tests/crash/mistakes/14-refused-stays.patch

TEST_SHARED = $(MISTAKES) \
	tests/crash/install.sh \
	tests/crash/victim.c \
	tests/sink/bed.h \
	tests/tools/common.bash \
	tests/unit/child.h \
	tests/unit/dice.h \
	tests/unit/rig.h \
	tests/unit/scratch.h \
	tests/unit/soak.h \
	tests/unit/step.h \
	tests/unit/value.h

LDADD = tests/tap/libtap.la $(CLIENT_LIBS) -lm
FLUSHER_TEST_LIBS = tests/tap/libtap.la $(FLUSHER_LIBS)
CRASH_LIBS = tests/crash/librig.la tests/tap/libtap.la $(CLIENT_LIBS) \
	$(SQLITE_LIBS)

check_LTLIBRARIES += tests/tap/libtap.la
tests_tap_libtap_la_SOURCES = tests/tap/tap.c tests/tap/tap.h

# Victims killed at each instruction.  victim.c is compiled by install.sh,
# against what is installed.
check_LTLIBRARIES += tests/crash/libsweep.la
tests_crash_libsweep_la_SOURCES = \
	tests/crash/bad.c tests/crash/bad.h \
	tests/crash/facts.c tests/crash/facts.h \
	tests/crash/ops.c tests/crash/ops.h \
	tests/crash/site.c tests/crash/sweep.h \
	tests/crash/states.c tests/crash/states.h \
	tests/crash/survivor.c tests/crash/survivor.h \
	tests/crash/tracer.c tests/crash/tracer.h \
	tests/crash/watch.c tests/crash/watch.h
SWEEP_LIBS = tests/crash/libsweep.la tests/tap/libtap.la \
	tools/libdump.la tools/libcli.la $(CLIENT_LIBS) -lm
tests_unit_moment_LDADD = units/libunits.la $(LDADD)
tests_crash_kills_LDADD = $(SWEEP_LIBS)
tests_crash_sweep_LDADD = $(SWEEP_LIBS)

check_PROGRAMS += $(C_TESTS)
TESTS = $(C_TESTS) $(SCRIPT_TESTS)
if WITH_FLUSHER
check_PROGRAMS += $(FLUSHER_TESTS)
TESTS += $(FLUSHER_TESTS)

# A flusher, its database and its clients, killed and stopped at will.
check_LTLIBRARIES += tests/crash/librig.la
tests_crash_librig_la_SOURCES = \
	tests/crash/crew.c tests/crash/crew.h \
	tests/crash/host.c \
	tests/crash/life.c tests/crash/life.h \
	tests/crash/rig.c tests/crash/rig.h \
	tests/crash/sql.c
tests_crash_librig_la_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
tests_crash_churn_LDADD = $(CRASH_LIBS)
tests_crash_damaged_LDADD = $(CRASH_LIBS)
tests_crash_database_LDADD = $(CRASH_LIBS)
tests_crash_denied_LDADD = $(CRASH_LIBS)
tests_crash_flipper_LDADD = $(CRASH_LIBS)
tests_crash_full_LDADD = $(CRASH_LIBS)
tests_crash_growth_LDADD = $(CRASH_LIBS)
tests_crash_instants_LDADD = tests/crash/librig.la $(SWEEP_LIBS) $(SQLITE_LIBS)
tests_crash_keys_LDADD = $(CRASH_LIBS)
tests_crash_lingering_LDADD = $(CRASH_LIBS)
tests_crash_locked_LDADD = $(CRASH_LIBS)
tests_crash_lost_LDADD = $(CRASH_LIBS)
tests_crash_million_LDADD = $(CRASH_LIBS)
tests_crash_mistaken_LDADD = $(CRASH_LIBS)
tests_crash_namespaces_LDADD = $(CRASH_LIBS)
tests_crash_options_LDADD = $(CRASH_LIBS)
tests_crash_order_LDADD = $(CRASH_LIBS)
tests_crash_points_LDADD = $(CRASH_LIBS)
tests_crash_reads_LDADD = $(CRASH_LIBS)
tests_crash_columns_LDADD = $(CRASH_LIBS)
tests_crash_pressure_LDADD = $(CRASH_LIBS)
tests_crash_refused_LDADD = $(CRASH_LIBS)
tests_crash_requests_LDADD = $(CRASH_LIBS)
tests_crash_stopped_LDADD = $(CRASH_LIBS)
tests_crash_storm_SOURCES = \
	tests/crash/storm.c tests/crash/storm.h \
	tests/crash/storm_actor.h \
	tests/crash/storm_books.c \
	tests/crash/storm_calls.c \
	tests/crash/storm_client.c \
	tests/crash/storm_weather.c tests/crash/storm_weather.h
tests_crash_storm_LDADD = $(CRASH_LIBS)
tests_crash_takeover_LDADD = $(CRASH_LIBS)
tests_crash_tight_LDADD = $(CRASH_LIBS)
tests_sink_types_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
tests_sink_types_LDADD = $(FLUSHER_TEST_LIBS)
tests_sink_updates_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
tests_sink_updates_LDADD = $(FLUSHER_TEST_LIBS)
tests_unit_rowset_LDADD = $(FLUSHER_TEST_LIBS)
tests_crash_types_LDADD = $(CRASH_LIBS)
tests_unit_unapplied_CPPFLAGS = $(AM_CPPFLAGS) $(URCU_CFLAGS)
tests_unit_unapplied_LDADD = $(FLUSHER_TEST_LIBS)
tests_crash_threads_LDADD = tests/crash/librig.la $(FLUSHER_TEST_LIBS)
endif

if WITH_FLUSHER
check_PROGRAMS += $(FUZZ_TESTS)
if FUZZER
FUZZ_MAIN = tests/fuzz/libfuzzer.c
else
TESTS += $(FUZZ_TESTS)
FUZZ_MAIN = tests/fuzz/replay.c
endif
check_LTLIBRARIES += tests/fuzz/libfuzz.la
tests_fuzz_libfuzz_la_SOURCES = \
	tests/fuzz/drain.c tests/fuzz/drain.h \
	tests/fuzz/edits.c \
	tests/fuzz/fuzz.c tests/fuzz/fuzz.h \
	tests/fuzz/image.c tests/fuzz/image.h
tests_fuzz_libfuzz_la_CPPFLAGS = $(AM_CPPFLAGS) $(URCU_CFLAGS)
fuzz_libs = tests/fuzz/libfuzz.la tests/tap/libtap.la tools/libdump.la \
	tools/libctl.la tools/libcli.la $(FLUSHER_LIBS) -lm
fuzz_link = $(AM_LDFLAGS) $(WBC_FUZZER)

tests_fuzz_arguments_SOURCES = tests/fuzz/arguments.c $(FUZZ_MAIN)
tests_fuzz_arguments_LDADD = $(fuzz_libs)
tests_fuzz_arguments_LDFLAGS = $(fuzz_link)
tests_fuzz_config_SOURCES = tests/fuzz/config.c $(FUZZ_MAIN)
tests_fuzz_config_LDADD = $(fuzz_libs)
tests_fuzz_config_LDFLAGS = $(fuzz_link)
tests_fuzz_journal_SOURCES = tests/fuzz/journal.c $(FUZZ_MAIN)
tests_fuzz_journal_LDADD = $(fuzz_libs)
tests_fuzz_journal_LDFLAGS = $(fuzz_link)
tests_fuzz_row_SOURCES = tests/fuzz/row.c $(FUZZ_MAIN)
tests_fuzz_row_LDADD = $(fuzz_libs)
tests_fuzz_row_LDFLAGS = $(fuzz_link)
tests_fuzz_schema_SOURCES = tests/fuzz/schema.c $(FUZZ_MAIN)
tests_fuzz_schema_LDADD = $(fuzz_libs)
tests_fuzz_schema_LDFLAGS = $(fuzz_link)
tests_fuzz_segment_SOURCES = tests/fuzz/segment.c $(FUZZ_MAIN)
tests_fuzz_segment_LDADD = $(fuzz_libs)
tests_fuzz_segment_LDFLAGS = $(fuzz_link)
tests_fuzz_tree_SOURCES = tests/fuzz/tree.c $(FUZZ_MAIN)
tests_fuzz_tree_LDADD = $(fuzz_libs)
tests_fuzz_tree_LDFLAGS = $(fuzz_link)

# Its known-bad twin, without one check of bounds: see tests/fuzz/control.sh.
check_PROGRAMS += tests/fuzz/segment_bad
tests_fuzz_segment_bad_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/shm
tests_fuzz_segment_bad_SOURCES = tests/fuzz/segment.c $(FUZZ_MAIN)
nodist_tests_fuzz_segment_bad_SOURCES = tests/fuzz/seen_bad.c
tests_fuzz_segment_bad_LDADD = $(fuzz_libs)
tests_fuzz_segment_bad_LDFLAGS = $(fuzz_link)
if !FUZZER
TESTS += tests/fuzz/control.sh
endif
CLEANFILES += tests/fuzz/seen_bad.c
tests/fuzz/seen_bad.c: shm/seen.c
	$(AM_V_GEN)$(MKDIR_P) tests/fuzz && \
	$(SED) 's/seen->key_len > WBC_KEY_MAX ||/false \&\&/' \
		$(top_srcdir)/shm/seen.c >$@-t && \
	! cmp -s $(top_srcdir)/shm/seen.c $@-t && mv $@-t $@
endif

# Every test runs under tests/tap/bounded, which ends it, and whatever it
# left running, after TEST_TIMEOUT seconds, and gives it a TMPDIR of its own.
# One that needs longer has its seconds in TEST_TIMEOUTS, as NAME=SECONDS.
check_PROGRAMS += tests/tap/bounded
tests_tap_bounded_SOURCES = tests/tap/bounded.c
tests_tap_bounded_LDADD =
check_PROGRAMS += tests/tap/sample
check_PROGRAMS += tests/abi/together
BOUNDED = $(abs_top_builddir)/tests/tap/bounded $(TEST_TIMEOUT)
if SANITIZE
TEST_TIMEOUT = 900
else
TEST_TIMEOUT = 300
endif

TEST_TIMEOUTS = tests/abi/arm64.sh=1800 tests/abi/musl.sh=1800 \
	tests/crash/instants=900 tests/crash/kills=1200 tests/crash/million=600 \
	tests/abi/arm64.sh=900 tests/abi/musl.sh=900 tests/abi/warnings.sh=900 \
	tests/crash/storm=900 tests/crash/sweep=600 tests/mc/twins.sh=900

TEST_EXTENSIONS = .bats .sh
TAP_DRIVER = $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(TAP_DRIVER)
LOG_COMPILER = $(BOUNDED)
SH_LOG_DRIVER = $(TAP_DRIVER)
SH_LOG_COMPILER = $(BOUNDED) $(BASH_SHELL)
BATS_LOG_DRIVER = $(TAP_DRIVER)
BATS_LOG_COMPILER = $(BOUNDED) $(BATS) --tap

# How mistakes.sh builds the flusher with other sources.
FLUSHER_ENVIRONMENT = \
	WBC_FLUSHER_CC='$(CC) $(DEFS) -include $(abs_top_builddir)/config.h \
		-D_GNU_SOURCE $(CFLAGS) $(COMMON_CFLAGS) $(SQLITE_CFLAGS) \
		$(LMDB_CFLAGS) $(URCU_CFLAGS) $(INIH_CFLAGS)'; \
	export WBC_FLUSHER_CC; \
	WBC_FLUSHER_LIBS='$(SQLITE_LIBS) $(LMDB_LIBS) $(URCU_LIBS) \
		$(INIH_LIBS) $(LIBS) -lm'; export WBC_FLUSHER_LIBS;

AM_TESTS_ENVIRONMENT = \
	WBC_BUILD='$(abs_top_builddir)'; export WBC_BUILD; \
	WBC_SRC='$(abs_top_srcdir)'; export WBC_SRC; \
	WBC_SANITIZE='$(WBC_SANITIZE)'; export WBC_SANITIZE; \
	WBC_TEST_TIMEOUTS='$(TEST_TIMEOUTS)'; export WBC_TEST_TIMEOUTS; \
	PATH='$(abs_top_builddir)/flusher:$(abs_top_builddir)/tools':"$$PATH"; \
	export PATH; $(MC_ENVIRONMENT) $(FLUSHER_ENVIRONMENT)

EXTRA_DIST += tests/tap/promises.sh tests/tap/soak.sh tests/tap/summary.sh \
	tests/tap/tap.sh \
	tests/abi/declared.pl tests/abi/port.sh doc/promises.md \
	tests/fuzz/control.sh tests/fuzz/corpus tests/fuzz/libfuzzer.c \
	tests/fuzz/replay.c tests/fuzz/run.sh \
	$(SCRIPT_TESTS) $(TEST_SHARED)

# The tests, and last of all one line that counts what they checked.  It takes
# the place of automake's own rule, which ends with a box of totals.  Each
# promise must have tests that ran, unless `make` was told which tests to run.
# As many run at a time as there are processors, unless -j says otherwise: none
# is alone on the machine, nor looks at anything but its own folder.
if WITH_FLUSHER
PROMISES = $(srcdir)/doc/promises.md
endif
check-TESTS: $(check_PROGRAMS) $(check_LTLIBRARIES)
	@rm -f $(TEST_LOGS) $(TEST_LOGS:.log=.trs) $(TEST_SUITE_LOG)
	@case "$$MAKEFLAGS" in *-j*) jobs= ;; *) jobs=-j`nproc` ;; esac; \
	rc=0; $(MAKE) $$jobs $(AM_MAKEFLAGS) $(TEST_SUITE_LOG) || rc=$$?; \
	case " $$MAKEFLAGS" in \
	*\ TESTS=*|*\ TEST_LOGS=*) promises= ;; \
	*) promises='$(PROMISES)' ;; \
	esac; \
	WBC_PROMISES=$$promises WBC_SANITIZE='$(WBC_SANITIZE)' AWK='$(AWK)' \
	$(SHELL) $(srcdir)/tests/tap/summary.sh $$rc $(TEST_LOGS)

# The long forms, for a number of hours, or SECONDS=n.
soak: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	@$(AM_TESTS_ENVIRONMENT) \
	seconds=`echo '$(HOURS) $(SECONDS)' | $(AWK) '/^ *[0-9.]/ \
		{ print int(NF > 1 || /^ / ? $$NF : $$1 * 3600) }'`; \
	$(SHELL) $(srcdir)/tests/tap/soak.sh "$$seconds" $(SOAK_TESTS)

.PHONY: soak
