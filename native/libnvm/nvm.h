/* libnvm: maps files of an NVMFS volume straight from the medium. A store reaches the medium itself: no page cache, no copy. See nvm(3). */
#ifndef NVM_H
#define NVM_H

#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* What nvm_map and nvm_attach return when they fail; errno says why, nvm_error() in words. */
#define NVM_FAILED ((void *)-1)

/* Flags of nvm_map. */
/* Fill all holes now, instead of each when it is first touched. */
#define NVM_POPULATE 0x1
/* Fail with EOPNOTSUPP unless the mapping reaches persistent memory: stores are durable after nvm_persist, without a system call. */
#define NVM_SYNC 0x2
/* Fail with EOPNOTSUPP rather than map through the page cache. */
#define NVM_DIRECT 0x4

/*
 * Maps [start, start + length) of an open file, shared with all who have it open. start and length are multiples of the page size. prot: PROT_READ,
 * PROT_WRITE, PROT_EXEC, PROT_NONE, as the file was opened. The address is congruent to start modulo 2 MiB.
 *
 * A page is mapped only when what makes it reachable after a crash is durable. Files of other filesystems, and those whose medium the
 * caller may not open, are mapped by the kernel as by mmap(2).
 *
 * EINVAL: start or length is not a multiple of the page size, length is 0, unknown flags. ENODEV: not a regular file. EACCES: not opened for that. EBADF.
 * ENOMEM: no address space, or more pieces than mappings are allowed (vm.max_map_count). ENOSPC: with NVM_POPULATE, or without permission for userfaultfd,
 * the holes do not fit. EOPNOTSUPP: NVM_SYNC or NVM_DIRECT can't be had.
 */
void *nvm_map(int fd, off_t start, size_t length, int prot, int flags);

/* Ends the mapping of a range: of whole mappings, or of parts. EINVAL: the address is not aligned, or length is 0. */
int nvm_unmap(void *address, size_t length);

/* As mprotect(2). */
int nvm_protect(void *address, size_t length, int prot);

/*
 * Makes what was stored in the range durable: by cache-line flushes and a fence on persistent memory and in shared memory, by msync(2) elsewhere. address
 * NULL: all mappings of the file. ENOMEM: nothing is mapped there. EIO: the medium could not take it.
 */
int nvm_sync(int fd, void *address, size_t length);

/* The quick part of nvm_sync, where nvm_is_sync says it is enough: flushes cache lines and fences. Never fails. */
void nvm_persist(const void *address, size_t length);

/* 1 if stores in the whole range are durable after nvm_persist, 0 if nvm_sync is needed. */
int nvm_is_sync(const void *address, size_t length);

/* 1 if the whole range is mapped from the medium, 0 if some of it goes through the page cache or is not mapped. */
int nvm_is_direct(const void *address, size_t length);

/* As pread(2) and pwrite(2), to the end: fewer bytes are read only at the end of the file. A write is durable when it returns. */
ssize_t nvm_read(int fd, void *buffer, size_t length, off_t start);
ssize_t nvm_write(int fd, const void *buffer, size_t length, off_t start);

/*
 * Opens a file and maps all of it. name: a path from /, or relative to the mounted volume (that of the environment variable NVM_ROOT, or else the first one of
 * this machine): "logs/today". perms: PROT_READ, PROT_WRITE. The size is rounded up to whole pages. Errors of open(2) and nvm_map; EINVAL: the
 * file is empty. ENODEV: no volume is mounted.
 */
void *nvm_attach(const char *name, int perms);

/* How many bytes nvm_attach has mapped at an address it returned; 0: none. */
size_t nvm_size(const void *address);

/* Ends what nvm_attach began. EINVAL: it did not return this address. */
int nvm_detach(void *address);

/* In words, why the last call of this thread failed. */
const char *nvm_error(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
