/* SPDX-License-Identifier: MIT */
/* Copyright the wbcshm authors */

/* What is JSON, what is UTF-8, and that no text takes long or much to tell. */
#include "shm/json.h"

#include <stdbool.h>
#include <string.h>

#include "api/wbc_table.h"
#include "shm/utf8.h"
#include "unit/dice.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* With a NUL inside, where the literal has one. */
#define T(literal) literal, sizeof(literal) - 1

struct text {
	const char *p;
	size_t bytes;
	bool good;
	const char *what;
};

static bool is_json(const char *p, size_t bytes)
{
	char *exact = dice_exact(p, bytes);
	bool good = wbci_json_valid(exact, bytes);

	free(exact);
	return good;
}

static void test_texts(void)
{
	static const struct text texts[] = {
		{T("{}"), true, "an empty object"},
		{T("[]"), true, "an empty array"},
		{T(" \t\n\r[ ] \t\n\r"), true, "white space around"},
		{T("{\"a\":{\"b\":[1,{},[],\"\"]},\"a\":null}"), true,
	         "a name that comes twice"},
		{T("[true,false,null]"), true, "the three words"},
		{T("\"\""), true, "an empty string alone"},
		{T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uABcd\""), true,
	         "every escape"},
		{T("\"\\u0000\\ud800\""), true,
	         "an escaped NUL and half a pair"},
		{T("\"\x7f\xc3\xa9\xed\x9f\xbf\xf4\x8f\xbf\xbf\""), true,
	         "characters of one to four bytes"},
		{T("0"), true, "zero"},
		{T("-0"), true, "minus zero"},
		{T("-1.0e+10"), true, "a number with all parts"},
		{T("1E400"), true, "a number larger than any double"},
		{T("12345678901234567890123"), true, "a long integer"},
		{T(""), false, "nothing"},
		{T(" "), false, "white space alone"},
		{T("{"), false, "an object that does not end"},
		{T("["), false, "an array that does not end"},
		{T("[1"), false, "an array that ends behind a value"},
		{T("[1,"), false, "an array that ends behind a comma"},
		{T("[1,]"), false, "a comma before the end"},
		{T("[,1]"), false, "a comma at the start"},
		{T("[1 2]"), false, "a comma that is missing"},
		{T("[1}"), false, "the other bracket"},
		{T("{\"a\":1]"), false, "the other brace"},
		{T("{\"a\"}"), false, "a name without a value"},
		{T("{\"a\":}"), false, "a colon without a value"},
		{T("{\"a\" 1}"), false, "a colon that is missing"},
		{T("{\"a\":1,}"), false, "a comma before the end of an object"},
		{T("{1:2}"), false, "a name that is no string"},
		{T("{a:2}"), false, "a name without quotes"},
		{T("{,}"), false, "a comma in an empty object"},
		{T("1 2"), false, "two values"},
		{T("[]]"), false, "a bracket too many"},
		{T("tru"), false, "a part of a word"},
		{T("truex"), false, "more than a word"},
		{T("True"), false, "a word in capitals"},
		{T("nan"), false, "NaN"},
		{T("-Infinity"), false, "an infinity"},
		{T("01"), false, "a zero before a number"},
		{T("-"), false, "a sign alone"},
		{T("+1"), false, "a plus"},
		{T("1."), false, "a point without digits"},
		{T(".5"), false, "a point without a digit before"},
		{T("1e"), false, "an exponent without digits"},
		{T("1e+"), false, "an exponent with a sign alone"},
		{T("0x10"), false, "hexadecimal digits"},
		{T("\""), false, "a string that does not end"},
		{T("\"\\\""), false, "a string that ends in an escape"},
		{T("\"\\"), false, "an escape that ends"},
		{T("\"\\x\""), false, "an unknown escape"},
		{T("\"\\\0\""), false, "an escape of NUL"},
		{T("\"\\u12g4\""), false, "an escape with another digit"},
		{T("\"\\u12\""), false, "an escape that is short"},
		{T("\"\n\""), false, "a line's end in a string"},
		{T("\"\0\""), false, "a NUL in a string"},
		{T("\"\xff\""), false, "a byte that is no UTF-8"},
		{T("\"\xc3\""), false, "half a character"},
		{T("\"\xed\xa0\x80\""), false, "a surrogate"},
		{T("'a'"), false, "single quotes"},
		{T("[1]//"), false, "a comment"},
		{T("\xef\xbb\xbf[]"), false, "a byte order mark"},
		{T("[]\0"), false, "a NUL behind"},
		{T("\v[]"), false, "other white space"},
	};

	for (size_t i = 0; i < N(texts); i++)
		tap_ok(is_json(texts[i].p, texts[i].bytes) == texts[i].good,
		       "%s is %s", texts[i].what,
		       texts[i].good ? "JSON" : "no JSON");
}

/* @depth arrays, or objects, in each other, and a value in the innermost. */
static bool is_deep_json(unsigned depth, bool objects)
{
	static char text[8 * 100000];
	char *p = text;

	for (unsigned i = 0; i < depth; i++)
		p = stpcpy(p, objects ? "{\"\":" : "[");
	*p++ = '1';
	for (unsigned i = 0; i < depth; i++)
		*p++ = objects ? '}' : ']';
	return is_json(text, (size_t)(p - text));
}

static void test_depth(void)
{
	static char open[1 << 20];

	for (int objects = 0; objects < 2; objects++) {
		const char *what = objects ? "objects" : "arrays";

		tap_ok(is_deep_json(WBC_JSON_DEPTH, objects),
		       "%d %s in each other are taken", WBC_JSON_DEPTH, what);
		tap_ok(!is_deep_json(WBC_JSON_DEPTH + 1, objects),
		       "one of the %s more is refused", what);
		tap_ok(!is_deep_json(100000, objects),
		       "P7: 100,000 %s in each other are refused, no stack is "
		       "used up",
		       what);
	}
	memset(open, '[', sizeof(open));
	tap_ok(!is_json(open, sizeof(open)),
	       "P7: a mebibyte of brackets is refused");
}

/* By its definition, from the character's number. */
static unsigned slow_utf8(const unsigned char *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned bytes = p[0] < 0x80             ? 1
	                 : (p[0] & 0xe0) == 0xc0 ? 2
	                 : (p[0] & 0xf0) == 0xe0 ? 3
	                 : (p[0] & 0xf8) == 0xf0 ? 4
	                                         : 0;
	uint32_t c = bytes > 1 ? p[0] & (0x7fu >> bytes) : p[0];

	if (!bytes || bytes > n)
		return 0;
	for (unsigned i = 1; i < bytes; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	return c < least[bytes] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)
	               ? 0
	               : bytes;
}

/* Every start of a character, with ends that are near to the limits. */
static void test_characters(void)
{
	static const unsigned char ends[] = {0x00, 0x7f, 0x80, 0x8f, 0x90,
	                                     0x9f, 0xa0, 0xbf, 0xc0};
	unsigned wrong = 0;

	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++)
			for (unsigned c = 0; c < N(ends) * N(ends); c++) {
				unsigned char p[4] = {
					(unsigned char)a, (unsigned char)b,
					ends[c % N(ends)], ends[c / N(ends)]};

				for (size_t n = 1; n <= 4; n++)
					wrong += wbci_utf8_bytes(p, n) !=
					         slow_utf8(p, n);
			}
	tap_is_uint(wrong, 0, "characters are what Unicode says they are");
}

/* One odd byte at each place of each length. */
static void test_ascii(void)
{
	static const unsigned char odd[] = {0x00, 0x80, 0xff};
	unsigned wrong = 0;

	for (size_t n = 1; n < 80; n++) {
		unsigned char text[80];
		unsigned char *exact;

		for (size_t i = 0; i < n; i++)
			text[i] = (unsigned char)(i % 2 ? 0x7f : 0x01);
		exact = dice_exact(text, n);
		wrong += !wbci_utf8_is_ascii(exact, n);
		for (size_t i = 0; i < n * N(odd); i++) {
			exact[i / N(odd)] = odd[i % N(odd)];
			wrong += wbci_utf8_is_ascii(exact, n);
			exact[i / N(odd)] = text[i / N(odd)];
		}
		free(exact);
	}
	tap_is_uint(wrong, 0,
	            "a NUL or a byte that is no ASCII is found at any place");
}

/* What is taken and then changed: an oracle for a part of it. */
static void test_hostile(struct dice *d)
{
	static const char *const seeds[] = {
		"{\"a\":[1,2.5e-3,\"x\\u00e9\\n\"],\"b\":{\"c\":null}}",
		"[[[true]],{\"\":false},-0,\"\xc3\xa9\"]", "\"plain\""};
	enum { ROOM = 256, ROUNDS = 50000 };
	unsigned good = 0, wrong = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		const char *seed = seeds[dice_below(d, N(seeds))];
		unsigned char text[ROOM];
		size_t bytes = strlen(seed);
		char *exact;

		memcpy(text, seed, bytes);
		bytes = dice_mutate(d, text, bytes, ROOM - 1);
		exact = dice_exact(text, bytes);
		if (wbci_json_valid(exact, bytes)) {
			good++;
			/* All of it is a text, and no more of it is JSON. */
			wrong += !wbci_utf8_is_text(text, bytes);
			text[bytes] = ',';
			wrong += is_json((char *)text, bytes + 1);
		}
		free(exact);
	}
	tap_diag("%u of %d mutated texts are JSON", good, ROUNDS);
	tap_ok(good > ROUNDS / 100 && good < ROUNDS / 2,
	       "the mutations reach both sides of the validator");
	tap_is_uint(wrong, 0,
	            "P7: what is taken for JSON is UTF-8, and ends there");
}

int main(void)
{
	struct dice d = dice_seeded();

	test_texts();
	test_depth();
	test_characters();
	test_ascii();
	test_hostile(&d);
	return tap_done();
}
