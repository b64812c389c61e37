# SPDX-License-Identifier: MIT
# Copyright the wbcshm authors

# Installed.  What is not listed here is private to the tree.
include_HEADERS += \
	api/wbc_columns.h \
	api/wbc_error.h \
	api/wbc_flush.h \
	api/wbc_open.h \
	api/wbc_row.h \
	api/wbc_table.h \
	api/wbcshm.h

noinst_LTLIBRARIES += api/libapi.la
api_libapi_la_CFLAGS = $(LIB_CFLAGS)
api_libapi_la_SOURCES = \
	api/handle.h \
	api/row.h \
	api/wbc_columns.c \
	api/wbc_columns_read.c \
	api/wbc_counter.c \
	api/wbc_error.c \
	api/wbc_flush.c \
	api/wbc_insert.c \
	api/wbc_open.c \
	api/wbc_read.c \
	api/wbc_row.c \
	api/wbc_table.c
