# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

noinst_LTLIBRARIES += shm/libshm.la
shm_libshm_la_CFLAGS = $(LIB_CFLAGS)
shm_libshm_la_SOURCES = \
	shm/cell.c \
	shm/cell.h \
	shm/client.c \
	shm/client.h \
	shm/copy.h \
	shm/entry.c \
	shm/entry.h \
	shm/epoch.c \
	shm/epoch.h \
	shm/fetch.c \
	shm/fetch.h \
	shm/hot.h \
	shm/index.c \
	shm/index.h \
	shm/json.c \
	shm/json.h \
	shm/key.c \
	shm/key.h \
	shm/lane.c \
	shm/lane.h \
	shm/layout.h \
	shm/long.c \
	shm/long.h \
	shm/mark.c \
	shm/mark.h \
	shm/message.c \
	shm/message.h \
	shm/order.h \
	shm/page.c \
	shm/page.h \
	shm/plain.c \
	shm/plain.h \
	shm/prune.c \
	shm/prune.h \
	shm/reap.c \
	shm/record.c \
	shm/record.h \
	shm/remove.c \
	shm/remove.h \
	shm/round.c \
	shm/round.h \
	shm/schema.c \
	shm/schema.h \
	shm/seen.c \
	shm/segment.c \
	shm/segment.h \
	shm/segment_check.c \
	shm/segment_check.h \
	shm/segment_create.c \
	shm/segment_path.c \
	shm/sweep.c \
	shm/sweep.h \
	shm/table.c \
	shm/table.h \
	shm/tnode.c \
	shm/tnode.h \
	shm/tree.c \
	shm/tree.h \
	shm/tree_edit.c \
	shm/tree_path.c \
	shm/tree_path.h \
	shm/tree_read.c \
	shm/utf8.c \
	shm/utf8.h \
	shm/value.c \
	shm/value.h \
	shm/wake.c \
	shm/wake.h \
	shm/walk.c \
	shm/walk.h
