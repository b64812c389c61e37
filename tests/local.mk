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
	tests/unit/api \
	tests/unit/cell \
	tests/unit/entry \
	tests/unit/epoch \
	tests/unit/error \
	tests/unit/index \
	tests/unit/key \
	tests/unit/lane \
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
	tests/unit/wake

FLUSHER_TESTS = \
	tests/crash/churn \
	tests/crash/damaged \
	tests/crash/database \
	tests/crash/denied \
	tests/crash/full \
	tests/crash/growth \
	tests/crash/locked \
	tests/crash/lost \
	tests/crash/options \
	tests/crash/order \
	tests/crash/points \
	tests/crash/refused \
	tests/crash/requests \
	tests/crash/stopped \
	tests/crash/takeover \
	tests/crash/threads \
	tests/crash/tight

SCRIPT_TESTS = \
	tests/abi/headers.sh \
	tests/abi/house.sh \
	tests/abi/man.sh \
	tests/abi/symbols.sh \
	tests/abi/warnings.sh \
	tests/tap/selftest.sh \
	tests/tools/bench.bats \
	tests/tools/check.bats \
	tests/tools/examples.bats \
	tests/tools/flush.bats \
	tests/tools/shmctl.bats \
	tests/tools/shmdump.bats

# What several tests include.
TEST_SHARED = \
	tests/tools/common.bash \
	tests/unit/child.h \
	tests/unit/dice.h \
	tests/unit/rig.h \
	tests/unit/scratch.h \
	tests/unit/step.h \
	tests/unit/value.h

LDADD = tests/tap/libtap.la $(CLIENT_LIBS) -lm
FLUSHER_TEST_LIBS = tests/tap/libtap.la $(FLUSHER_LIBS)
CRASH_LIBS = tests/crash/librig.la tests/tap/libtap.la $(CLIENT_LIBS) \
	$(SQLITE_LIBS)

check_LTLIBRARIES += tests/tap/libtap.la
tests_tap_libtap_la_SOURCES = tests/tap/tap.c tests/tap/tap.h

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
	tests/crash/rig.c tests/crash/rig.h \
	tests/crash/sql.c
tests_crash_librig_la_CPPFLAGS = $(AM_CPPFLAGS) $(SQLITE_CFLAGS)
tests_crash_churn_LDADD = $(CRASH_LIBS)
tests_crash_damaged_LDADD = $(CRASH_LIBS)
tests_crash_database_LDADD = $(CRASH_LIBS)
tests_crash_denied_LDADD = $(CRASH_LIBS)
tests_crash_full_LDADD = $(CRASH_LIBS)
tests_crash_growth_LDADD = $(CRASH_LIBS)
tests_crash_locked_LDADD = $(CRASH_LIBS)
tests_crash_lost_LDADD = $(CRASH_LIBS)
tests_crash_options_LDADD = $(CRASH_LIBS)
tests_crash_order_LDADD = $(CRASH_LIBS)
tests_crash_points_LDADD = $(CRASH_LIBS)
tests_crash_refused_LDADD = $(CRASH_LIBS)
tests_crash_requests_LDADD = $(CRASH_LIBS)
tests_crash_stopped_LDADD = $(CRASH_LIBS)
tests_crash_takeover_LDADD = $(CRASH_LIBS)
tests_crash_tight_LDADD = $(CRASH_LIBS)
tests_crash_threads_LDADD = tests/crash/librig.la $(FLUSHER_TEST_LIBS)
endif

# Every test runs under tests/tap/bounded, which ends it, and whatever it
# left running, after TEST_TIMEOUT seconds, and gives it a TMPDIR of its own.
check_PROGRAMS += tests/tap/bounded
tests_tap_bounded_SOURCES = tests/tap/bounded.c
tests_tap_bounded_LDADD =
check_PROGRAMS += tests/tap/sample
BOUNDED = $(abs_top_builddir)/tests/tap/bounded $(TEST_TIMEOUT)
if SANITIZE
TEST_TIMEOUT = 900
else
TEST_TIMEOUT = 300
endif

TEST_EXTENSIONS = .bats .sh
TAP_DRIVER = $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(TAP_DRIVER)
LOG_COMPILER = $(BOUNDED)
SH_LOG_DRIVER = $(TAP_DRIVER)
SH_LOG_COMPILER = $(BOUNDED) $(BASH_SHELL)
BATS_LOG_DRIVER = $(TAP_DRIVER)
BATS_LOG_COMPILER = $(BOUNDED) $(BATS) --tap

AM_TESTS_ENVIRONMENT = \
	WBC_BUILD='$(abs_top_builddir)'; export WBC_BUILD; \
	WBC_SRC='$(abs_top_srcdir)'; export WBC_SRC; \
	WBC_SANITIZE='$(WBC_SANITIZE)'; export WBC_SANITIZE; \
	PATH='$(abs_top_builddir)/flusher:$(abs_top_builddir)/tools':"$$PATH"; \
	export PATH; $(MC_ENVIRONMENT)

EXTRA_DIST += tests/tap/summary.sh tests/tap/tap.sh tests/abi/declared.pl \
	$(SCRIPT_TESTS) $(TEST_SHARED)

# The tests, and last of all one line that counts what they checked.  It takes
# the place of automake's own rule, which ends with a box of totals.
check-TESTS: $(check_PROGRAMS) $(check_LTLIBRARIES)
	@rm -f $(TEST_LOGS) $(TEST_LOGS:.log=.trs) $(TEST_SUITE_LOG)
	@rc=0; $(MAKE) $(AM_MAKEFLAGS) $(TEST_SUITE_LOG) || rc=$$?; \
	AWK='$(AWK)' $(SHELL) $(srcdir)/tests/tap/summary.sh $$rc $(TEST_LOGS)
