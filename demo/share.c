/*
 * One half of the demo: maps a file of the volume, leaves a message in it, and waits until another program, which has the
 * same file mapped, answers there. No read() and no write() is used.
 *
 *   share FILE
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, FILE_BYTES = 2 * PAGE, WAIT_SECONDS = 20 };
enum turn { NOBODY = 0, C_HAS_WRITTEN = 1, PYTHON_HAS_WRITTEN = 2 };

/* Page 0: the turn and our message; page 1: the answer. Python's half knows the same offsets. */
struct shared {
    _Atomic unsigned turn;
    char message[PAGE - sizeof(unsigned)];
    char answer[PAGE];
};

static int wait_for(_Atomic unsigned *turn, unsigned value)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 1000000};

    for (int ms = 0; ms < WAIT_SECONDS * 1000; ms++) {
        if (atomic_load(turn) == value)
            return 0;
        nanosleep(&pause, NULL);
    }
    return -1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: share FILE\n");
        return 2;
    }
    int fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || ftruncate(fd, FILE_BYTES) != 0) {
        perror(argv[1]);
        return 1;
    }
    struct shared *page = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    snprintf(page->message, sizeof page->message, "a store by the C program, process %ld", (long)getpid());
    atomic_store(&page->turn, C_HAS_WRITTEN);
    printf("C:      stored   \"%s\"\n", page->message);
    fflush(stdout);

    if (wait_for(&page->turn, PYTHON_HAS_WRITTEN) != 0) {
        fprintf(stderr, "C: no answer from the Python program in %d seconds\n", WAIT_SECONDS);
        return 1;
    }
    printf("C:      loaded   \"%.*s\"\n", (int)sizeof page->answer, page->answer);
    if (msync(page, FILE_BYTES, MS_SYNC) != 0) {
        perror("msync");
        return 1;
    }
    printf("C:      msync() has returned: both messages are durable\n");
    return munmap(page, FILE_BYTES) != 0 || close(fd) != 0;
}
