# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# What both programs share.
noinst_LTLIBRARIES += tools/libcli.la
tools_libcli_la_SOURCES = \
	tools/cli.c \
	tools/cli.h \
	tools/grid.c \
	tools/grid.h \
	tools/json.c \
	tools/json.h \
	tools/value.c \
	tools/value.h \
	tools/view.c \
	tools/view.h
tools_libcli_la_LIBADD = units/libunits.la

# All but their main(), so that the tests can link them.
noinst_LTLIBRARIES += tools/libdump.la
tools_libdump_la_SOURCES = \
	tools/check.c \
	tools/check.h \
	tools/check_blocks.c \
	tools/check_index.c \
	tools/check_slots.c \
	tools/dump.h \
	tools/dump_check.c \
	tools/dump_keys.c \
	tools/dump_procs.c \
	tools/dump_summary.c \
	tools/summary.h \
	tools/summary_json.c \
	tools/summary_text.c

noinst_LTLIBRARIES += tools/libctl.la
tools_libctl_la_SOURCES = \
	tools/ctl.h \
	tools/ctl_add.c \
	tools/ctl_create.c \
	tools/ctl_flush.c \
	tools/ctl_insert.c \
	tools/ctl_read.c \
	tools/ctl_rm.c \
	tools/ctl_row.c \
	tools/ctl_update.c

bin_PROGRAMS += tools/wbc-shmdump
tools_wbc_shmdump_SOURCES = tools/shmdump.c
tools_wbc_shmdump_LDADD = tools/libdump.la tools/libcli.la $(CLIENT_LIBS)

bin_PROGRAMS += tools/wbc-shmctl
tools_wbc_shmctl_SOURCES = tools/shmctl.c
tools_wbc_shmctl_LDADD = tools/libctl.la tools/libcli.la $(CLIENT_LIBS)
