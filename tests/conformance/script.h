/* SPDX-License-Identifier: MIT */
/*
 * Text of conformance scripts: lines into tokens, tokens into bytes, and
 * patterns that bytes are compared with. What the statements mean is told in
 * run.c; here is how their arguments are spelled.
 *
 *   word      its characters and a zero byte, as strings travel in messages
 *   "text"    its characters alone; \0 \n \\ \" \$ \{ \xHH are understood
 *   $v ${v}   the value of variable v, in words and texts; ${v:5} is padded
 *             with zeroes on the left to five characters
 *             other variables may be part of its name: ${v$i}
 *   {x*100}   x repeated, in words and texts; the count may be a $v
 *   # ...     comment, at the start of a line or after a blank
 *
 * A line that ends in a backslash goes on in the next. In patterns moreover:
 *
 *   *         any one string with its zero byte
 *   ?v        the same, and variable v takes it
 *   ...       anything, to the end
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

/* ---- variables ----------------------------------------------------------- */

struct vars;

struct vars *vars_new(void);
void vars_free(struct vars *vars);
void vars_set(struct vars *vars, const char *name, const char *value);

/* "" for one that was never set */
const char *vars_get(const struct vars *vars, const char *name);

/* ---- tokens -------------------------------------------------------------- */

#define TOKENS_MAX 64
#define TOKEN_SIZE 70000

struct token {
	bool text;  /* was quoted */
	size_t len; /* without the zero byte that is always behind it */
	char *bytes;
};

struct tokens {
	int count;
	struct token token[TOKENS_MAX];
};

/* false: the line is malformed; *why says how. Freed by tokens_free(). */
bool tokens_parse(struct tokens *tokens, const char *line,
		  const struct vars *vars, const char **why);
void tokens_free(struct tokens *tokens);

/* The token is that bare word. */
bool token_is(const struct token *token, const char *word);

/* Puts the bytes of tokens [from, to) together as a payload; the length. */
size_t tokens_payload(const struct tokens *tokens, int from, int to, char *buf,
		      size_t size);

/* Whether the bytes are what the pattern [from, to) says; sets variables. */
bool tokens_match(const struct tokens *tokens, int from, int to,
		  const char *bytes, size_t len, struct vars *vars);

/* ---- files --------------------------------------------------------------- */

struct line {
	int number;
	char *text;
};

struct script {
	char *name; /* without directory and suffix */
	int count;
	struct line *line;
};

/* Lines without comments, blank ones left out; NULL: cannot be read. */
struct script *script_load(const char *path);
void script_free(struct script *script);

#endif /* SCRIPT_H */
