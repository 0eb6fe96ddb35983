/* The words of one line of the case language (test/posix/case.ts), and what the files of the driver share. */
#ifndef NVMFS_POSIX_DRIVER_H
#define NVMFS_POSIX_DRIVER_H

#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

#define WORDS_MAX 64
#define SLOTS_MAX 64

/* A command: word[0] is its name. Words have no spaces in them; {c*n} is expanded already. */
struct command {
	int count;
	char *word[WORDS_MAX];
};

/* Runs the command and says its result; returns 0 when it is no command of this file. */
int names_command(const struct command *command);
int files_command(const struct command *command);
int attributes_command(const struct command *command);
int directories_command(const struct command *command);
int mappings_command(const struct command *command);
int extended_command(const struct command *command);

/* The result of the line: the text, `ok`, or the name of errno. Exactly one of them per line. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_result(long result);
void say_bytes(const unsigned char *bytes, size_t length);

/* Ends the driver with a message: the table, not the filesystem, is wrong. */
void bad(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

int is(const struct command *command, const char *name);
/* The word, or bad(); an absent optional word is NULL. */
char *word(const struct command *command, int index);
char *optional(const struct command *command, int index);
long long number(const char *text);
unsigned octal(const char *text);
/* Whether the words from `from` on have the flag. */
int has_flag(const struct command *command, int from, const char *flag);

/* Descriptors by the names of the table; `-` is no slot: the descriptor is closed at once. */
int slot(const char *name);
void set_slot(const char *name, int descriptor);
void close_slot(const char *name);
void close_slots(void);
void close_streams(void);
void unmap_all(void);

/* `x*5,y,.*3`: bytes in runs; `.` is a zero byte and `-` nothing at all. The result is the caller's to free. */
unsigned char *parse_bytes(const char *text, size_t *length);

#endif
