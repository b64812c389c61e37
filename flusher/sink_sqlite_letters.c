/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/*
 * Dead letters: rows that the database refused for good, kept beside the
 * ledger in the piece's own transaction.
 */

#include "sink_sqlite.h"

#include <stdlib.h>

#include "letter.h"

static enum verdict bury(struct wbci_sink *s, const char *kind, const char *key,
                         const char *content)
{
	sqlite3_stmt *stmt = wbci_sqlite_bind(s, FIXED_LETTER);
	struct wbci_work *w = s->work;
	const struct wbci_message m = {w->reason, sizeof(w->reason)};
	int code;

	if (!key || !content)
		return wbci_sqlite_no_memory(s);
	sqlite3_bind_int64(stmt, 3, (int64_t)w->piece);
	sqlite3_bind_text(stmt, 4, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 5, key, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 6, content, -1, SQLITE_STATIC);
	sqlite3_bind_int(stmt, 7, s->code);
	sqlite3_bind_text(stmt, 8, s->why, -1, SQLITE_STATIC);
	code = wbci_sqlite_run(s, FIXED_LETTER);
	sqlite3_clear_bindings(stmt);
	if (code != SQLITE_OK)
		return wbci_sqlite_judge(s, code);
	w->refused++;
	wbci_say(&m, 0, "refused: %s; key %.60s; see wbc_dead_letters in %s",
	         s->why, key, s->path);
	return STEP_OK;
}

enum verdict wbci_sqlite_bury_change(struct wbci_sink *s, struct change *c,
                                     bool readable)
{
	const struct wbci_rowset *rs = &s->work->rows;
	struct wbc_value raw =
		wbc_blob("key", wbci_row_key(rs, c->row), c->row->key_len);
	char *key = readable ? wbci_letter_json(c->keys, rs->schema.n_keys)
	                     : wbci_letter_json(&raw, 1);
	char *content = wbci_letter_change(rs, c->row);
	enum verdict v = bury(s, c->row->set ? "update" : "add", key, content);

	free(key);
	free(content);
	return v;
}

enum verdict wbci_sqlite_bury_insert(struct wbci_sink *s,
                                     const struct wbc_value *values, int n)
{
	const struct wbci_schema *schema = &s->work->rows.schema;
	struct wbc_value keys[WBC_COLUMNS_MAX];
	unsigned n_keys = 0;
	char *key, *content;
	enum verdict v;

	n = n < 0 ? 0 : n;
	for (int i = 0; i < n; i++) {
		int column = wbci_schema_column(schema, values[i].name);

		if (column >= 0 && schema->columns[column].role == ROLE_KEY)
			keys[n_keys++] = values[i];
	}
	key = wbci_letter_json(keys, n_keys);
	content = wbci_letter_json(values, (unsigned)n);
	v = bury(s, "insert", key, content);
	free(key);
	free(content);
	return v;
}
