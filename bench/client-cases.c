/* The cases of the load: what one operation is.  See client.c for how they are measured. */
#define _GNU_SOURCE
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    BLOCK_SIZE = 4096,
    SMALL_DIRECTORY_NAMES = 1000,
    LARGE_DIRECTORY_NAMES = 10000,
    DIRENT_BUFFER_SIZE = 64 * 1024,
};

static const uint64_t STAMP = 0x9e3779b97f4a7c15u;

static uint64_t next_random(struct load *load)
{
    uint64_t x = load->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return load->random = x;
}

/* ---- blocks ------------------------------------------------------------------------------- */

static void stamp_blocks(struct load *load, uint64_t offset, size_t length)
{
    for (size_t at = 0; at < length; at += BLOCK_SIZE) {
        uint64_t stamp = (offset + at) ^ STAMP;
        memcpy(load->buffer + at, &stamp, sizeof stamp);
    }
}

static void check_blocks(const struct load *load, uint64_t offset, size_t length)
{
    for (size_t at = 0; at < length; at += BLOCK_SIZE) {
        uint64_t stamp;
        memcpy(&stamp, load->buffer + at, sizeof stamp);
        if (stamp != ((offset + at) ^ STAMP)) {
            errno = EIO;
            die("wrong data at byte %llu of the data file", (unsigned long long)(offset + at));
        }
    }
}

static void read_at(struct load *load, uint64_t offset, size_t length)
{
    if (pread(load->fd, load->buffer, length, (off_t)offset) != (ssize_t)length)
        die("read of %zu bytes at %llu", length, (unsigned long long)offset);
    if (load->verify)
        check_blocks(load, offset, length);
}

static void write_at(struct load *load, uint64_t offset, size_t length)
{
    stamp_blocks(load, offset, length);
    if (pwrite(load->fd, load->buffer, length, (off_t)offset) != (ssize_t)length)
        die("write of %zu bytes at %llu", length, (unsigned long long)offset);
}

static void open_data(struct load *load, int flags)
{
    load->fd = open("data", flags);
    if (load->fd < 0)
        die("open of the data file (was \"prepare\" run?)");
    /* Sequential cases: every process starts in a part of its own. */
    uint64_t transfers = load->file_size / TRANSFER_SIZE;
    load->position = transfers * (uint64_t)load->index / (uint64_t)load->processes * TRANSFER_SIZE;
}

static void begin_direct_read(struct load *load) { open_data(load, O_RDONLY | O_DIRECT); }
static void begin_direct_write(struct load *load) { open_data(load, O_WRONLY | O_DIRECT); }
static void begin_cached_write(struct load *load) { open_data(load, O_WRONLY); }

static void drop_cache(struct load *load)
{
    int error = posix_fadvise(load->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (error != 0) {
        errno = error;
        die("posix_fadvise");
    }
}

static void begin_cached_read(struct load *load)
{
    open_data(load, O_RDONLY);
    drop_cache(load);
}

static uint64_t random_block(struct load *load)
{
    return next_random(load) % (load->file_size / BLOCK_SIZE) * BLOCK_SIZE;
}

static void step_random_read(struct load *load) { read_at(load, random_block(load), BLOCK_SIZE); }
static void step_random_write(struct load *load) { write_at(load, random_block(load), BLOCK_SIZE); }

/* Returns the next position; true in `*wrapped` when the file starts over. */
static uint64_t next_transfer(struct load *load, int *wrapped)
{
    uint64_t position = load->position;
    *wrapped = position + TRANSFER_SIZE > load->file_size;
    if (*wrapped)
        position = 0;
    load->position = position + TRANSFER_SIZE;
    return position;
}

static void step_sequential_read(struct load *load)
{
    int wrapped;
    read_at(load, next_transfer(load, &wrapped), TRANSFER_SIZE);
}

static void step_sequential_write(struct load *load)
{
    int wrapped;
    write_at(load, next_transfer(load, &wrapped), TRANSFER_SIZE);
}

static void step_cached_read(struct load *load)
{
    int wrapped;
    uint64_t position = next_transfer(load, &wrapped);
    if (wrapped)
        drop_cache(load);
    read_at(load, position, TRANSFER_SIZE);
}

static void step_cached_write(struct load *load)
{
    int wrapped;
    uint64_t position = next_transfer(load, &wrapped);
    if (wrapped)
        drop_cache(load);
    write_at(load, position, TRANSFER_SIZE);
}

/* ---- names -------------------------------------------------------------------------------- */

/* A name no earlier run used, so that the kernel's negative entries never answer. */
static void begin_names(struct load *load)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    int length = snprintf(load->name, sizeof load->name, "small/%llx-%d-",
                          (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec,
                          (int)getpid());
    load->counter = (uint64_t)length;
}

/* Writes the counter behind the prefix by hand: snprintf would be a visible part of the figure. */
static const char *unique_name(struct load *load)
{
    uint64_t prefix = load->counter & 0xff;
    uint64_t number = load->counter >> 8;
    char *end = load->name + prefix;
    do {
        *end++ = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number != 0);
    *end = 0;
    load->counter += 256;
    return load->name;
}

static void step_lookup_missing(struct load *load)
{
    struct stat attributes;
    if (stat(unique_name(load), &attributes) == 0 || errno != ENOENT)
        die("stat of the missing name %s", load->name);
}

static void step_create_unlink(struct load *load)
{
    const char *name = unique_name(load);
    int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
    if (fd < 0)
        die("create of %s", name);
    if (close(fd) != 0)
        die("close of %s", name);
    if (unlink(name) != 0)
        die("unlink of %s", name);
}

static void begin_stat(struct load *load)
{
    struct stat attributes;
    snprintf(load->name, sizeof load->name, "small/file-%05d", load->index);
    if (stat(load->name, &attributes) != 0)
        die("stat of %s (was \"prepare\" run?)", load->name);
}

static void step_stat_cached(struct load *load)
{
    struct stat attributes;
    if (stat(load->name, &attributes) != 0)
        die("stat of %s", load->name);
}

static void begin_nothing(struct load *load) { (void)load; }

/* One step is one complete reading of the large directory. */
static void step_readdir(struct load *load)
{
    int fd = open("large", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        die("open of the large directory");
    long names = 0;
    for (;;) {
        long length = syscall(SYS_getdents64, fd, load->buffer, DIRENT_BUFFER_SIZE);
        if (length < 0)
            die("getdents64");
        if (length == 0)
            break;
        for (long at = 0; at < length; names++)
            at += ((struct dirent64 *)(load->buffer + at))->d_reclen;
    }
    close(fd);
    if (names != LARGE_DIRECTORY_NAMES + 2 && names != LARGE_DIRECTORY_NAMES) {
        errno = EIO;
        die("the large directory has %ld names", names);
    }
}

const struct bench_case bench_cases[] = {
    { "random-read", begin_direct_read, step_random_read },
    { "random-write", begin_direct_write, step_random_write },
    { "lookup-missing", begin_names, step_lookup_missing },
    { "create-unlink", begin_names, step_create_unlink },
    { "sequential-read", begin_direct_read, step_sequential_read },
    { "sequential-write", begin_direct_write, step_sequential_write },
    { "sequential-read-cached", begin_cached_read, step_cached_read },
    { "sequential-write-cached", begin_cached_write, step_cached_write },
    { "stat-cached", begin_stat, step_stat_cached },
    { "readdir", begin_nothing, step_readdir },
    { NULL, NULL, NULL },
};

/* ---- preparation -------------------------------------------------------------------------- */

static void make_names(const char *directory, int count)
{
    if (mkdir(directory, 0755) != 0 && errno != EEXIST)
        die("mkdir of %s", directory);
    for (int index = 0; index < count; index++) {
        char name[64];
        snprintf(name, sizeof name, "%s/file-%05d", directory, index);
        int fd = open(name, O_CREAT | O_WRONLY, 0644);
        if (fd < 0)
            die("create of %s", name);
        close(fd);
    }
}

void prepare(struct load *load)
{
    load->fd = open("data", O_CREAT | O_RDWR, 0644);
    if (load->fd < 0)
        die("create of the data file");
    if (fallocate(load->fd, 0, 0, (off_t)load->file_size) != 0 && errno != EOPNOTSUPP)
        die("fallocate of %llu bytes", (unsigned long long)load->file_size);
    for (uint64_t offset = 0; offset < load->file_size; offset += TRANSFER_SIZE)
        write_at(load, offset, TRANSFER_SIZE);
    if (fsync(load->fd) != 0)
        die("fsync of the data file");
    close(load->fd);
    make_names("small", SMALL_DIRECTORY_NAMES);
    make_names("large", LARGE_DIRECTORY_NAMES);
}
