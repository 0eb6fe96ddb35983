/* Words, numbers, bytes in runs, and results. */
#define _GNU_SOURCE
#include "driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int said;

void bad(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("posix-driver: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	said++;
}

void say_result(long result)
{
	if (result >= 0)
		say("ok");
	else
		say("%s", strerrorname_np(errno));
}

void say_bytes(const unsigned char *bytes, size_t length)
{
	size_t at = 0;

	if (length == 0)
		putchar('-');
	while (at < length) {
		size_t end = at + 1;

		while (end < length && bytes[end] == bytes[at])
			end++;
		if (at > 0)
			putchar(',');
		if (bytes[at] == 0)
			putchar('.');
		else if (bytes[at] > ' ' && bytes[at] < 127)
			putchar(bytes[at]);
		else
			printf("%%%02x", bytes[at]);
		if (end - at > 1)
			printf("*%zu", end - at);
		at = end;
	}
	putchar('\n');
}

unsigned char *parse_bytes(const char *text, size_t *length)
{
	unsigned char *bytes = NULL;
	size_t used = 0;

	if (strcmp(text, "-") == 0) {
		*length = 0;
		return malloc(1);
	}
	while (*text != 0) {
		int byte = *text == '.' ? 0 : *(const unsigned char *)text;
		size_t count = 1;

		text++;
		if (byte == '%') {
			char digits[3] = { text[0], text[1], 0 };

			byte = (int)strtol(digits, NULL, 16);
			text += 2;
		}
		if (*text == '*') {
			char *end;

			count = strtoull(text + 1, &end, 10);
			text = end;
		}
		bytes = realloc(bytes, used + count + 1);
		if (bytes == NULL)
			bad("no memory for %zu bytes", used + count);
		memset(bytes + used, byte, count);
		used += count;
		if (*text == ',')
			text++;
	}
	*length = used;
	return bytes;
}

int is(const struct command *command, const char *name)
{
	return strcmp(command->word[0], name) == 0;
}

char *word(const struct command *command, int index)
{
	if (index >= command->count)
		bad("%s: word %d is missing", command->word[0], index);
	return strcmp(command->word[index], "''") == 0 ? "" : command->word[index];
}

char *optional(const struct command *command, int index)
{
	return index < command->count ? command->word[index] : NULL;
}

long long number(const char *text)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 0);
	if (*end != 0 || end == text || errno != 0)
		bad("'%s' is no number", text);
	return value;
}

unsigned octal(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (*end != 0 || end == text)
		bad("'%s' is no octal number", text);
	return (unsigned)value;
}

int has_flag(const struct command *command, int from, const char *flag)
{
	for (int i = from; i < command->count; i++)
		if (strcmp(command->word[i], flag) == 0)
			return 1;
	return 0;
}
