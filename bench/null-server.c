/*
 * The yardstick of the benchmark: a FUSE server on raw /dev/fuse that answers every request at
 * once.  What is left of a request's time is the kernel's and the scheduler's; what NVMFS takes
 * more is its own cost.
 *
 *   null-server [--poll] [--spin US] [--no-copy] [--memory-kib N] [--async-dio] DIRECTORY
 *
 * It negotiates what NVMFS negotiates, keeps names in memory, and no data: READ answers from a
 * memory buffer, WRITE copies into it (--no-copy: not even that).  The buffer is addressed by the
 * file offset modulo its size, so that --memory-kib chooses between a buffer that stays in the
 * cache and one that behaves like a medium of that size.
 * --poll reads without blocking and waits in poll(2), as a server with an event loop must;
 * --spin US keeps reading for so long before it waits.
 * Runs in the foreground, prints "ready" when the kernel has finished INIT, and ends when the
 * filesystem is unmounted (SIGTERM and SIGINT unmount it).
 */
#define _GNU_SOURCE
#include "null-nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Newer than some installed headers. */
#define INIT2_DIRECT_IO_ALLOW_MMAP (1u << 4)

enum {
    WRITE_MAX = 1 << 20,
    PAGES_MAX = WRITE_MAX / 4096,
    REQUEST_MAX = WRITE_MAX + 4096,
    TIMEOUT_S = 86400,
};

struct settings {
    int poll;
    int copy;
    int async_dio;
    uint64_t spin_ns;
    size_t memory_size; /* at least WRITE_MAX, a power of two */
    const char *directory;
};

static struct settings settings = { .copy = 1, .memory_size = WRITE_MAX };
static int device;
static char *request;        /* REQUEST_MAX bytes */
static char *memory;         /* twice memory_size, so that a transfer never wraps */
static char answer[WRITE_MAX];
static const char *mounted_at; /* for the signal handler */

static void die(const char *what)
{
    fprintf(stderr, "null-server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void reply(const struct fuse_in_header *in, int error, const void *data, size_t length)
{
    struct fuse_out_header out = { .len = (uint32_t)(sizeof out + length), .error = -error, .unique = in->unique };
    struct iovec parts[2] = { { &out, sizeof out }, { (void *)data, length } };
    /* ENOENT: the request was interrupted, nobody waits for the answer. */
    if (writev(device, parts, length == 0 ? 1 : 2) < 0 && errno != ENOENT && errno != ENODEV)
        die("reply");
}

static void reply_error(const struct fuse_in_header *in, int error)
{
    reply(in, error, NULL, 0);
}

static void fill_attributes(struct fuse_attr *attributes, uint64_t id)
{
    const struct node *node = node_get(id);
    *attributes = (struct fuse_attr){
        .ino = id, .size = node->size, .blocks = (node->size + 511) / 512, .mode = node->mode,
        .nlink = S_ISDIR(node->mode) ? 2 : 1, .blksize = 4096,
    };
}

/* The kernel holds one reference more after this entry was sent. */
static void fill_entry(struct fuse_entry_out *entry, uint32_t id)
{
    *entry = (struct fuse_entry_out){ .nodeid = id, .entry_valid = TIMEOUT_S, .attr_valid = TIMEOUT_S };
    if (id == 0) /* negative entry */
        return;
    fill_attributes(&entry->attr, id);
    node_get(id)->lookups++;
}

static void serve_init(const struct fuse_in_header *in, const struct fuse_init_in *init)
{
    uint32_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
                      FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_INIT_EXT |
                      (settings.async_dio ? FUSE_ASYNC_DIO : 0);
    uint32_t flags2 = init->flags & FUSE_INIT_EXT ? init->flags2 & INIT2_DIRECT_IO_ALLOW_MMAP : 0;
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_readahead = init->max_readahead,
        .flags = init->flags & wanted, .flags2 = flags2, .max_background = 64, .congestion_threshold = 48,
        .max_write = WRITE_MAX, .time_gran = 1, .max_pages = PAGES_MAX,
    };
    reply(in, 0, &out, sizeof out);
    puts("ready");
    fflush(stdout);
}

static void serve_lookup(const struct fuse_in_header *in, const char *name)
{
    struct fuse_entry_out entry;
    fill_entry(&entry, node_find((uint32_t)in->nodeid, name, strlen(name)));
    reply(in, 0, &entry, sizeof entry);
}

static void serve_attributes(const struct fuse_in_header *in)
{
    struct fuse_attr_out out = { .attr_valid = TIMEOUT_S };
    fill_attributes(&out.attr, in->nodeid);
    reply(in, 0, &out, sizeof out);
}

static void serve_setattr(const struct fuse_in_header *in, const struct fuse_setattr_in *arguments)
{
    struct node *node = node_get(in->nodeid);
    if (arguments->valid & FATTR_SIZE)
        node->size = arguments->size;
    if (arguments->valid & FATTR_MODE)
        node->mode = (node->mode & S_IFMT) | (arguments->mode & ~(uint32_t)S_IFMT);
    serve_attributes(in);
}

static void serve_create(const struct fuse_in_header *in, const struct fuse_create_in *arguments)
{
    const char *name = (const char *)(arguments + 1);
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = { .open = { .open_flags = FOPEN_KEEP_CACHE } };
    uint32_t id = node_find((uint32_t)in->nodeid, name, strlen(name));
    if (id == 0)
        id = node_create((uint32_t)in->nodeid, name, strlen(name), S_IFREG | (arguments->mode & 07777));
    if (id == 0)
        return reply_error(in, ENOSPC);
    fill_entry(&out.entry, id);
    reply(in, 0, &out, sizeof out);
}

static void serve_mkdir(const struct fuse_in_header *in, const struct fuse_mkdir_in *arguments)
{
    const char *name = (const char *)(arguments + 1);
    struct fuse_entry_out entry;
    if (node_find((uint32_t)in->nodeid, name, strlen(name)) != 0)
        return reply_error(in, EEXIST);
    uint32_t id = node_create((uint32_t)in->nodeid, name, strlen(name), S_IFDIR | (arguments->mode & 07777));
    if (id == 0)
        return reply_error(in, ENOSPC);
    fill_entry(&entry, id);
    reply(in, 0, &entry, sizeof entry);
}

static void serve_unlink(const struct fuse_in_header *in, const char *name)
{
    uint32_t id = node_find((uint32_t)in->nodeid, name, strlen(name));
    if (id == 0)
        return reply_error(in, ENOENT);
    node_unlink(id);
    reply_error(in, 0);
}

static void serve_open(const struct fuse_in_header *in, int directory)
{
    struct fuse_open_out out = { .open_flags = FOPEN_KEEP_CACHE | (directory ? FOPEN_CACHE_DIR : 0) };
    reply(in, 0, &out, sizeof out);
}

static void serve_read(const struct fuse_in_header *in, const struct fuse_read_in *arguments)
{
    uint64_t size = node_get(in->nodeid)->size;
    uint64_t left = arguments->offset < size ? size - arguments->offset : 0;
    size_t length = arguments->size < left ? arguments->size : (size_t)left;
    reply(in, 0, memory + (arguments->offset & (settings.memory_size - 1)), length);
}

static void serve_write(const struct fuse_in_header *in, const struct fuse_write_in *arguments)
{
    struct node *node = node_get(in->nodeid);
    struct fuse_write_out out = { .size = arguments->size };
    if (settings.copy)
        memcpy(memory + (arguments->offset & (settings.memory_size - 1)), arguments + 1, arguments->size);
    if (arguments->offset + arguments->size > node->size)
        node->size = arguments->offset + arguments->size;
    reply(in, 0, &out, sizeof out);
}

static void serve_fallocate(const struct fuse_in_header *in, const struct fuse_fallocate_in *arguments)
{
    struct node *node = node_get(in->nodeid);
    if (arguments->mode != 0)
        return reply_error(in, EOPNOTSUPP);
    if (arguments->offset + arguments->length > node->size)
        node->size = arguments->offset + arguments->length;
    reply_error(in, 0);
}

/* A directory offset is the id of the last child sent. */
static void serve_readdir(const struct fuse_in_header *in, const struct fuse_read_in *arguments, int plus)
{
    size_t limit = arguments->size < sizeof answer ? arguments->size : sizeof answer;
    size_t length = 0;
    uint32_t id = (uint32_t)arguments->offset;
    while ((id = node_next_child((uint32_t)in->nodeid, id)) != 0) {
        const struct node *node = node_get(id);
        size_t header = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
        size_t entry_length = FUSE_DIRENT_ALIGN(header + node->name_length);
        if (length + entry_length > limit)
            break;
        struct fuse_dirent *entry = (struct fuse_dirent *)(answer + length);
        if (plus) {
            struct fuse_direntplus *full = (struct fuse_direntplus *)entry;
            fill_entry(&full->entry_out, id);
            entry = &full->dirent;
        }
        entry->ino = id;
        entry->off = id;
        entry->namelen = node->name_length;
        entry->type = node->mode >> 12;
        memcpy(entry->name, node->name, node->name_length);
        length += entry_length;
    }
    reply(in, 0, answer, length);
}

static void serve_statfs(const struct fuse_in_header *in)
{
    struct fuse_statfs_out out = { .st = { .blocks = 1 << 20, .bfree = 1 << 20, .bavail = 1 << 20, .files = NODES_MAX,
                                           .ffree = NODES_MAX, .bsize = 4096, .namelen = NODE_NAME_MAX, .frsize = 4096 } };
    reply(in, 0, &out, sizeof out);
}

static void serve_batch_forget(const struct fuse_batch_forget_in *arguments)
{
    const struct fuse_forget_one *one = (const struct fuse_forget_one *)(arguments + 1);
    for (uint32_t index = 0; index < arguments->count; index++)
        node_forget(one[index].nodeid, one[index].nlookup);
}

static void serve(const struct fuse_in_header *in)
{
    const void *arguments = in + 1;
    if (in->nodeid != 0 && in->opcode != FUSE_FORGET && node_get(in->nodeid) == NULL)
        return reply_error(in, ESTALE);
    switch (in->opcode) {
    case FUSE_INIT: return serve_init(in, arguments);
    case FUSE_LOOKUP: return serve_lookup(in, arguments);
    case FUSE_FORGET: return node_forget(in->nodeid, ((const struct fuse_forget_in *)arguments)->nlookup);
    case FUSE_BATCH_FORGET: return serve_batch_forget(arguments);
    case FUSE_GETATTR: return serve_attributes(in);
    case FUSE_SETATTR: return serve_setattr(in, arguments);
    case FUSE_CREATE: return serve_create(in, arguments);
    case FUSE_MKDIR: return serve_mkdir(in, arguments);
    case FUSE_UNLINK: return serve_unlink(in, arguments);
    case FUSE_OPEN: return serve_open(in, 0);
    case FUSE_OPENDIR: return serve_open(in, 1);
    case FUSE_READ: return serve_read(in, arguments);
    case FUSE_WRITE: return serve_write(in, arguments);
    case FUSE_FALLOCATE: return serve_fallocate(in, arguments);
    case FUSE_READDIR: return serve_readdir(in, arguments, 0);
    case FUSE_READDIRPLUS: return serve_readdir(in, arguments, 1);
    case FUSE_STATFS: return serve_statfs(in);
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR: return reply_error(in, 0);
    case FUSE_INTERRUPT: return; /* every request is answered before the next is read */
    default: return reply_error(in, ENOSYS); /* FLUSH, GETXATTR …: the kernel does not ask again */
    }
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Waits for a request with the device in non-blocking mode: reads for the time to spin, then polls. */
static void wait_for_request(uint64_t *spin_until)
{
    if (settings.spin_ns != 0 && now_ns() < *spin_until)
        return;
    struct pollfd waited = { .fd = device, .events = POLLIN };
    if (poll(&waited, 1, -1) < 0 && errno != EINTR)
        die("poll");
}

static void run(void)
{
    uint64_t spin_until = 0;
    for (;;) {
        ssize_t length = read(device, request, REQUEST_MAX);
        if (length > 0) {
            serve((const struct fuse_in_header *)request);
            if (settings.spin_ns != 0)
                spin_until = now_ns() + settings.spin_ns;
        } else if (errno == EAGAIN) {
            wait_for_request(&spin_until);
        } else if (errno == ENODEV) {
            return; /* unmounted */
        } else if (errno != EINTR && errno != ENOENT) {
            die("read of /dev/fuse");
        }
    }
}

static void unmount(int signal_number)
{
    (void)signal_number;
    umount2(mounted_at, MNT_DETACH); /* the loop ends with ENODEV */
}

static void mount_device(void)
{
    char options[128];
    device = open("/dev/fuse", O_RDWR | O_CLOEXEC | (settings.poll ? O_NONBLOCK : 0));
    if (device < 0)
        die("/dev/fuse");
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", device);
    if (mount("null-server", settings.directory, "fuse.nullserver", MS_NOSUID | MS_NODEV, options) != 0)
        die(settings.directory);
    mounted_at = settings.directory;
    struct sigaction action = { .sa_handler = unmount };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static char *map_memory(size_t size)
{
    char *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (mapped == MAP_FAILED)
        die("memory");
    return mapped;
}

static int usage(void)
{
    fputs("usage: null-server [--poll] [--spin US] [--no-copy] [--memory-kib N] [--async-dio] DIRECTORY\n"
          "       N is a power of two, at least 1024\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "poll", no_argument, NULL, 'p' },              { "spin", required_argument, NULL, 's' },
        { "no-copy", no_argument, NULL, 'n' },           { "copy", no_argument, NULL, 'c' },
        { "memory-kib", required_argument, NULL, 'm' },  { "async-dio", no_argument, NULL, 'a' },
        { NULL, 0, NULL, 0 },
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p': settings.poll = 1; break;
        case 's': settings.poll = 1; settings.spin_ns = strtoull(optarg, NULL, 10) * 1000; break;
        case 'n': settings.copy = 0; break;
        case 'c': settings.copy = 1; break;
        case 'm': settings.memory_size = strtoull(optarg, NULL, 10) << 10; break;
        case 'a': settings.async_dio = 1; break;
        default: return usage();
        }
    }
    if (argc - optind != 1 || settings.memory_size < WRITE_MAX ||
        (settings.memory_size & (settings.memory_size - 1)) != 0)
        return usage();
    settings.directory = argv[optind];
    request = map_memory(REQUEST_MAX);
    memory = map_memory(2 * settings.memory_size);
    nodes_init();
    mount_device();
    run();
    return 0;
}
