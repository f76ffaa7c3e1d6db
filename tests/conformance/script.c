/* SPDX-License-Identifier: MIT */
/* See script.h. */
#include "script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- variables ----------------------------------------------------------- */

struct var {
	struct var *next;
	char *name, *value;
};

struct vars {
	struct var *first;
};

struct vars *vars_new(void)
{
	return calloc(1, sizeof(struct vars));
}

void vars_free(struct vars *vars)
{
	struct var *var;

	while ((var = vars->first)) {
		vars->first = var->next;
		free(var->name);
		free(var->value);
		free(var);
	}
	free(vars);
}

void vars_set(struct vars *vars, const char *name, const char *value)
{
	struct var *var;

	for (var = vars->first; var; var = var->next) {
		if (!strcmp(var->name, name)) {
			free(var->value);
			var->value = strdup(value);
			return;
		}
	}
	var = calloc(1, sizeof(*var));
	var->name = strdup(name);
	var->value = strdup(value);
	var->next = vars->first;
	vars->first = var;
}

const char *vars_get(const struct vars *vars, const char *name)
{
	const struct var *var;

	for (var = vars->first; var; var = var->next)
		if (!strcmp(var->name, name))
			return var->value;
	return "";
}

/* ---- tokens -------------------------------------------------------------- */

struct parser {
	const char *pos;
	const struct vars *vars;
	const char *why;
	struct token *token;
};

static void put(struct parser *p, const char *bytes, size_t len)
{
	if (p->token->len + len > TOKEN_SIZE) {
		p->why = "too long";
		return;
	}
	memcpy(p->token->bytes + p->token->len, bytes, len);
	p->token->len += len;
	p->token->bytes[p->token->len] = 0;
}

static bool in_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* A name, of which $v in braces may be a part: ${t$i} */
static bool parse_name(struct parser *p, bool braced, char *name, size_t size)
{
	const char *part;
	char inner[32];
	size_t n = 0;

	while (n + 1 < size) {
		if (braced && *p->pos == '$') {
			p->pos++;
			if (!parse_name(p, false, inner, sizeof(inner)))
				return false;
			part = vars_get(p->vars, inner);
			n += snprintf(name + n, size - n, "%s", part);
		} else if (in_name(*p->pos)) {
			name[n++] = *p->pos++;
		} else {
			break;
		}
	}
	if (n >= size)
		return false;
	name[n] = 0;
	return n > 0;
}

/* $v or ${v} or ${v:5}; the dollar is behind us */
static void parse_variable(struct parser *p)
{
	bool braced = *p->pos == '{';
	size_t width = 0, len;
	const char *value;
	char name[64];

	p->pos += braced;
	if (!parse_name(p, braced, name, sizeof(name))) {
		p->why = "bad variable";
		return;
	}
	if (braced && *p->pos == ':')
		width = strtoul(p->pos + 1, (char **)&p->pos, 10);
	if (braced && *p->pos++ != '}') {
		p->why = "} missing";
		return;
	}
	value = vars_get(p->vars, name);
	for (len = strlen(value); len < width; len++)
		put(p, "0", 1);
	put(p, value, strlen(value));
}

static void parse_escape(struct parser *p)
{
	static const char from[] = "0nrt", to[] = "\0\n\r\t";
	char hex[3] = "", c;

	c = *p->pos++;
	if (c == 'x' && isxdigit((unsigned char)p->pos[0]) &&
	    isxdigit((unsigned char)p->pos[1])) {
		memcpy(hex, p->pos, 2);
		p->pos += 2;
		c = strtoul(hex, NULL, 16);
	} else if (c && strchr(from, c)) {
		c = to[strchr(from, c) - from];
	} else if (!c) {
		p->why = "lonely backslash";
		return;
	}
	put(p, &c, 1);
}

static void parse_piece(struct parser *p);

/* {x*N}; the brace is behind us */
static void parse_repeat(struct parser *p)
{
	size_t from = p->token->len, len, count;
	char *piece;

	while (!p->why && *p->pos && *p->pos != '*')
		parse_piece(p);
	if (p->why || !*p->pos) {
		p->why = "* missing in {}";
		return;
	}
	p->pos++;
	len = p->token->len - from;
	piece = malloc(len + 1);
	memcpy(piece, p->token->bytes + from, len);
	p->token->len = from;
	if (*p->pos == '$') {
		char name[64] = "";

		p->pos++;
		parse_name(p, false, name, sizeof(name));
		count = strtoul(vars_get(p->vars, name), NULL, 10);
	} else {
		count = strtoul(p->pos, (char **)&p->pos, 10);
	}
	if (*p->pos++ != '}')
		p->why = "} missing";
	while (!p->why && count--)
		put(p, piece, len);
	free(piece);
}

static void parse_piece(struct parser *p)
{
	switch (*p->pos) {
	case '\\':
		p->pos++;
		parse_escape(p);
		break;
	case '$':
		p->pos++;
		parse_variable(p);
		break;
	case '{':
		p->pos++;
		parse_repeat(p);
		break;
	default:
		put(p, p->pos++, 1);
	}
}

static void parse_token(struct parser *p)
{
	p->token->bytes = malloc(TOKEN_SIZE + 1);
	p->token->bytes[0] = 0;
	p->token->len = 0;
	p->token->text = *p->pos == '"';
	if (!p->token->text) {
		while (!p->why && *p->pos && !isspace((unsigned char)*p->pos))
			parse_piece(p);
		return;
	}
	p->pos++;
	while (!p->why && *p->pos && *p->pos != '"')
		parse_piece(p);
	if (*p->pos++ != '"')
		p->why = "\" missing";
}

bool tokens_parse(struct tokens *tokens, const char *line,
		  const struct vars *vars, const char **why)
{
	struct parser p = {line, vars, NULL, NULL};

	tokens->count = 0;
	while (!p.why) {
		while (isspace((unsigned char)*p.pos))
			p.pos++;
		if (!*p.pos || *p.pos == '#')
			return true;
		if (tokens->count == TOKENS_MAX) {
			p.why = "too many words";
			break;
		}
		p.token = &tokens->token[tokens->count++];
		parse_token(&p);
	}
	*why = p.why;
	return false;
}

void tokens_free(struct tokens *tokens)
{
	while (tokens->count)
		free(tokens->token[--tokens->count].bytes);
}

bool token_is(const struct token *token, const char *word)
{
	return !token->text && !strcmp(token->bytes, word);
}

size_t tokens_payload(const struct tokens *tokens, int from, int to, char *buf,
		      size_t size)
{
	const struct token *token;
	size_t len = 0, n;

	for (; from < to; from++) {
		token = &tokens->token[from];
		n = token->len + !token->text; /* a word with its zero byte */
		if (len + n > size)
			break;
		memcpy(buf + len, token->bytes, n);
		len += n;
	}
	return len;
}

bool tokens_match(const struct tokens *tokens, int from, int to,
		  const char *bytes, size_t len, struct vars *vars)
{
	const struct token *token;
	const char *zero;
	size_t n;

	for (; from < to; from++) {
		token = &tokens->token[from];
		if (token_is(token, "..."))
			return true;
		if (token_is(token, "*") ||
		    (!token->text && token->bytes[0] == '?')) {
			zero = memchr(bytes, 0, len);
			if (!zero)
				return false;
			if (token->bytes[0] == '?')
				vars_set(vars, token->bytes + 1, bytes);
			n = zero + 1 - bytes;
		} else {
			n = token->len + !token->text;
			if (n > len || memcmp(bytes, token->bytes, n))
				return false;
		}
		bytes += n;
		len -= n;
	}
	return len == 0;
}

/* ---- files --------------------------------------------------------------- */

static char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash ? slash + 1 : path);
	char *dot = strrchr(name, '.');

	if (dot)
		*dot = 0;
	return name;
}

static bool is_blank(const char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	return !*s || *s == '#';
}

struct script *script_load(const char *path)
{
	char *text = NULL, *more = NULL;
	struct script *script;
	size_t size = 0;
	FILE *file = fopen(path, "r");
	int number = 0, first = 1;
	ssize_t n;

	if (!file)
		return NULL;
	script = calloc(1, sizeof(*script));
	script->name = base_name(path);
	while ((n = getline(&text, &size, file)) >= 0) {
		number++;
		while (n && isspace((unsigned char)text[n - 1]))
			text[--n] = 0;
		if (!more) {
			first = number;
			more = strdup("");
		}
		more = realloc(more, strlen(more) + n + 1);
		strcat(more, text);
		if (n && text[n - 1] == '\\') {
			more[strlen(more) - 1] = 0;
			continue;
		}
		if (is_blank(more)) {
			free(more);
		} else {
			script->line = realloc(script->line,
					       (script->count + 1) *
						       sizeof(*script->line));
			script->line[script->count++] =
				(struct line){first, more};
		}
		more = NULL;
	}
	free(more);
	free(text);
	fclose(file);
	return script;
}

void script_free(struct script *script)
{
	while (script->count)
		free(script->line[--script->count].text);
	free(script->line);
	free(script->name);
	free(script);
}
