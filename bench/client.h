/* What the parts of the load share: one process's state, and the cases by name. */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdint.h>

enum { TRANSFER_SIZE = 1 << 20 };

/* What one process works with; the current directory is the directory under test. */
struct load {
    int fd;
    int index;              /* which of the processes */
    int processes;
    int verify;
    uint64_t file_size;
    uint64_t position;      /* of the next sequential transfer */
    uint64_t random;        /* state of the generator, never 0 */
    uint64_t counter;       /* makes names unique */
    char *buffer;           /* TRANSFER_SIZE bytes, page-aligned */
    char name[64];
};

struct bench_case {
    const char *name;
    void (*begin)(struct load *);
    void (*step)(struct load *);
};

/* Ends with an entry without a name. */
extern const struct bench_case bench_cases[];

/* Makes the files and directories that the cases work on. */
void prepare(struct load *load);

/* Prints the message and errno, and ends the process. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
