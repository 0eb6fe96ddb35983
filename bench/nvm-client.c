/*
 * The load of the mapping benchmark: maps a file with libnvm and prints one line of JSON.
 *
 *   nvm-client access FILE MIB SECONDS      random loads and stores of 64 bytes, and passes over the whole file
 *   nvm-client touch FILE MIB               the first touch of each page of a new file
 *
 * A file of another filesystem is mapped by the kernel: the same program measures both.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <nvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, LINE = 64, STEPS = 4096 };

static uint64_t sum;

static void die(const char *what)
{
    fprintf(stderr, "nvm-client: %s: %s\n", what, nvm_error());
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static char *map(const char *path, size_t size, int flags)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        die(path);
    char *base = nvm_map(fd, 0, size, PROT_READ | PROT_WRITE, flags);
    if (base == NVM_FAILED)
        die(path);
    close(fd);
    return base;
}

static void load_line(const char *line)
{
    for (int at = 0; at < LINE; at += 8)
        sum += *(const volatile uint64_t *)(line + at);
}

static void store_line(char *line)
{
    for (int at = 0; at < LINE; at += 8)
        *(volatile uint64_t *)(line + at) = sum;
}

/* Lines per second; `store`: stored to instead of loaded. */
static double random_lines(char *base, size_t size, double seconds, int store)
{
    uint64_t state = 88172645463325252u, lines = 0;
    double begin = now(), end;
    do {
        for (int step = 0; step < STEPS; step++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            char *line = base + state % (size / LINE) * LINE;
            if (store)
                store_line(line);
            else
                load_line(line);
        }
        lines += STEPS;
        end = now();
    } while (end - begin < seconds);
    return (double)lines / (end - begin);
}

/* Bytes per second of memcpy out of the file. */
static double sequential(char *base, size_t size, double seconds, int store)
{
    static char buffer[1 << 20];
    uint64_t bytes = 0;
    double begin = now(), end;
    do {
        for (size_t at = 0; at < size; at += sizeof buffer) {
            if (store)
                memcpy(base + at, buffer, sizeof buffer);
            else
                memcpy(buffer, base + at, sizeof buffer);
            __asm__ volatile("" : : "r"(buffer) : "memory");
        }
        bytes += size;
        end = now();
    } while (end - begin < seconds);
    return (double)bytes / (end - begin);
}

static void touch(const char *path, size_t size)
{
    char *base = map(path, size, 0);
    double begin = now();
    for (size_t page = 0; page < size / PAGE; page++)
        base[page * PAGE] = 1;
    double seconds = now() - begin;
    printf("{\"direct\":%d,\"ns_per_page\":%.1f}\n", nvm_is_direct(base, size), seconds * 1e9 / (double)(size / PAGE));
    nvm_unmap(base, size);
}

static void access_all(const char *path, size_t size, double seconds)
{
    char *base = map(path, size, NVM_POPULATE);
    memset(base, 1, size);
    double random_read = random_lines(base, size, seconds, 0), random_write = random_lines(base, size, seconds, 1);
    double sequential_read = sequential(base, size, seconds, 0), sequential_write = sequential(base, size, seconds, 1);
    printf("{\"direct\":%d,\"random_read\":%.0f,\"random_write\":%.0f,\"sequential_read\":%.0f,\"sequential_write\":%.0f}\n",
           nvm_is_direct(base, size), random_read, random_write, sequential_read, sequential_write);
    nvm_unmap(base, size);
}

int main(int count, char **words)
{
    if (count < 4) {
        fputs("usage: nvm-client access FILE MIB SECONDS | touch FILE MIB\n", stderr);
        return 2;
    }
    size_t size = (size_t)strtoul(words[3], NULL, 10) << 20;
    if (strcmp(words[1], "access") == 0 && count == 5)
        access_all(words[2], size, strtod(words[4], NULL));
    else
        touch(words[2], size);
    unlink(words[2]);
    return 0;
}
