// Host files that are the data of DAX files: what Node's own fs module can't do to a descriptor. Calls return 0 or a negative errno.
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "bindings.h"
#include "domain.h"
#include "error.h"

namespace nvmfs {

namespace {

constexpr size_t kAttributes = 8;
#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

napi_value bad_arguments(napi_env env, const char* function) {
  throw_bad_arguments(env, function);
  return nullptr;
}

// hostAttributes(fd, numbers): size, blocks of 512 bytes, then seconds and nanoseconds of atime, mtime and ctime.
napi_value attributes(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  int32_t fd;
  const double* numbers;
  size_t length;
  if (!arguments.get(0, fd) || !arguments.get(1, numbers, length) || length < kAttributes) return bad_arguments(env, "hostAttributes");
  struct stat status;
  if (fstat(fd, &status) != 0) return int32_value(env, -errno);
  double* to = const_cast<double*>(numbers);
  to[0] = static_cast<double>(status.st_size);
  to[1] = static_cast<double>(status.st_blocks);
  to[2] = static_cast<double>(status.st_atim.tv_sec);
  to[3] = static_cast<double>(status.st_atim.tv_nsec);
  to[4] = static_cast<double>(status.st_mtim.tv_sec);
  to[5] = static_cast<double>(status.st_mtim.tv_nsec);
  to[6] = static_cast<double>(status.st_ctim.tv_sec);
  to[7] = static_cast<double>(status.st_ctim.tv_nsec);
  return int32_value(env, 0);
}

// hostAllocate(fd, mode, offset, length)
napi_value allocate(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  int32_t fd, mode;
  uint64_t offset, length;
  if (!arguments.get(0, fd) || !arguments.get(1, mode) || !arguments.get(2, offset) || !arguments.get(3, length)) return bad_arguments(env, "hostAllocate");
  int result;
  do {
    result = fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length));
  } while (result != 0 && errno == EINTR);
  return int32_value(env, result == 0 ? 0 : -errno);
}

// hostSeek(fd, offset, whence): an offset or a negative errno. whence: 3 SEEK_DATA, 4 SEEK_HOLE.
napi_value seek(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  int32_t fd, whence;
  uint64_t offset;
  if (!arguments.get(0, fd) || !arguments.get(1, offset) || !arguments.get(2, whence) || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
    return bad_arguments(env, "hostSeek");
  }
  const off_t found = lseek(fd, static_cast<off_t>(offset), whence);
  napi_value result = nullptr;
  napi_create_double(env, found >= 0 ? static_cast<double>(found) : static_cast<double>(-errno), &result);
  return result;
}

// hostTimes(fd, numbers): seconds and nanoseconds of atime and mtime, as futimens(3) takes them.
napi_value set_times(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  int32_t fd;
  const double* numbers;
  size_t length;
  if (!arguments.get(0, fd) || !arguments.get(1, numbers, length) || length < 4) return bad_arguments(env, "hostTimes");
  const struct timespec times[2] = {
      {static_cast<time_t>(numbers[0]), static_cast<long>(numbers[1])},
      {static_cast<time_t>(numbers[2]), static_cast<long>(numbers[3])},
  };
  return int32_value(env, futimens(fd, times) == 0 ? 0 : -errno);
}

// hostIsDax(fd): whether mappings of the file reach its medium without a page cache.
napi_value is_dax(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  int32_t fd;
  if (!arguments.get(0, fd)) return bad_arguments(env, "hostIsDax");
  struct statx status;
  const bool dax = statx(fd, "", AT_EMPTY_PATH, 0, &status) == 0 && (status.stx_attributes & STATX_ATTR_DAX) != 0;
  napi_value result = nullptr;
  napi_get_boolean(env, dax, &result);
  return result;
}

// hostDomain(fd): the durability domain of the file: 'sync-dax', 'memory' or 'file'.
napi_value domain(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  int32_t fd;
  if (!arguments.get(0, fd)) return bad_arguments(env, "hostDomain");
  const char* name = is_synchronous(fd, 4096, PROT_READ) ? "sync-dax" : lives_in_memory(fd) ? "memory" : "file";
  napi_value result = nullptr;
  napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
  return result;
}

// hostIoctl(fd, request, bytes): an ioctl whose argument is at the start of the array: its result, or a negative errno.
napi_value buffer_ioctl(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  int32_t fd;
  uint64_t request;
  Bytes bytes;
  // The number says how long the argument is.
  if (!arguments.get(0, fd) || !arguments.get(1, request) || !arguments.get(2, bytes) || bytes.length < ((request >> 16) & 0x3fff)) {
    return bad_arguments(env, "hostIoctl");
  }
  const int result = ioctl(fd, static_cast<unsigned long>(request), bytes.data);
  return int32_value(env, result < 0 ? -errno : result);
}

}  // namespace

void define_region(Napi::Env env, Napi::Object exports) {
  define(env, exports, "hostAttributes", attributes);
  define(env, exports, "hostAllocate", allocate);
  define(env, exports, "hostSeek", seek);
  define(env, exports, "hostTimes", set_times);
  define(env, exports, "hostIsDax", is_dax);
  define(env, exports, "hostDomain", domain);
  define(env, exports, "hostIoctl", buffer_ioctl);
}

}  // namespace nvmfs
