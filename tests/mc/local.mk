# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# The model checker: shm/ compiled as for the thread sanitizer, and linked with
# hooks of our own.  A program is a line in MC_TESTS,
# two of sources, and four of flags.
MC_TESTS = \
	tests/mc/checks \
	tests/mc/edges \
	tests/mc/edges_repair \
	tests/mc/edges_round \
	tests/mc/entries \
	tests/mc/epochs \
	tests/mc/fetches \
	tests/mc/index \
	tests/mc/lanes \
	tests/mc/litmus \
	tests/mc/owners \
	tests/mc/pages \
	tests/mc/pairs \
	tests/mc/plain \
	tests/mc/removal \
	tests/mc/repairs \
	tests/mc/rounds \
	tests/mc/slots \
	tests/mc/sweeps \
	tests/mc/trees \
	tests/mc/wakes

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

MC_TWINS = \
	tests/mc/twins/01-bump-before-take.patch \
	tests/mc/twins/02-page-bit-implies-summary.patch \
	tests/mc/twins/02b-summary-first.patch \
	tests/mc/twins/03-dropped-without-grace.patch \
	tests/mc/twins/04-start-once.patch \
	tests/mc/twins/05-mark-after-reaping.patch \
	tests/mc/twins/17-snapshot-without-grace.patch \
	tests/mc/twins/17b-edited-in-two-sections.patch \
	tests/mc/twins/19-empty-is-nothing.patch \
	tests/mc/twins/22-incarnation-stays.patch \
	tests/mc/twins/23-own-stamp.patch \
	tests/mc/twins/23b-compiler-exit.patch \
	tests/mc/twins/24-pruned-without-grace.patch \
	tests/mc/twins/24b-closing-not-undone.patch \
	tests/mc/twins/25-no-revive.patch \
	tests/mc/twins/25b-dead-without-grace.patch \
	tests/mc/twins/27-unlocked-before-free.patch \
	tests/mc/twins/27b-claimed-before-locked.patch \
	tests/mc/twins/28-lane-restarts.patch \
	tests/mc/twins/29-tail-before-record.patch \
	tests/mc/twins/30-no-second-look.patch \
	tests/mc/twins/31-node-before-its-words.patch \
	tests/mc/twins/32-scan-without-barrier.patch \
	tests/mc/twins/33-freed-too-early.patch \
	tests/mc/twins/34-swept-under-unlinker.patch \
	tests/mc/twins/35-snapshot-before-mark.patch \
	tests/mc/twins/36-undone-while-swept.patch \
	tests/mc/twins/37-freed-while-swept.patch \
	tests/mc/twins/38-owner-does-not-look.patch \
	tests/mc/twins/r01-reviver-goes-on.patch \
	tests/mc/twins/r02-insert-once.patch \
	tests/mc/twins/r03-unlink-once.patch \
	tests/mc/twins/r04-alive-by-hope.patch \
	tests/mc/twins/r05-dead-is-good.patch \
	tests/mc/twins/r06-slot-as-it-was.patch \
	tests/mc/twins/r07-reaping-the-living.patch \
	tests/mc/twins/r09-reaping-stays.patch \
	tests/mc/twins/r10-node-was-empty.patch \
	tests/mc/twins/r11-closing-is-ours.patch \
	tests/mc/twins/r12-clean-before.patch \
	tests/mc/twins/r13-frozen-is-ours.patch \
	tests/mc/twins/r14-no-peek.patch \
	tests/mc/twins/r15-swept-twice.patch \
	tests/mc/twins/r16-wanted-once.patch \
	tests/mc/twins/r17-declared-beside.patch \
	tests/mc/twins/r18-words-of-two.patch \
	tests/mc/twins/r18b-words-unfinished.patch \
	tests/mc/twins/r19-wanted-less.patch \
	tests/mc/twins/r20-event-as-it-is.patch \
	tests/mc/twins/r21-lane-event-as-it-is.patch \
	tests/mc/twins/r22-sleep-as-it-is.patch \
	tests/mc/twins/r23-range-of-before.patch \
	tests/mc/twins/r24-range-of-doubles.patch \
	tests/mc/twins/r25-stamped-when-closed.patch \
	tests/mc/twins/r26-attached-when-closed.patch \
	tests/mc/twins/r27-grown-twice.patch \
	tests/mc/twins/r28-undone-in-anothers.patch \
	tests/mc/twins/r29-wiped-in-use.patch \
	tests/mc/twins/r30-cursor-of-another.patch \
	tests/mc/twins/r31-judged-blindly.patch \
	tests/mc/twins/r32-epoch-goes-back.patch \
	tests/mc/twins/r33-unlinked-by-hope.patch \
	tests/mc/twins/r34-row-clean-before.patch \
	tests/mc/twins/r35-tree-not-marked.patch \
	tests/mc/twins/r36-columns-before-mark.patch \
	tests/mc/twins/r37-tree-not-retired.patch \
	tests/mc/twins/r38-version-stays.patch \
	tests/mc/twins/t01-version-after-root.patch \
	tests/mc/twins/t02-retired-before-unlinked.patch

check_PROGRAMS += $(MC_TESTS)
TESTS += $(MC_TESTS) tests/mc/twins.sh tests/mc/mutants.sh
EXTRA_DIST += tests/mc/twins.sh tests/mc/mutants.sh tests/mc/mutants.txt \
	tests/mc/coverage.sh \
	tests/mc/blocks.h tests/mc/rows.h $(MC_TWINS)
SOAK_TESTS += $(MC_TESTS)

if SANITIZE
# A sanitizer's library and our hooks exclude each other.
EXTRA_DIST += $(MC_FILES)
MC_HOOKED = $(AM_CPPFLAGS)
MC_CFLAGS = $(AM_CFLAGS)
MC_LINK = $(AM_LDFLAGS)
MC_LIBS = tests/tap/libtap.la
tests_mc_checks_SOURCES = tests/mc/skip.c
tests_mc_edges_SOURCES = tests/mc/skip.c
tests_mc_edges_repair_SOURCES = tests/mc/skip.c
tests_mc_edges_round_SOURCES = tests/mc/skip.c
tests_mc_entries_SOURCES = tests/mc/skip.c
tests_mc_epochs_SOURCES = tests/mc/skip.c
tests_mc_fetches_SOURCES = tests/mc/skip.c
tests_mc_index_SOURCES = tests/mc/skip.c
tests_mc_lanes_SOURCES = tests/mc/skip.c
tests_mc_litmus_SOURCES = tests/mc/skip.c
tests_mc_owners_SOURCES = tests/mc/skip.c
tests_mc_pages_SOURCES = tests/mc/skip.c
tests_mc_pairs_SOURCES = tests/mc/skip.c
tests_mc_removal_SOURCES = tests/mc/skip.c
tests_mc_plain_SOURCES = tests/mc/skip.c
tests_mc_repairs_SOURCES = tests/mc/skip.c
tests_mc_rounds_SOURCES = tests/mc/skip.c
tests_mc_slots_SOURCES = tests/mc/skip.c
tests_mc_sweeps_SOURCES = tests/mc/skip.c
tests_mc_trees_SOURCES = tests/mc/skip.c
tests_mc_wakes_SOURCES = tests/mc/skip.c
else
# -g1: a trace needs lines.  _FORTIFY_SOURCE would call other functions than
# those that are modelled.
MC_CFLAGS = $(COMMON_CFLAGS) $(WBC_MC_CFLAGS) \
	-fno-optimize-sibling-calls -O2 -g1
MC_CPPFLAGS = $(AM_CPPFLAGS) -D_FORTIFY_SOURCE=0
# Among the preprocessor's flags, since the linker must not see it: it would
# bring the sanitizer's library along.
MC_HOOKED = $(MC_CPPFLAGS) -fsanitize=thread
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
tests_mc_libmodel_la_CFLAGS = $(LIB_CFLAGS) -O2 -g1
tests_mc_libshm_la_SOURCES = $(shm_libshm_la_SOURCES)
tests_mc_libshm_la_CPPFLAGS = $(MC_HOOKED)
tests_mc_libshm_la_CFLAGS = $(MC_CFLAGS)

tests_mc_checks_SOURCES = tests/mc/checks.c
tests_mc_edges_SOURCES = tests/mc/edges.c
tests_mc_edges_repair_SOURCES = tests/mc/edges_repair.c
tests_mc_edges_round_SOURCES = tests/mc/edges_round.c
tests_mc_entries_SOURCES = tests/mc/entries.c
tests_mc_epochs_SOURCES = tests/mc/epochs.c
tests_mc_fetches_SOURCES = tests/mc/fetches.c
tests_mc_index_SOURCES = tests/mc/index.c
tests_mc_lanes_SOURCES = tests/mc/lanes.c
tests_mc_litmus_SOURCES = tests/mc/litmus.c
tests_mc_owners_SOURCES = tests/mc/owners.c
tests_mc_pages_SOURCES = tests/mc/pages.c
tests_mc_pairs_SOURCES = tests/mc/pairs.c
tests_mc_removal_SOURCES = tests/mc/removal.c
tests_mc_plain_SOURCES = tests/mc/plain.c
tests_mc_repairs_SOURCES = tests/mc/repairs.c
tests_mc_rounds_SOURCES = tests/mc/rounds.c
tests_mc_slots_SOURCES = tests/mc/slots.c
tests_mc_sweeps_SOURCES = tests/mc/sweeps.c
tests_mc_trees_SOURCES = tests/mc/trees.c
tests_mc_wakes_SOURCES = tests/mc/wakes.c

# How twins.sh builds the same with other sources.
MC_ENVIRONMENT = \
	WBC_MC_CC='$(CC)'; export WBC_MC_CC; \
	WBC_MC_CFLAGS='$(MC_CFLAGS) -fsanitize=thread'; export WBC_MC_CFLAGS; \
	WBC_MC_LINK='$(MC_LINK)'; export WBC_MC_LINK;
endif

tests_mc_checks_CPPFLAGS = $(MC_HOOKED)
tests_mc_checks_CFLAGS = $(MC_CFLAGS)
tests_mc_checks_LDFLAGS = $(MC_LINK)
tests_mc_checks_LDADD = $(MC_LIBS)

tests_mc_edges_CPPFLAGS = $(MC_HOOKED)
tests_mc_edges_CFLAGS = $(MC_CFLAGS)
tests_mc_edges_LDFLAGS = $(MC_LINK)
tests_mc_edges_LDADD = $(MC_LIBS)

tests_mc_edges_repair_CPPFLAGS = $(MC_HOOKED)
tests_mc_edges_repair_CFLAGS = $(MC_CFLAGS)
tests_mc_edges_repair_LDFLAGS = $(MC_LINK)
tests_mc_edges_repair_LDADD = $(MC_LIBS)

tests_mc_edges_round_CPPFLAGS = $(MC_HOOKED)
tests_mc_edges_round_CFLAGS = $(MC_CFLAGS)
tests_mc_edges_round_LDFLAGS = $(MC_LINK)
tests_mc_edges_round_LDADD = $(MC_LIBS)

tests_mc_entries_CPPFLAGS = $(MC_HOOKED)
tests_mc_entries_CFLAGS = $(MC_CFLAGS)
tests_mc_entries_LDFLAGS = $(MC_LINK)
tests_mc_entries_LDADD = $(MC_LIBS)

tests_mc_epochs_CPPFLAGS = $(MC_HOOKED)
tests_mc_epochs_CFLAGS = $(MC_CFLAGS)
tests_mc_epochs_LDFLAGS = $(MC_LINK)
tests_mc_epochs_LDADD = $(MC_LIBS)

tests_mc_fetches_CPPFLAGS = $(MC_HOOKED)
tests_mc_fetches_CFLAGS = $(MC_CFLAGS)
tests_mc_fetches_LDFLAGS = $(MC_LINK)
tests_mc_fetches_LDADD = $(MC_LIBS)

tests_mc_index_CPPFLAGS = $(MC_HOOKED)
tests_mc_index_CFLAGS = $(MC_CFLAGS)
tests_mc_index_LDFLAGS = $(MC_LINK)
tests_mc_index_LDADD = $(MC_LIBS)

tests_mc_lanes_CPPFLAGS = $(MC_HOOKED)
tests_mc_lanes_CFLAGS = $(MC_CFLAGS)
tests_mc_lanes_LDFLAGS = $(MC_LINK)
tests_mc_lanes_LDADD = $(MC_LIBS)

tests_mc_litmus_CPPFLAGS = $(MC_HOOKED)
tests_mc_litmus_CFLAGS = $(MC_CFLAGS)
tests_mc_litmus_LDFLAGS = $(MC_LINK)
tests_mc_litmus_LDADD = $(MC_LIBS)

tests_mc_owners_CPPFLAGS = $(MC_HOOKED)
tests_mc_owners_CFLAGS = $(MC_CFLAGS)
tests_mc_owners_LDFLAGS = $(MC_LINK)
tests_mc_owners_LDADD = $(MC_LIBS)

tests_mc_pages_CPPFLAGS = $(MC_HOOKED)
tests_mc_pages_CFLAGS = $(MC_CFLAGS)
tests_mc_pages_LDFLAGS = $(MC_LINK)
tests_mc_pages_LDADD = $(MC_LIBS)
tests_mc_pairs_CPPFLAGS = $(MC_HOOKED)
tests_mc_pairs_CFLAGS = $(MC_CFLAGS)
tests_mc_pairs_LDFLAGS = $(MC_LINK)
tests_mc_pairs_LDADD = $(MC_LIBS)

tests_mc_removal_CPPFLAGS = $(MC_HOOKED)
tests_mc_removal_CFLAGS = $(MC_CFLAGS)
tests_mc_removal_LDFLAGS = $(MC_LINK)
tests_mc_removal_LDADD = $(MC_LIBS)

tests_mc_plain_CPPFLAGS = $(MC_HOOKED)
tests_mc_plain_CFLAGS = $(MC_CFLAGS)
tests_mc_plain_LDFLAGS = $(MC_LINK)
tests_mc_plain_LDADD = $(MC_LIBS)
tests_mc_repairs_CPPFLAGS = $(MC_HOOKED)
tests_mc_repairs_CFLAGS = $(MC_CFLAGS)
tests_mc_repairs_LDFLAGS = $(MC_LINK)
tests_mc_repairs_LDADD = $(MC_LIBS)

tests_mc_rounds_CPPFLAGS = $(MC_HOOKED)
tests_mc_rounds_CFLAGS = $(MC_CFLAGS)
tests_mc_rounds_LDFLAGS = $(MC_LINK)
tests_mc_rounds_LDADD = $(MC_LIBS)

tests_mc_slots_CPPFLAGS = $(MC_HOOKED)
tests_mc_slots_CFLAGS = $(MC_CFLAGS)
tests_mc_slots_LDFLAGS = $(MC_LINK)
tests_mc_slots_LDADD = $(MC_LIBS)

tests_mc_sweeps_CPPFLAGS = $(MC_HOOKED)
tests_mc_sweeps_CFLAGS = $(MC_CFLAGS)
tests_mc_sweeps_LDFLAGS = $(MC_LINK)
tests_mc_sweeps_LDADD = $(MC_LIBS)

tests_mc_trees_CPPFLAGS = $(MC_HOOKED)
tests_mc_trees_CFLAGS = $(MC_CFLAGS)
tests_mc_trees_LDFLAGS = $(MC_LINK)
tests_mc_trees_LDADD = $(MC_LIBS)

tests_mc_wakes_CPPFLAGS = $(MC_HOOKED)
tests_mc_wakes_CFLAGS = $(MC_CFLAGS)
tests_mc_wakes_LDFLAGS = $(MC_LINK)
tests_mc_wakes_LDADD = $(MC_LIBS)

# Each memory order weaker in turn.
mutants: $(MC_TESTS)
	@$(AM_TESTS_ENVIRONMENT) $(BASH_SHELL) $(srcdir)/tests/mc/mutants.sh --search
mc-coverage: $(MC_TESTS)
	@$(AM_TESTS_ENVIRONMENT) $(BASH_SHELL) $(srcdir)/tests/mc/coverage.sh
.PHONY: mutants mc-coverage
