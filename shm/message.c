/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

#include "message.h"

#include <stdarg.h>
#include <stdio.h>

int wbci_say(const struct wbci_message *m, int error, const char *format, ...)
{
	va_list args;

	if (m && m->text && m->size) {
		va_start(args, format);
		vsnprintf(m->text, m->size, format, args);
		va_end(args);
	}
	return error;
}
