/*
 * The load of the benchmark: runs one case in one directory and prints one line of JSON.
 *
 *   client [--seconds S] [--warmup S] [--processes N] [--file-mib M] [--verify] CASE DIRECTORY
 *
 * "prepare" makes the files the other cases work on and must have run first.  Every process of a
 * case keeps one request in flight (queue depth 1).  Latencies go into a histogram with 64 steps
 * per power of two, so that the percentiles are exact to 1.6 % and memory does not grow.
 * --verify checks the stamp of every block that is read; a server that keeps no data needs it off.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PROCESSES_MAX = 64,
    HISTOGRAM_STEP_BITS = 6,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
    HISTOGRAM_BUCKETS = 64 * HISTOGRAM_STEPS,
};

static const uint64_t SEED = 0x9e3779b97f4a7c15u;

/* What one process measured; lives in memory shared with the parent. */
struct result {
    uint64_t operations;
    uint64_t elapsed_ns;
    uint64_t histogram[HISTOGRAM_BUCKETS];
};

void die(const char *format, ...)
{
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fputs("client: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- histogram ---------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < HISTOGRAM_STEPS)
        return (unsigned)ns;
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    unsigned step = (unsigned)(ns >> (exponent - HISTOGRAM_STEP_BITS)) - HISTOGRAM_STEPS;
    return (exponent - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS + step;
}

static double bucket_middle_ns(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t low = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << shift;
    return (double)low + (double)(1ull << shift) / 2;
}

static double percentile_us(const struct result *total, double fraction)
{
    uint64_t wanted = (uint64_t)((double)total->operations * fraction);
    uint64_t seen = 0;
    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += total->histogram[bucket];
        if (seen > wanted)
            return bucket_middle_ns(bucket) / 1000;
    }
    return 0;
}

/* ---- measuring ---------------------------------------------------------------------------- */

static void sleep_until(uint64_t time_ns)
{
    struct timespec time = { .tv_sec = (time_t)(time_ns / 1000000000u), .tv_nsec = (long)(time_ns % 1000000000u) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        continue;
}

static void measure(const struct bench_case *bench, struct load *load, struct result *result,
                    uint64_t start_ns, uint64_t warmup_ns, uint64_t length_ns)
{
    bench->begin(load);
    sleep_until(start_ns);
    while (now_ns() < start_ns + warmup_ns)
        bench->step(load);
    uint64_t begin = now_ns();
    uint64_t before = begin;
    do {
        bench->step(load);
        uint64_t after = now_ns();
        result->histogram[bucket_of(after - before)]++;
        result->operations++;
        before = after;
    } while (before - begin < length_ns);
    result->elapsed_ns = before - begin;
}

static void print_result(const char *name, int processes, const struct result *results, struct result *total)
{
    double rate = 0;
    uint64_t longest_ns = 0;
    for (int index = 0; index < processes; index++) {
        const struct result *one = &results[index];
        total->operations += one->operations;
        rate += (double)one->operations * 1e9 / (double)one->elapsed_ns;
        if (one->elapsed_ns > longest_ns)
            longest_ns = one->elapsed_ns;
        for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
            total->histogram[bucket] += one->histogram[bucket];
    }
    printf("{\"case\":\"%s\",\"processes\":%d,\"operations\":%llu,\"seconds\":%.6f,"
           "\"operationsPerSecond\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f}\n",
           name, processes, (unsigned long long)total->operations, (double)longest_ns / 1e9, rate,
           percentile_us(total, 0.50), percentile_us(total, 0.99));
}

/* Runs `processes` copies of the case at the same time; returns 0 when all of them succeeded. */
static int run_case(const struct bench_case *bench, struct load *load, double seconds, double warmup)
{
    size_t size = sizeof(struct result) * (size_t)(load->processes + 1);
    struct result *results = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED)
        die("mmap of the results");
    uint64_t start_ns = now_ns() + 20000000u;
    for (int index = 0; index < load->processes; index++) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (child > 0)
            continue;
        load->index = index;
        load->random = SEED * (uint64_t)(index + 1);
        measure(bench, load, &results[index], start_ns, (uint64_t)(warmup * 1e9), (uint64_t)(seconds * 1e9));
        exit(0);
    }
    int failed = 0;
    for (int index = 0; index < load->processes; index++) {
        int status;
        if (wait(&status) < 0)
            die("wait");
        failed |= status != 0;
    }
    if (!failed)
        print_result(bench->name, load->processes, results, &results[load->processes]);
    return failed;
}

static const struct bench_case *find_case(const char *name)
{
    for (const struct bench_case *bench = bench_cases; bench->name != NULL; bench++)
        if (strcmp(bench->name, name) == 0)
            return bench;
    return NULL;
}

static int usage(void)
{
    fputs("usage: client [--seconds S] [--warmup S] [--processes N] [--file-mib M] [--verify] CASE DIRECTORY\n"
          "cases: prepare", stderr);
    for (const struct bench_case *bench = bench_cases; bench->name != NULL; bench++)
        fprintf(stderr, " %s", bench->name);
    fputc('\n', stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seconds", required_argument, NULL, 's' },   { "warmup", required_argument, NULL, 'w' },
        { "processes", required_argument, NULL, 'p' }, { "file-mib", required_argument, NULL, 'm' },
        { "verify", no_argument, NULL, 'v' },          { NULL, 0, NULL, 0 },
    };
    double seconds = 1, warmup = 0.1;
    struct load load = { .fd = -1, .processes = 1, .file_size = 256ull << 20, .random = SEED };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's': seconds = atof(optarg); break;
        case 'w': warmup = atof(optarg); break;
        case 'p': load.processes = atoi(optarg); break;
        case 'm': load.file_size = strtoull(optarg, NULL, 10) << 20; break;
        case 'v': load.verify = 1; break;
        default: return usage();
        }
    }
    if (argc - optind != 2 || seconds <= 0 || warmup < 0 || load.processes < 1 ||
        load.processes > PROCESSES_MAX || load.file_size < TRANSFER_SIZE)
        return usage();
    const char *name = argv[optind];
    if (chdir(argv[optind + 1]) != 0)
        die("cannot enter %s", argv[optind + 1]);
    load.buffer = mmap(NULL, TRANSFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (load.buffer == MAP_FAILED)
        die("mmap of the buffer");
    memset(load.buffer, 0x5a, TRANSFER_SIZE);
    if (strcmp(name, "prepare") == 0) {
        prepare(&load);
        return 0;
    }
    const struct bench_case *bench = find_case(name);
    return bench == NULL ? usage() : run_case(bench, &load, seconds, warmup);
}
